"""MLflow's pages group the charts; the main metrics keep their names."""

import pytest

from genmint.tracking.chart_keys import chart_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((name, name) for name in ("train_loss", "validation_loss", "elbo", "coverage")),
        ("frechet_digits_cnn_infinite_stderr", "stderr/frechet_digits_cnn_infinite"),
        ("train_kl", "train/kl"),
        ("validation_reconstruction", "validation/reconstruction"),
        ("gradient_norm", "train/gradient_norm"),
        ("gradient_norm.decoder.0", "gradient_norm/decoder.0"),
        ("kl.000", "kl/000"),
        ("nonfinite", "train/nonfinite"),
    ],
)
def test_keys(name, key):
    assert chart_key(name) == key
