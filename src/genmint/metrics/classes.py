"""Class metrics of samples under a classifier: confidence, label accuracy, coverage, balance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genmint.metrics.likelihood import mean_and_stderr
from genmint.metrics.resampling import Rows, jackknife_stderr

CONFIDENCE = 0.8


def confident(probabilities: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Share of samples whose top class probability is above 0.8, and its standard error.

    Args:
        probabilities: float64 N×classes; rows sum to one.
    """
    return mean_and_stderr((probabilities.max(axis=1) > CONFIDENCE).astype(np.float64))


def label_accuracy(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Share of samples that are classified as their requested class, and its standard error.

    For conditional models (Miyato and Koyama 2018, section 6; Shmelkov et al. 2018, GAN-test).
    Errors of the classifier lower the value. The reference is therefore its accuracy on the test
    split, which perfect samples would reach.

    Args:
        probabilities: float64 N×classes.
        labels: requested class numbers, int64 N.
    """
    return mean_and_stderr((probabilities.argmax(axis=1) == labels).astype(np.float64))


def classes(probabilities: npt.NDArray[np.float64]) -> int:
    """Number of classes that are the predicted class of at least one sample.

    Args:
        probabilities: float64 N×classes.
    """
    return len(np.unique(probabilities.argmax(axis=1)))


def class_imbalance(
    probabilities: npt.NDArray[np.float64], real: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Total variation distance between class shares of samples and of real items, and its error.

    ½ Σ |share of the samples − share of the real items|. This is the fraction of samples whose
    class would have to change. Both sides use the predicted class, so that confusions of the
    classifier cancel. The expected value from sampling alone is about √(classes · (1/N + 1/M) /
    2π).

    Args:
        probabilities: of samples, float64 N×classes.
        real: of real items, float64 M×classes.

    Returns:
        0…1, and its standard error over the drawing of the samples (jackknife).
    """
    count = probabilities.shape[1]
    target = _shares(real.argmax(axis=1), count)
    drawn = probabilities.argmax(axis=1)

    def distance(rows: Rows) -> float:
        return float(np.abs(_shares(drawn[rows], count) - target).sum() / 2)

    return distance(np.arange(len(drawn))), jackknife_stderr(distance, len(drawn))


def class_kl(
    probabilities: npt.NDArray[np.float64], known: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """KL divergence of the samples' class shares from the training data's, in nats, and its error.

    Σ q·log(q/p). q is the share of samples predicted as a class, p the share of training items with
    that label. Half an item is added to each class count of the training data (Krichevsky and
    Trofimov 1981). Otherwise a class without training items would make the sum infinite. Papers
    report the divergence together with `classes` for stacked MNIST, as modes and KL (Srivastava et
    al. 2017; Lin et al. 2018).

    Args:
        probabilities: of samples, float64 N×classes.
        known: class numbers of the training items, int64 M.

    Returns:
        0 for equal shares; log(n/k) if only k of n equal classes occur, equally often. Sampling
        noise alone gives about (classes − 1)/2N. The second value is the standard error over the
        drawing of the samples (jackknife). It is about 50 % too large if the shares differ by
        sampling noise only.
    """
    count = probabilities.shape[1]
    expected = (np.bincount(known, minlength=count) + 0.5) / (len(known) + count / 2)
    drawn = probabilities.argmax(axis=1)

    def divergence(rows: Rows) -> float:
        shares = _shares(drawn[rows], count)
        present = shares > 0
        return float((shares[present] * np.log(shares[present] / expected[present])).sum())

    return divergence(np.arange(len(drawn))), jackknife_stderr(divergence, len(drawn))


def _shares(answers: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    return np.bincount(answers, minlength=count) / len(answers)
