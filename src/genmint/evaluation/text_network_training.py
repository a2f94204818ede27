"""Training of the frozen reference network of a text."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genmint.evaluation.single_thread import single_thread
from genmint.evaluation.text_network import TextNetwork, TokenIds, passages
from genmint.metrics.resampling import evenly_spaced
from genmint.models.shared import eager_optimizer

# Training budget in characters: about 4 s on one core. More training predicts characters better,
# but orders texts by quality in the same way.
_CHARACTERS = 500_000
_ROWS = 16
_BPTT = 64
_LR = 1e-2
_CLIP = 1.0
# Number of passages from which means and variances of the features are estimated.
_ENOUGH = 4096


def train_text_network(stream: TokenIds, symbols: int, *, epochs: int, seed: int) -> TextNetwork:
    """Train the network on a text and standardise its features.

    The text is read in 16 parts in parallel; states are carried over from one piece of 64
    characters to the next. On a CPU the same call gives the same weights.

    Args:
        stream: token ids of the training split, int64 T.
        symbols: size of the vocabulary.
        epochs: passes over the text; a long text stops after 500,000 characters.
        seed: seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TextNetwork(symbols)
    with single_thread():
        _descend(model, torch.from_numpy(np.ascontiguousarray(stream)), epochs)
    model.eval().requires_grad_(False)
    _standardise(model, stream)
    return model


def _descend(model: TextNetwork, stream: Tensor, epochs: int) -> None:
    rows = max(1, min(_ROWS, len(stream) // (2 * _BPTT)))
    length = len(stream) // rows
    columns = stream[: rows * length].reshape(rows, length)
    pieces = max(1, math.ceil((length - 1) / _BPTT))
    steps = min(epochs * pieces, math.ceil(_CHARACTERS / (rows * _BPTT)))
    parameters = list(model.parameters())
    eager_optimizer.spare_compiler()
    optimiser = torch.optim.Adam(parameters, lr=_LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    state = None
    for step in range(steps):
        start = step % pieces * _BPTT
        state = None if start == 0 else state
        piece = columns[:, start : start + _BPTT + 1]
        logits, state = model(piece[:, :-1], state)
        state = (state[0].detach(), state[1].detach())
        loss = functional.cross_entropy(logits.flatten(0, 1), piece[:, 1:].flatten())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
        eager_optimizer.step(optimiser)
        schedule.step()


def _standardise(model: TextNetwork, stream: TokenIds) -> None:
    rows = passages(stream) if len(passages(stream)) > 1 else passages(stream, len(stream) // 2)
    chosen = evenly_spaced(len(rows), _ENOUGH)
    features = model.features(rows[chosen])
    spread = features.std(axis=0)
    model.centre.copy_(torch.from_numpy(features.mean(axis=0)))
    # A unit that does not respond to the text must not be divided by zero.
    model.spread.copy_(torch.from_numpy(np.where(spread > 1e-6, spread, 1.0)))
