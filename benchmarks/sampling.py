"""Sampling: batched and with its state kept, against the ways that suggest themselves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cases
import torch

from genmint.models.rnn.model import RNN
from genmint.models.shared import store
from genmint.models.shared.family import evaluating

_TEXTS, _LENGTH = 16, 400


def texts() -> tuple[float, float]:
    """Seconds for 16 texts of 400 characters: ours, and reading the whole prefix for each one."""
    model = _model("lstm")

    def rereading() -> None:
        drawn = torch.full((_TEXTS, 1), model.start)
        with evaluating(model):
            for _ in range(_LENGTH):
                logits, _ = model(drawn, None)
                probabilities = logits[:, -1].softmax(dim=1)
                drawn = torch.cat([drawn, torch.multinomial(probabilities, 1)], dim=1)

    return _median(lambda: model.sample(_TEXTS, seed=0, length=_LENGTH), 3), _median(rereading, 1)


def clips() -> tuple[float, float]:
    """Seconds for 64 clips of a second at 8 kHz in one call, and for one clip."""
    model = _model("audio")
    return _median(lambda: model.sample(64, seed=0), 1), _median(lambda: model.sample(1, seed=0), 3)


def grids() -> dict[str, float]:
    """Images a second, drawn 1,024 at a time."""
    return {
        case: 1024 / _median(lambda case=case: _drawn(case), 3)
        for case in ("vae", "residual-vae", "dcgan")
    }


def _drawn(case: str) -> None:
    store.build(cases.config(case), cases.spec(case)).eval().sample(1024, seed=0)


def _model(case: str) -> RNN:
    model = store.build(cases.config(case), cases.spec(case)).eval()
    assert isinstance(model, RNN)
    return model


def _median(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
