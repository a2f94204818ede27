"""The parsers that are fed with mutated files: seeds of each, and how it is called.

A target may raise what `ALLOWED` names, and nothing else.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import mlflow
import torch
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from tests.awkward.configurations import CONFIGURATIONS, GOOD
from tests.awkward.images import images
from tests.awkward.images import ordinary as ordinary_images
from tests.awkward.sounds import ordinary as ordinary_sounds
from tests.awkward.sounds import sounds
from tests.workshop import PARAMS, Workshop

import genmint
from genmint.common.dvc_lock import read_lock
from genmint.common.errors import GenmintError
from genmint.common.login import VARIABLE, read_login
from genmint.common.project_key import SIGNATURE_TAG, create_key, key_file, load_key
from genmint.config import AudioDataset, ImageDataset, RNNConfig, TextDataset, load_params
from genmint.config.recipe import add_recipe, list_recipes
from genmint.data import manifest, quarantine
from genmint.data.ingestion.readers import UnreadableError, reader_of
from genmint.data.ingestion.sources import read_description, read_idx
from genmint.data.prepared import Prepared
from genmint.data.validation import read_suite
from genmint.data.views.spec import DataSpec
from genmint.drift.state import DriftState, DriftStore
from genmint.evaluation.probe import ProbeOutput, read_probe, write_probe
from genmint.evaluation.reference import read_reference
from genmint.models.shared import store
from genmint.promotion import scores
from genmint.registry import pyfunc
from genmint.registry.entries import entries
from genmint.registry.journal_entries import (
    before,
    last_valid,
    line,
    previous,
    rolled_back,
    to_json,
)
from genmint.registry.signature import Signed, folder_of, read, signature_problem
from genmint.stages import gate
from genmint.tracking.provenance import model_hashes
from genmint.training.checkpoints import Checkpoint
from genmint.training.history import read_history

ROOT = Path(__file__).parents[2]
ALLOWED = (GenmintError, UnreadableError)
_SMALL = 20_000


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        name: for reports.
        seeds: files to mutate.
        call: reads one file, given what it holds.
        share: of the inputs, relative to the other targets.
    """

    name: str
    seeds: list[bytes]
    call: Callable[[bytes], object]
    share: int = 4


def targets(scratch: Path) -> list[Target]:
    """All of them; `scratch` is an empty folder."""
    return [
        *_configurations(scratch / "configurations"),
        *_items(scratch / "items"),
        *_records(scratch / "records"),
        *_models(scratch / "models"),
        *_secrets(scratch / "secrets"),
        Target("journal", [json.dumps(_JOURNAL).encode()], _journal, 8),
        Target("requests", _requests(), _server(scratch / "served"), 8),
    ]


def _file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    path.parent.mkdir(parents=True, exist_ok=True)

    def call(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return call


def _json(document) -> bytes:
    return json.dumps(document).encode()


def _configurations(folder: Path) -> list[Target]:
    own = Workshop(folder).project
    (folder / "config/recipes").mkdir(parents=True)

    def read_params(path: Path) -> None:
        for name, entry in load_params(path).datasets.items():
            assert isinstance((path.parent / entry.path).exists(), bool), name

    def add(path: Path) -> None:
        own.params.write_text(GOOD)
        list_recipes(own)
        try:
            add_recipe(own, "own")
        finally:
            after = own.params.read_text().splitlines()
            left = iter(after)
            assert all(any(one == other for other in left) for one in GOOD.splitlines())

    def add_to(path: Path) -> None:
        (folder / "config/recipes/own.yaml").write_bytes(plain)
        add_recipe(own, "own")

    def lock(path: Path) -> None:
        read_lock(path)
        model_hashes(own, "a", "faces")

    texts = [path.read_bytes() for path in sorted((ROOT / "config/recipes").glob("*.yaml"))]
    plain = b"# Own\nmodels:\n  # Why\n  own: {family: rnn, dataset: poems, steps: 5}\n"
    document = load_params(ROOT / "params.yaml").model_dump(mode="json")
    params = [GOOD.encode(), _json(document), (ROOT / "params.yaml").read_bytes()[:_SMALL]]
    params += [case.data for case in CONFIGURATIONS if len(case.data) < _SMALL]
    stages = (ROOT / "dvc.lock").read_bytes()[:_SMALL]
    return [
        Target("configuration", params, _file(own.params, read_params), 12),
        Target("recipe", [plain, *texts], _file(folder / "config/recipes/own.yaml", add)),
        Target("recipe into params.yaml", params, _file(own.params, add_to)),
        Target(
            "suite",
            [path.read_bytes() for path in sorted((ROOT / "config/expectations").glob("*.yaml"))],
            _file(folder / "suite.yaml", read_suite),
        ),
        Target(
            "description",
            [path.read_bytes() for path in sorted((ROOT / "data/sources").glob("*.yaml"))],
            _file(folder / "description.yaml", read_description),
        ),
        Target("dvc.lock", [stages], _file(own.lock, lock)),
    ]


def _items(folder: Path) -> list[Target]:
    def reads(dataset, suffix: str) -> Callable[[bytes], object]:
        reader = reader_of(dataset)

        def read(path: Path) -> None:
            reader.describe(path)
            if not isinstance(dataset, TextDataset):
                reader.load(path)

        return _file(folder / f"item{suffix}", read)

    common = {"path": "data/own/x", "split": "hash", "max_quarantined": 1.0}
    # 4 million pixels: decoding more is work, not a fault.
    image = ImageDataset(**common, kind="image", resolution=16, max_pixels=4_000_000)
    audio = AudioDataset(**common, kind="audio", sample_rate=8000, seconds=0.25, windows="all")
    text = TextDataset(**common, kind="text")
    files = [(each.name, each.content) for each in (*images(), *sounds())]
    files += [*ordinary_images(3).items(), *ordinary_sounds(3).items()]

    def seeds(*suffixes: str) -> list[bytes]:
        return [data for name, data in files if name.endswith(suffixes) and len(data) < _SMALL]

    idx = b"\0\0\x08\x03" + bytes([0, 0, 0, 2] * 3) + bytes(8)
    lines = "First line\r\nzweite Zeile – drei\n四行目\n".encode() * 20
    return [
        Target("png", seeds(".png"), reads(image, ".png"), 12),
        Target("jpeg", seeds(".jpg", ".jpeg"), reads(image, ".jpg"), 12),
        Target("webp", seeds(".webp"), reads(image, ".webp"), 8),
        Target("bmp", seeds(".bmp"), reads(image, ".bmp"), 6),
        Target("wav", seeds(".wav"), reads(audio, ".wav"), 10),
        Target("flac", seeds(".flac"), reads(audio, ".flac"), 10),
        Target("text", [lines], reads(text, ".txt")),
        Target("idx", [idx], _file(folder / "images-idx3-ubyte", read_idx), 2),
    ]


def _records(folder: Path) -> list[Target]:
    shop = Workshop(folder)
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(PARAMS)
    shop.make()
    project = shop.project
    params = shop.params
    model, metrics = project.model("tiny"), project.metrics("tiny")
    prepared, reference = project.prepared("dots"), project.reference("dots")
    listed = folder / "data/quarantine/dots.csv"

    def judged(path: Path) -> None:
        assert gate.judge(project, params, "tiny").passed in (0, 1)

    def judged_and_scored(path: Path) -> None:
        judged(path)
        scores.challenger_scores(project, "tiny")

    drift_store = DriftStore(project, "dots")
    state = DriftState(baseline="a" * 64, waiting=3).model_dump(mode="json")
    meta = {
        "dataset": "dots", "kind": "image", "items": {"train": 5, "validation": 1, "test": 1},
        "shape": [1, 4, 4], "labels": ["a", "b"], "files": {"train.npy": "a" * 64},
    }  # fmt: skip
    baselines = {"elbo": {"pixel_bernoulli": {"value": -40.0, "stderr": 0.1}}}
    about = {
        "dataset": "dots", "data": "d" * 64, "protocol": {"samples": 16}, "extractor": None,
        "baselines": baselines, "noise_floor": {"elbo": 0.5}, "real": {"elbo": -3.0},
    }  # fmt: skip
    table, probe = folder / "data/manifest/dots.parquet", folder / "probe/probe.npz"
    _write_manifest(table)
    probe.parent.mkdir()
    write_probe(probe.parent, ProbeOutput(ids=("a",), prompts=("more",), texts=("words",)))
    history = model / "history.csv"
    return [
        Target(
            "gate record",
            [project.gate_record("tiny").read_bytes()],
            _file(project.gate_record("tiny"), lambda _: gate.read_record(project, "tiny")),
        ),
        *(
            Target(path.name, [path.read_bytes(), *more], _restoring(path, judged_and_scored))
            for path, *more in (
                (metrics,),
                (scores.protocol_path(project, "tiny"),),
                (project.items("tiny"),),
                (project.resamples("tiny"), b'{"elbo": [1.0, 2.0]}'),
                (project.cost("tiny"),),
                (project.validation("dots"),),
            )
        ),
        Target(
            "spread",
            [(ROOT / "results/seed_spread/image-vae.json").read_bytes()],
            _file(project.spread("tiny"), lambda _: scores.read_spread(project, "tiny")),
        ),
        Target("meta.json", [_json(meta)], _file(prepared / "meta.json", _read_meta)),
        Target(
            "reference",
            [_json(about)],
            _file(reference / "reference.json", lambda path: read_reference(path.parent)),
        ),
        Target(
            "drift state",
            [_json(state)],
            _file(drift_store.folder / "state.json", lambda _: drift_store.state()),
        ),
        Target("history", [history.read_bytes()], _file(history, read_history)),
        Target(
            "quarantine",
            [b'id,path,reason\n"a/b.png","a/b.png","too, dark"\nc.png,c.png,empty\n'],
            _file(listed, quarantine.read),
        ),
        Target(
            "manifest",
            [table.read_bytes()],
            _file(table, _read_manifest),
        ),
        Target("probe", [probe.read_bytes()], _file(probe, read_probe), 2),
    ]


def _restoring(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """As `_file`; the file is then what it was, for the targets that read it beside theirs."""
    whole, call = path.read_bytes(), _file(path, read)

    def restoring(data: bytes) -> object:
        try:
            return call(data)
        finally:
            path.write_bytes(whole)

    return restoring


def _read_meta(path: Path) -> None:
    prepared = Prepared(path.parent)
    prepared.spec("grid" if prepared.meta.kind == "image" else "sequence")
    prepared.check()


def _read_manifest(path: Path) -> None:
    manifest.read(path).to_pandas()
    manifest.left_out(path)
    manifest.settings(path)


def _write_manifest(path: Path) -> None:
    path.parent.mkdir(parents=True)
    rows = [
        {"id": f"{n}.png", "path": f"{n}.png", "sha256": f"{n:064}", "bytes": n, "mean": n / 7}
        for n in range(40)
    ]
    dataset = ImageDataset(path="x", kind="image", resolution=16)
    manifest.write(path, [rows[:30], rows[30:]], manifest.schema(reader_of(dataset), (), {}))


def _models(folder: Path) -> list[Target]:
    def read(path: Path) -> None:
        model, _ = store.load(path.parent)
        model.sample(1, seed=0)

    _text_model(folder)
    checkpoint = Checkpoint(folder / "checkpoint", {"model": "a", "steps": 3})
    with checkpoint.locked():
        checkpoint.save({"step": 1, "weights": {"w": torch.zeros(3)}})
    saved = folder / "checkpoint/state.pt"
    config, weights = folder / "config.json", folder / "model.safetensors"
    return [
        Target("config.json", [config.read_bytes()], _restoring(config, read), 8),
        Target("weights", [weights.read_bytes()], _restoring(weights, read), 6),
        Target("checkpoint", [saved.read_bytes()], _file(saved, lambda _: checkpoint.load()), 2),
    ]


def _text_model(folder: Path) -> None:
    folder.mkdir(parents=True)
    config = RNNConfig(
        family="rnn", dataset="words", cell="tanh", hidden=4, embedding=4, steps=1, seed=0
    )
    spec = DataSpec(
        dataset="words", kind="text", view="sequence", shape=(), symbols=5,
        vocabulary=("<unk>", "<s>", "a", "b", " "),
    )  # fmt: skip
    described = {
        "name": "words", "model": config, "data": spec, "prepared": "d" * 64,
        "resolved": {"precision": "fp32"},
    }  # fmt: skip
    store.save(folder, store.build(config, spec), described)


_TAGS = {
    "genmint.kind": "promotion", "genmint.user": "ann", "genmint.weights": "a" * 64,
    "genmint.grounds": "b" * 64, "genmint.time": "2026-01-31T23:59:59Z", "genmint.settled": "1",
}  # fmt: skip
_JOURNAL = [
    {"version": 1, "tags": _TAGS | {"genmint.claims": "1", "genmint.version": "1"}},
    {
        "version": 2, "description": "was better",
        "tags": _TAGS | {"genmint.claims": "2", "genmint.version": "2", "genmint.previous": "1"},
    },
    {
        "version": 3, "description": "went back",
        "tags": _TAGS | {
            "genmint.kind": "rollback", "genmint.claims": "3", "genmint.version": "1",
            "genmint.left": "2", "genmint.left_weights": "c" * 64,
        },
    },
]  # fmt: skip


def _secrets(folder: Path) -> list[Target]:
    """The key, what is signed with it, and the login: one user's file, tag and variable."""
    project = Workshop(folder).project
    key = create_key(project)
    path = key_file(project)
    hashes = {"metrics/own.json": "d" * 64}
    signed = Signed("a" * 64, "b" * 64, "c" * 64, "e" * 64, "evaluation", hashes)

    def tag(data: bytes) -> None:
        tags = {SIGNATURE_TAG: data.decode(errors="replace")}
        assert folder_of(tags) or read(tags) is not None
        # Whatever was changed of what is signed, no signature holds that was not made for it.
        if signature_problem(key, "own", "a" * 64, tags) is None:
            assert read(tags)[0] == signed

    def login(data: bytes) -> None:
        # No variable of the environment holds a zero byte.
        os.environ[VARIABLE] = data.decode(errors="surrogateescape").replace("\0", "")
        try:
            read_login()
        finally:
            del os.environ[VARIABLE]

    def private(data: bytes) -> None:
        path.write_bytes(data)
        path.chmod(0o600)
        load_key(project)

    return [
        Target("signature", [signed.tag(key, "own").encode()], tag, 8),
        Target("key", [path.read_bytes()], private, 2),
        Target("login", [b"ann:a password of hers", "änn:pass:wort:wort".encode()], login, 2),
    ]


class _Page(list):
    token = None


def _journal(data: bytes) -> None:
    """Entries whose tags and descriptions anybody may have edited in MLflow."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    page = _Page()
    for number, row in enumerate(document if isinstance(document, list) else (), start=1):
        row = row if isinstance(row, dict) else {}
        tags = row.get("tags")
        # MLflow keeps tags as text, and gives each version its number.
        tags = tags.items() if isinstance(tags, dict) else ()
        tags = [ModelVersionTag(str(key), str(value)) for key, value in tags]
        description = str(row.get("description", ""))
        page.append(ModelVersion("own.journal", number, 0, description=description, tags=tags))
    client = SimpleNamespace(
        search_model_versions=lambda *_, **__: page, search_registered_models=lambda *_, **__: [1],
        get_registered_model=lambda *_: None,
    )  # fmt: skip
    found = entries(client, "own")
    line(found)
    to_json(found, {"1": "a" * 64})
    rolled_back(found, "c" * 64)
    last = last_valid(found)
    if last is not None:
        previous(found, last)
        before(found, last)


def _requests() -> list[bytes]:
    row = {"n": 1, "seed": 3, "length": 7, "prompt": "ab", "temperature": 0.5, "top_k": 2,
           "top_p": 0.9, "label": None}  # fmt: skip
    columns = {key: [value] for key, value in row.items()}
    return [
        _json({"dataframe_records": [row, {"n": 2, "seed": 0}]}),
        _json({"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}),
        _json({"inputs": columns}),
        _json({"inputs": [row]}),
        _json({"instances": [row]}),
    ]


def _server(folder: Path) -> Callable[[bytes], object]:
    """What `mlflow models serve` does with the body of a request."""
    _text_model(folder)
    pyfunc.save(folder, folder / "model")
    model = mlflow.pyfunc.load_model(str(folder / "model"))
    code = sys.modules[type(model.unwrap_python_model()).__module__]
    # More is work, and no fault: a request that draws as much as it may takes minutes.
    code._MAX_SYMBOLS = 5_000
    schema = model.metadata.get_input_schema()
    ours = (Path(genmint.__file__).parent, folder)

    def call(data: bytes) -> None:
        try:
            answer = scoring_server.invocations(data, "application/json", model, schema)
        except MlflowException as error:
            if error.get_http_status_code() != 400 or "unexpected error" in error.message:
                raise
        except Exception as error:
            # MLflow answers 500 to some bodies that it cannot parse, before any model sees them.
            frames = traceback.extract_tb(error.__traceback__)
            if any(Path(frame.filename).is_relative_to(root) for frame in frames for root in ours):
                raise
        else:
            assert answer.status == 200

    return call
