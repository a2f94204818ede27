"""Records that stages write and later ones read."""

from pathlib import Path

from tests.fuzz.target import ROOT, Target, file, json_bytes, restoring
from tests.workshop import PARAMS, Workshop

from genmint.common.project import Project
from genmint.config import ImageDataset
from genmint.data import manifest, quarantine
from genmint.data.ingestion.readers import reader_of
from genmint.data.prepared import Prepared
from genmint.drift.state import DriftState, DriftStore
from genmint.evaluation.probe import ProbeOutput, read_probe, write_probe
from genmint.evaluation.recorded import read_evaluation
from genmint.evaluation.reference import read_reference
from genmint.promotion import scores
from genmint.stages import gate
from genmint.training.history import read_history


def records(folder: Path) -> list[Target]:
    shop = Workshop(folder)
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(PARAMS)
    shop.make()
    return [*_of_the_gate(shop), *_of_data(shop.project), *_of_training(shop.project)]


def _of_the_gate(shop: Workshop) -> list[Target]:
    """What gate and promotion read of a model."""
    project, params = shop.project, shop.params

    def judged(path: Path) -> None:
        evaluation = read_evaluation(project, "tiny", params.models["tiny"].dataset)
        assert gate.judge(evaluation, params).passed in (0, 1)
        scores.recorded_scores(evaluation)

    read = (
        (project.metrics("tiny"),),
        (project.protocol("tiny"),),
        (project.items("tiny"),),
        (project.resamples("tiny"), b'{"elbo": [1.0, 2.0]}'),
        (project.cost("tiny"),),
        (project.validation("dots"),),
    )
    return [
        Target(
            "gate record",
            [project.gate_record("tiny").read_bytes()],
            file(project.gate_record("tiny"), lambda _: gate.read_record(project, "tiny")),
        ),
        *(
            Target(path.name, [path.read_bytes(), *more], restoring(path, judged))
            for path, *more in read
        ),
        Target(
            "spread",
            [(ROOT / "results/seed_spread/image-vae.json").read_bytes()],
            file(project.spread("tiny"), lambda _: scores.read_spread(project, "tiny")),
        ),
    ]


def _of_data(project: Project) -> list[Target]:
    """What stages and drift checks read of a data set."""
    shelf = DriftStore(project, "dots")
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
    prepared, reference = project.prepared("dots"), project.reference("dots")
    table = project.manifest("dots")
    _write_manifest(table)
    return [
        Target("meta.json", [json_bytes(meta)], file(prepared / "meta.json", _read_meta)),
        Target(
            "reference",
            [json_bytes(about)],
            file(reference / "reference.json", lambda path: read_reference(path.parent)),
        ),
        Target(
            "drift state",
            [json_bytes(state)],
            file(shelf.folder / "state.json", lambda _: shelf.state()),
        ),
        Target(
            "quarantine",
            [b'id,path,reason\n"a/b.png","a/b.png","too, dark"\nc.png,c.png,empty\n'],
            file(project.quarantine("dots"), quarantine.read),
        ),
        Target("manifest", [table.read_bytes()], file(table, _read_manifest)),
    ]


def _of_training(project: Project) -> list[Target]:
    """What is read of a training run, and of the probe set of its model."""
    history = project.model("tiny") / "history.csv"
    probe = project.root / "probe/probe.npz"
    probe.parent.mkdir()
    write_probe(probe.parent, ProbeOutput(ids=("a",), prompts=("more",), texts=("words",)))
    return [
        Target("history", [history.read_bytes()], file(history, read_history)),
        Target("probe", [probe.read_bytes()], file(probe, read_probe), 2),
    ]


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
