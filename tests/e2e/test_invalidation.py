"""A changed key runs exactly the stages that docs/stages.md says, with a warm run-cache.

The graph is the real dvc.yaml, run by DVC. Where a test says so, stages are recorded and not run:
each writes outputs that depend on what the real ones depend on, so that all keys can be tried.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML
from tests.e2e import every_key, recorded_stage
from tests.e2e.every_key import KINDS, Change
from tests.e2e.recorded_stage import HIDDEN, record

from genmint import cli
from genmint.common.project import Project
from genmint.data import agreement
from genmint.flow.checkout import override
from genmint.flow.graph import read_graph, stages_for, units
from genmint.flow.stage import ProcessGroup, reproduce

ROOT = Path(__file__).parents[2]
NAMES = {"image": "images", "audio": "clips", "text": "texts"}
DATA = ("ingest", "validate", "prepare", "reference")
# Of each row of the documentation, and of nested keys; all others are in `make soak`.
FEW = (
    ("image.resolution", "drift.window"),
    ("image.max_quarantined", "vae.optimiser.lr"),
    ("image.protocol.seed",),
    ("gate.thresholds.elbo.min",),
)


def base(kinds=tuple(NAMES)):
    """Data sets of the kinds, models of each family on them, gates, and a rule for drift."""
    lenient = {"thresholds": {"copied": {"max": 0.5}}, "champion": {"superior": ["copied"]}}
    rnn = KINDS["rnn"][2]
    names = {NAMES[kind] for kind in kinds}
    models = {
        "vae": KINDS["vae"][2],
        "gan": KINDS["gan"][2],
        "rnn": rnn,
        "sound": {**rnn, "dataset": "clips"},
    }
    models = {name: model for name, model in models.items() if model["dataset"] in names}
    if len(kinds) == 1:
        models.pop("gan", None)
    gates = {"vae": KINDS["gate"][2], "rnn": lenient}
    return every_key.document({
        "datasets": {name: every_key.DATASETS[name] for name in names},
        "models": models,
        "gates": {name: gate for name, gate in gates.items() if name in models},
        "drift": {name: {} for name in names},
    })  # fmt: skip


def put(change: Change, entry, whole=None):
    """A params.yaml, the base unless given, with `entry` in the place of the one that changes."""
    whole = base() if whole is None else whole
    if change.key == "dataset":
        whole["datasets"] = every_key.DATASETS
    whole[change.top][name_of(change)] = {k: v for k, v in entry.items() if k != "model"}
    if "stack" in entry:
        # New items are single pictures: drift of stacks is refused.
        whole["drift"].pop(name_of(change), None)
    return whole


def name_of(change: Change):
    """Name of the entry that changes."""
    return {"gates": change.model, "drift": "images"}.get(
        change.top, NAMES.get(change.kind, change.kind)
    )


def rules():
    """The tables of docs/stages.md: map, keys (none: any other), stages by their columns."""
    text = (ROOT / "docs" / "stages.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| `[a-z]+\.[DM]`", line)
    ]
    ticked = [[re.findall(r"`([^`]+)`", cell) for cell in row] for row in rows]
    assert len(ticked) == 6
    return [
        (entry[0].split(".")[0], set(keys), [stage for cell in cells for stage in cell])
        for entry, keys, *cells in ticked
    ]


def documented(change: Change, whole):
    """The stages that docs/stages.md says for a change, in a params.yaml that has it."""
    first = change.key.split(".")[0]
    fitting = [rule for rule in rules() if rule[0] == change.top]
    (stages,) = [s for _, keys, s in fitting if first in keys] or [
        s for _, keys, s in fitting if not keys
    ]
    models = whole["models"]
    if change.top == "datasets":
        dataset = NAMES[change.kind]
        models = [name for name, model in models.items() if model["dataset"] == dataset]
    elif change.top == "models":
        dataset, models = None, [change.kind]
    else:
        dataset = None
    return {f"{s}@{dataset}" for s in stages if s in DATA} | {
        f"{s}@{model}" for s in stages if s not in DATA for model in models
    }


class Recorded:
    """A project with the real dvc.yaml, whose stages write what depends on the same as theirs."""

    def __init__(self, root, monkeypatch, *, scm=False):
        self.root, self.ran = root, []
        graph = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")
        for stage in graph["stages"].values():
            # No source file changes here, and without them dvc.lock is a fifth as long.
            deps = stage["do"]["deps"]
            stage["do"]["deps"] = [dep for dep in deps if not dep.startswith("src/")]
        with (root / "dvc.yaml").open("w") as stream:
            YAML().dump(graph, stream)
        shutil.copytree(ROOT / "config/expectations", root / "config/expectations")
        hidden = {
            "ingest": agreement.NOT_OF_ARRAYS | agreement.NOT_OF_ITEMS,
            "prepare": agreement.NOT_OF_ARRAYS,
        }
        text = json.dumps({verb: sorted(keys) for verb, keys in hidden.items()})
        (root / HIDDEN).write_text(text)
        (root / "data" / "own").mkdir(parents=True)
        extractors = root / "data" / "sources" / "extractors"
        shutil.copytree(ROOT / "data" / "sources" / "extractors", extractors)
        for name in ("images", "clips", "texts"):
            (root / "data" / "own" / name).write_text(name)
            (root / "data" / "own" / f"other-{name}").write_text(f"other {name}")
        if scm:
            self.git("init", "-q", "-b", "main")
        Repo.init(str(root), no_scm=not scm).close()
        monkeypatch.setattr("dvc.stage.run.cmd_run", self._run)
        monkeypatch.chdir(root)

    def git(self, *arguments):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@t.org", *arguments],
            cwd=self.root, check=True, capture_output=True,
        )  # fmt: skip

    def write(self, whole):
        every_key.parsed(whole)
        with (self.root / "params.yaml").open("w") as stream:
            YAML().dump(whole, stream)

    def repro(self, whole):
        """Run `dvc repro` with a params.yaml, and return the stages that ran."""
        self.write(whole)
        return self.doing(lambda repo: repo.reproduce())

    def doing(self, action):
        self.ran = []
        with Repo(str(self.root)) as repo:
            action(repo)
        assert len(self.ran) == len(set(self.ran))
        return set(self.ran)

    def _run(self, stage, dry=False, run_env=None):
        assert not dry
        self.ran.append(stage.addressing)
        record(Path(stage.wdir), *stage.addressing.split(":")[-1].split("@"))


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    return Recorded(tmp_path, monkeypatch)


def test_every_key_of_params_yaml_changes_the_key_of_the_run_cache():
    """What DVC looks runs up by differs for every changed value, so no old outputs come back."""
    from dvc.stage.cache import _get_cache_hash

    def key(entry):
        return _get_cache_hash({"cmd": "c", "params": {"params.yaml": {"entry": entry}}}, key=True)

    found = every_key.changes()
    assert len(found) > 200
    assert {change.kind for change in found} == set(KINDS)
    assert [f"{c.kind}.{c.key}" for c in found if key(c.before) == key(c.after)] == []


def assert_each_runs_what_is_documented(recorded, found, run, first=None):
    first = first or base()
    assert recorded.repro(first)
    assert recorded.repro(first) == set()
    # Those that need other keys beside them come last: what they begin with has then been run, and
    # what one of them ends with has not.
    for change in sorted(found, key=lambda change: change.before != KINDS[change.kind][2]):
        before, after = (put(change, e, base()) for e in (change.before, change.after))
        recorded.repro(before)
        label = f"{change.kind}.{change.key}"
        assert run(change, after) == documented(change, after), label
        assert recorded.repro(before) == set(), f"{label}: set back, it is in the run-cache"


def test_changed_keys_run_what_is_documented(recorded):
    """Some changes are made together, which is quicker."""
    first = base(("image",))
    recorded.repro(first)
    assert recorded.repro(first) == set()
    for keys in FEW:
        whole, expected = base(("image",)), set()
        for kind, key in (full.split(".", 1) for full in keys):
            (change,) = [c for c in every_key.changes((kind,)) if c.key == key]
            put(change, change.after, whole)
            expected |= documented(change, whole)
        assert recorded.repro(whole) == expected, keys
    assert recorded.repro(first) == set()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_every_changed_key_runs_what_is_documented(recorded, kind):
    found = every_key.changes((kind,))
    assert_each_runs_what_is_documented(recorded, found, lambda _, after: recorded.repro(after))


def as_experiment(recorded):
    """Set up git, and return what runs `dvc exp run -S KEY=VALUE` for a change."""
    ignored = ("data", "models", "metrics", "samples", "reports")
    (recorded.root / ".gitignore").write_text("".join(f"/{name}/\n" for name in ignored))
    recorded.git("config", "user.name", "t")
    recorded.git("config", "user.email", "t@t.org")
    recorded.git("add", "-A")
    recorded.git("commit", "-qm", "begin")

    def run(change, _):
        recorded.git("add", "-A")
        recorded.git("commit", "-qm", "before", "--allow-empty")
        value = json.dumps(every_key.value_of(change))
        override = f"++{change.top}.{name_of(change)}.{change.key}={value}"
        return recorded.doing(lambda repo: repo.experiments.run(params=[override]))

    return run


def test_a_changed_key_runs_the_same_as_an_experiment(tmp_path, monkeypatch):
    recorded = Recorded(tmp_path, monkeypatch, scm=True)
    run, first = as_experiment(recorded), base(("text",))
    recorded.repro(first)
    (change,) = [c for c in every_key.changes(("text",)) if c.key == "min_count"]
    expected = documented(change, first)
    assert run(change, None) == expected
    assert recorded.repro(first) == set()


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_every_changed_key_runs_the_same_as_an_experiment(tmp_path, monkeypatch, kind):
    recorded = Recorded(tmp_path, monkeypatch, scm=True)
    run = as_experiment(recorded)
    assert_each_runs_what_is_documented(recorded, every_key.changes((kind,)), run)


def by_the_flow(root):
    """The stages that the flow `retrain` runs for the models of a checkout, as DVC says."""
    project, process_group = Project(root), ProcessGroup()
    graph = read_graph(project, process_group).needs
    models = [stage.partition("@")[2] for stage in graph if stage.startswith("gate@")]
    return {
        outcome.stage
        for unit in units(stages_for(graph, models))
        for outcome in reproduce(project, unit.stages, process_group=process_group, say=print)
        if outcome.result == "ran"
    }


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_overrides_of_a_flow_run_what_is_documented(tmp_path, monkeypatch):
    recorded = Recorded(tmp_path, monkeypatch)
    stand_in = tmp_path / "src" / "genmint"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    shutil.copy(recorded_stage.__file__, stand_in / "__main__.py")
    first = base(("image",))
    recorded.write(first)
    assert by_the_flow(tmp_path)
    assert by_the_flow(tmp_path) == set()
    for full in (full for keys in FEW for full in keys):
        kind, key = full.split(".", 1)
        (change,) = [c for c in every_key.changes((kind,)) if c.key == key]
        top = key.partition(".")[0]
        values = {f"{change.top}.{name_of(change)}.{top}": change.after[top]}
        override(Project(tmp_path), values)
        assert by_the_flow(tmp_path) == documented(change, put(change, change.after, first)), full
        first = base(("image",))
        recorded.write(first)
        assert by_the_flow(tmp_path) == set(), f"{full}: set back, it is in the run-cache"


class Real(Recorded):
    """The real stages, in this process."""

    def _run(self, stage, dry=False, run_env=None):
        self.ran.append(stage.addressing)
        words = stage.cmd.split()
        assert words[:3] == ["python", "-m", "genmint"]
        assert words[4] == '"$DVC_STAGE"'
        assert cli.run([words[3], stage.addressing]) == 0


def test_digits_of_another_resolution_are_prepared_again(tmp_path, monkeypatch):
    """The case that was found: 8 to 16 with a warm run-cache left arrays of 8×8."""
    project = Real(tmp_path, monkeypatch)
    (tmp_path / "data" / "sources").mkdir(exist_ok=True)
    shutil.copy(ROOT / "data" / "sources" / "digits.yaml", tmp_path / "data" / "sources")
    digits = {"path": "data/sources/digits.yaml", "kind": "image", "labels": "source"}

    def of(resolution):
        entry = {**digits, "resolution": resolution}
        return {"datasets": {"digits": entry}, "models": {}, "gates": {}}

    stages = {f"{stage}@digits" for stage in ("ingest", "validate", "prepare")}
    shape = {8: (1, 8, 8), 16: (1, 16, 16)}
    for resolution, ran in ((8, stages), (16, stages), (8, set())):
        project.write(of(resolution))
        assert project.doing(lambda repo: repo.reproduce("prepare@digits")) == ran
        array = np.load(tmp_path / "data/prepared/digits/train.npy", mmap_mode="r")
        assert array.shape[1:] == shape[resolution]
