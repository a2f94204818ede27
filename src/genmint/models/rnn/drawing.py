"""Drawing the next symbol: how logits become a choice, and what a user may say about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from genmint.config import SamplingConfig
from genmint.data import views
from genmint.data.spec import DataSpec
from genmint.errors import ConfigError
from genmint.reading import shortened

# What a user may say about a draw besides its number, seed and length.
SAID = ("prompt", "temperature", "top_k", "top_p")


def asked(spec: DataSpec, n: int, said: Mapping[str, Any]) -> dict[str, Any]:
    """What `RNN.sample` is to be called with, from what a user says.

    Args:
        spec: of the model, of whatever family.
        n: how many are drawn.
        said: some of SAID: the text to go on from, and what goes before the block's `sampling`.

    Raises:
        ConfigError: it says what this model does not know, or is out of range.
    """
    if said and spec.view != "sequence":
        raise ConfigError(f"{next(iter(said))}: only an RNN draws symbol by symbol; leave it out")
    limits = {key: value for key, value in said.items() if key != "prompt"}
    try:
        valid = SamplingConfig.model_validate(limits)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise ConfigError(f"{key} {shortened(said[key])}: {first['msg'].lower()}") from None
    named: dict[str, Any] = {key: getattr(valid, key) for key in limits}
    if "prompt" in said:
        if spec.kind != "text":
            raise ConfigError(f"prompt: {spec.dataset} is {spec.kind}; only texts have one")
        try:
            symbols = views.to_symbols(said["prompt"], spec)
        except ConfigError as error:
            raise ConfigError(f"prompt: {error}") from None
        named["prompt"] = symbols.expand(n, -1)
    return named


def draw(logits: Tensor, level: Tensor, settings: SamplingConfig) -> Tensor:
    """Draw one symbol a row by inverse CDF.

    Args:
        logits: float N×symbols; −∞ is never drawn.
        level: float64 N×1, uniform over 0…1.
        settings: temperature, then `top_k`, then `top_p`.

    Returns:
        int64 N×1.
    """
    scaled = truncated(logits.double() / settings.temperature, settings.top_k, settings.top_p)
    cumulative = scaled.softmax(dim=1).cumsum(dim=1)
    level = level * cumulative[:, -1:]
    return torch.searchsorted(cumulative, level, right=True).clamp_(max=logits.shape[1] - 1)


def truncated(logits: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """Cut the tail off: −∞ in the place of all symbols that shall not be drawn.

    Args:
        logits: float N×symbols.
        top_k: keeps so many, the likeliest (Fan et al. 2018, section 5.2); of equals those that
            come first.
        top_p: of those keeps the smallest set, likeliest first, whose probabilities sum to `top_p`
            or more (the nucleus: Holtzman et al. 2020, eq. 2); 1 keeps all.
    """
    if top_k is None and top_p == 1:
        return logits
    ordered, order = logits.sort(dim=1, descending=True, stable=True)
    kept = torch.ones_like(ordered, dtype=torch.bool)
    if top_k is not None:
        kept[:, top_k:] = False
    if top_p < 1:
        share = ordered.masked_fill(~kept, -torch.inf).softmax(dim=1)
        kept &= share.cumsum(dim=1) - share < top_p
    return logits.masked_fill(~kept.scatter(1, order, kept), -torch.inf)
