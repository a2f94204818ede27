"""What a classifier says of samples: how sure it is, which classes occur, and how often."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genmint.metrics.likelihood import mean_and_stderr
from genmint.metrics.resampling import Rows, jackknife_stderr

CONFIDENCE = 0.8


def confident(probabilities: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Share of samples whose most probable class has a probability above 0.8, and its error.

    Args:
        probabilities: float64 N×classes; rows sum to one.
    """
    return mean_and_stderr((probabilities.max(axis=1) > CONFIDENCE).astype(np.float64))


def label_accuracy(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Share of samples that are classified as what they were asked for, and its error.

    Of a conditional model (Miyato and Koyama 2018, section 6; Shmelkov et al. 2018, GAN-test). What
    the classifier gets wrong of real items, it gets wrong here, too: its accuracy on the test split
    is what samples like the data would score.

    Args:
        probabilities: float64 N×classes.
        labels: that were asked for, int64 N.
    """
    return mean_and_stderr((probabilities.argmax(axis=1) == labels).astype(np.float64))


def classes(probabilities: npt.NDArray[np.float64]) -> int:
    """Number of classes that are the most probable one of at least one sample.

    Args:
        probabilities: float64 N×classes.
    """
    return len(np.unique(probabilities.argmax(axis=1)))


def class_imbalance(
    probabilities: npt.NDArray[np.float64], real: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Total variation distance between the class shares of samples and of real items, and error.

    ½ Σ |share of the samples − share of the real items|: the part of the samples that would have to
    change its class. An item has its most probable class on both sides, so that what the classifier
    confuses cancels. Chance alone makes about √(classes · (1/N + 1/M) / 2π).

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
    """Kullback–Leibler divergence of the samples' class shares from the data's in nats, and error.

    Σ q·log(q/p), q being the share of the samples whose most probable class it is, and p that of
    the training items whose label it is, of each class half an item more than there are (Krichevsky
    and Trofimov 1981), lest one that training lacks makes it infinite. With `classes` it is what
    papers report of stacked MNIST: modes, and KL (Srivastava et al. 2017; Lin et al. 2018).

    Args:
        probabilities: of samples, float64 N×classes.
        known: class numbers of the training items, int64 M.

    Returns:
        0 where the shares are equal, log(n/k) where only k of n equal classes occur, equally often;
        and its standard error over the drawing of the samples (jackknife; too large by about a half
        where shares are as equal as chance leaves them). Chance alone makes about (classes − 1)/2N.
    """
    count = probabilities.shape[1]
    expected = (np.bincount(known, minlength=count) + 0.5) / (len(known) + count / 2)
    drawn = probabilities.argmax(axis=1)

    def divergence(rows: Rows) -> float:
        found = _shares(drawn[rows], count)
        present = found > 0
        return float((found[present] * np.log(found[present] / expected[present])).sum())

    return divergence(np.arange(len(drawn))), jackknife_stderr(divergence, len(drawn))


def _shares(answers: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    return np.bincount(answers, minlength=count) / len(answers)
