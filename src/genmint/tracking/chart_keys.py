"""Keys under which MLflow has a metric: its pages group charts by what precedes a `/`."""

from __future__ import annotations

from genmint.config.metric_catalogue import STDERR

# Losses by which models are compared stay among the main metrics, as all metrics of evaluate do.
_MAIN = ("train_loss", "validation_loss")
_OF_SPLIT = ("train", "validation")
_OF_TRAINING = ("epoch", "gradient_norm", "nonfinite", "recoveries")


def chart_key(name: str) -> str:
    """Return the key of a metric in MLflow.

    Standard errors, terms of a loss and values of single layers, lags and latents get a group of
    their own: `stderr/elbo`, `train/kl`, `gradient_norm/decoder.0`. All other keys are the names.
    Runs of earlier versions of genmint have the names as keys.
    """
    if name.endswith(STDERR):
        return f"stderr/{name.removesuffix(STDERR)}"
    if name in _MAIN:
        return name
    if name in _OF_TRAINING:
        return f"train/{name}"
    split, underscore, term = name.partition("_")
    if underscore and split in _OF_SPLIT:
        return f"{split}/{term}"
    group, dot, member = name.partition(".")
    return f"{group}/{member}" if dot else name
