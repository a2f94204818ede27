import numpy as np

from genmint.metrics.classes import classes, confident


def test_confidence_and_classes():
    probabilities = np.array([[0.9, 0.1, 0], [0.79, 0.21, 0], [0.1, 0.85, 0.05], [0.8, 0.2, 0]])
    assert confident(probabilities) == 0.5
    assert classes(probabilities) == 2
