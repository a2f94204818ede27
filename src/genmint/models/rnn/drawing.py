"""Sampling of the next symbol from logits, and validation of the sampling options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import torch
from pydantic import ValidationError
from torch import Tensor

from genmint.common.errors import ConfigError
from genmint.common.reading import shortened
from genmint.config import SamplingConfig
from genmint.config.base import first_problem
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec


class SamplingOverrides(TypedDict, total=False):
    """Overrides of a model entry's `sampling` for one call.

    Attributes:
        temperature: divisor of the logits.
        top_k: draw from the `top_k` most likely symbols; the number of symbols disables it.
        top_p: draw from the nucleus with this probability; 1 disables it.
    """

    temperature: float | None
    top_k: int | None
    top_p: float | None


def sampling_arguments(spec: DataSpec, n: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `RNN.sample` from the sampling options of a user.

    Args:
        spec: of the model.
        n: number of samples.
        options: a subset of `genmint.models.shared.family.SAMPLING_OPTIONS`: the prompt, and
            values that override the model entry's `sampling`.

    Raises:
        ConfigError: an option is not supported by this model, or out of range.
    """
    limits = {key: value for key, value in options.items() if key != "prompt"}
    try:
        valid = SamplingConfig.model_validate(limits)
    except ValidationError as error:
        key, problem = first_problem(error)
        raise ConfigError(f"{key} {shortened(options[key])}: {problem.lower()}") from None
    named: dict[str, Any] = {key: getattr(valid, key) for key in limits}
    if "prompt" in options:
        if spec.kind != "text":
            raise ConfigError(f"prompt: {spec.dataset} is {spec.kind}; only texts have one")
        try:
            symbols = tensors.to_symbols(options["prompt"], spec)
        except ConfigError as error:
            raise ConfigError(f"prompt: {error}") from None
        named["prompt"] = symbols.expand(n, -1)
    return named


def overridden(
    sampling: SamplingConfig,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> SamplingConfig:
    """`sampling` with the `SamplingOverrides` that are not None in the place of its own."""
    limits = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    return sampling.model_copy(
        update={key: value for key, value in limits.items() if value is not None}
    )


def draw(logits: Tensor, level: Tensor, settings: SamplingConfig) -> Tensor:
    """Draw one symbol per row by inverse CDF.

    Args:
        logits: float N×symbols; −∞ is never drawn.
        level: float64 N×1, uniform over 0…1.
        settings: temperature, `top_k` and `top_p`, applied in this order.

    Returns:
        int64 N×1.
    """
    scaled = truncated(logits.double() / settings.temperature, settings.top_k, settings.top_p)
    cumulative = scaled.softmax(dim=1).cumsum(dim=1)
    level = level * cumulative[:, -1:]
    return torch.searchsorted(cumulative, level, right=True).clamp_(max=logits.shape[1] - 1)


def truncated(logits: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """Truncate the distribution: set the logits of excluded symbols to −∞.

    Args:
        logits: float N×symbols.
        top_k: number of most likely symbols to keep (Fan et al. 2018, section 5.2); of equally
            likely symbols the first are kept.
        top_p: of those keep the smallest set, in descending order of probability, whose
            probabilities sum to at least `top_p` (nucleus sampling: Holtzman et al. 2020, eq. 2);
            1 keeps all.
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
