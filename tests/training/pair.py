"""One of two processes that train the cases of test_distributed.py together.

Run as `python pair.py FOLDER RANK PORT`; what it trains and where it writes is in FOLDER.
"""

import os
import sys
from pathlib import Path

import torch

from genmint.common.errors import GenmintError
from genmint.config import parse_model
from genmint.data.views.spec import DataSpec
from genmint.models.shared.store import build
from genmint.training import loop
from genmint.training.checkpoints import Checkpoint
from genmint.training.distributed import join, leave
from genmint.training.loop import TrainingOptions, fit


class Killed(BaseException):
    """In the place of SIGKILL: nothing may catch it."""


class Mortal(Checkpoint):
    """A checkpoint whose processes die when it is saved after so many steps."""

    def __init__(self, folder, dies_at, **named):
        super().__init__(folder, {}, **named)
        self.dies_at = dies_at

    def save(self, state):
        super().save(state)
        if state["now"]["training"]["step"] == self.dies_at:
            raise Killed


def poison(model, seen):
    """The second process alone meets a NaN in its sixth batch, after one validation; once."""

    def hook(module, _, output):
        seen.append(1)
        return output * torch.nan if len(seen) == 7 else output

    model.get_submodule("decoder.0").register_forward_hook(hook)


def train(held, ranks, checkpoint=None):
    config, spec = parse_model(held["config"]), DataSpec.model_validate_json(held["spec"])
    model = build(config, spec)
    if held["poisoned"] and ranks.rank == 1:
        poison(model, [])
    outcome = fit(
        "tiny", model, config, held["train"], held["validation"], labels=held["labels"],
        options=TrainingOptions(ranks=ranks, checkpoint=checkpoint),
    )  # fmt: skip
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    return weights, outcome.history, [vars(found) for found in outcome.recoveries]


def killed_and_resumed(held, ranks, folder):
    leads = ranks.leads
    try:
        train(held, ranks, Mortal(folder, 6, writes=leads))
    except Killed:
        return train(held, ranks, Checkpoint(folder, {}, writes=leads))
    raise AssertionError("nobody died")


def main(folder, rank, port):
    torch.set_num_threads(1)
    loop.CHECK_EVERY = 3
    os.environ |= {
        "RANK": rank,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "GENMINT_CHECKPOINT_SECONDS": "0",
    }
    ranks = join(torch.device("cpu"))
    for path in sorted(folder.glob("*.case")):
        held = torch.load(path)
        try:
            found = train(held, ranks)
        except GenmintError as error:
            found = str(error)
        torch.save(found, path.with_suffix(f".{rank}"))
        if held["resumed"]:
            again = killed_and_resumed(held, ranks, path.with_suffix(".checkpoint"))
            torch.save(again, path.with_suffix(f".{rank}.resumed"))
    leave(ranks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
