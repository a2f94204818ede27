"""Weights, configuration and checkpoint of a model."""

from pathlib import Path

import torch
from tests.fuzz.target import Target, file, restoring

from genmint.config import RNNConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.training.checkpoints import Checkpoint


def models(folder: Path) -> list[Target]:
    def read(path: Path) -> None:
        model, _ = store.load(path.parent)
        model.sample(1, seed=0)

    write_text_model(folder)
    checkpoint = Checkpoint(folder / "checkpoint", {"model": "a", "steps": 3})
    with checkpoint.locked():
        checkpoint.save({"step": 1, "weights": {"w": torch.zeros(3)}})
    saved = folder / "checkpoint/state.pt"
    config, weights = folder / "config.json", folder / "model.safetensors"
    return [
        Target("config.json", [config.read_bytes()], restoring(config, read), 8),
        Target("weights", [weights.read_bytes()], restoring(weights, read), 6),
        Target("checkpoint", [saved.read_bytes()], file(saved, lambda _: checkpoint.load()), 2),
    ]


def write_text_model(folder: Path) -> None:
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
