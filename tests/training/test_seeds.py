import math

from genmint.training.loop import TrainingResult
from genmint.training.seeds import Trained, best_of, loss_deviation


def trained(*losses):
    return [
        Trained(seed, None, TrainingResult([], 1, loss, 1, 1.0, []))
        for seed, loss in enumerate(losses)
    ]


def test_the_lowest_validation_loss_goes_on():
    assert best_of(trained(3.0, 1.0, 2.0)).seed == 1


def test_among_equals_the_first_goes_on():
    assert best_of(trained(2.0, 1.0, 1.0)).seed == 1


def test_the_spread_is_the_sample_standard_deviation():
    assert loss_deviation(trained(1.0, 2.0, 6.0)) == math.sqrt(7.0)


def test_one_training_run_has_no_spread():
    assert loss_deviation(trained(5.0)) == 0.0
