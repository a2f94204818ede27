"""Gates whose bounds are relative, so that no number of the data set must be known."""

from __future__ import annotations

from typing import Any

from genmint.config import Dataset, ModelConfig
from genmint.evaluation.distance_names import distance_names, own_features
from genmint.proposal.entry_text import EntryKey, ParamsEntry

# Without `min_authenticity`: blurred samples fail it, which are average images and no copies.
_GRID_MEMORISATION = {"max_copied": 0.1, "min_copying_z": -5.0, "max_near_duplicates": 0.05}
_TEXT_MEMORISATION = {"max_copied": 0.1, "max_copy_ratio": 2.0}
_SKILL = 0.5


def gate_entry(name: str, config: ModelConfig, dataset: Dataset) -> ParamsEntry:
    """Return the gate of a model.

    Likelihoods must beat a codec or a trivial model of the reference; models without one must have
    half of the skill of real data in the Fréchet distance.

    Args:
        name: name of the model.
        config: model entry.
        dataset: data set entry.
    """
    metric, bound, why = _threshold(config, dataset)
    memorisation = _TEXT_MEMORISATION if dataset.kind == "text" else _GRID_MEMORISATION
    settings = (
        EntryKey("thresholds", {metric: bound}, why),
        EntryKey("memorisation", memorisation),
        EntryKey("champion", {"superior": [metric]}),
    )
    return ParamsEntry(name, settings)


def _threshold(config: ModelConfig, dataset: Dataset) -> tuple[str, dict[str, Any], str]:
    metric = next(iter(config.likelihood_metrics(dataset.kind)), None)
    if metric is None:
        distance = distance_names(own_features(config.dataset)).frechet
        return distance, {"skill": _SKILL}, "0: trivial baseline, 1: real data"
    if dataset.kind == "text":
        return metric, {"baseline": "trigram", "margin": 0.05}, "less than a trigram model needs"
    if metric == "elbo":
        if getattr(config, "likelihood", None) == "bernoulli":
            why = "better than independent pixels, in nats"
            return "elbo", {"baseline": "pixel_bernoulli", "margin": 1.0}, why
        if dataset.kind == "image":
            return "bits_per_dim", {"baseline": "png"}, "less than PNG needs"
        why = "less than a histogram of each pixel needs"
        return "bits_per_dim", {"baseline": "pixel_histogram", "margin": 0.1}, why
    if dataset.kind == "image":
        return metric, {"baseline": "png"}, "less than PNG needs"
    return metric, {"baseline": "order_1", "margin": 0.1}, "less than an order-1 model needs"
