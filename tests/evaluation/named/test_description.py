from pathlib import Path

import pytest
from tests.evaluation.named.descriptions import write_description

from genmint.common.errors import ConfigError
from genmint.config.metric_catalogue import metric
from genmint.evaluation.named.description import names_of, read_extractor_description

ROOT = Path(__file__).parents[3]
FID = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION = {
    "architecture": "inception-v3",
    "input": {"side": 299, "resize": "tensorflow", "mean": [128.0] * 3, "std": [128.0] * 3},
    "features": 2048,
    "metric": "fid",
}


def weights(sha256=FID, **changes):
    return {"name": "w.pth", "sha256": sha256, "mirror": "w.pth", "format": "state-dict", **changes}


def read(root, name):
    return read_extractor_description(root, name, "datasets.d.reference.extractor")


@pytest.mark.parametrize(
    ("name", "frechet", "kernel"),
    [
        ("efficientnet_lite0", "frechet_efficientnet_lite0", "kernel_efficientnet_lite0"),
        ("dinov2_s14", "frechet_dinov2_s14", "kernel_dinov2_s14"),
        ("dinov2_l14", "fd_dinov2", "kernel_dinov2_l14"),
        ("inception_v3", "fid", "kid"),
    ],
)
def test_the_descriptions_that_come_along(name, frechet, kernel):
    description = read(ROOT, name)
    assert description.licence
    names = names_of(name, description)
    assert (names.frechet, names.kernel) == (frechet, kernel)
    assert metric(names.frechet).direction == metric(names.kernel).direction == "lower"


@pytest.mark.parametrize(
    "change",
    [
        {"weights": weights("0" * 64)},
        {"input": INCEPTION["input"] | {"resize": "bilinear"}},
        {"input": INCEPTION["input"] | {"mean": [127.5] * 3}},
        {"architecture": "dinov2"},
        {"metric": None},
    ],
    ids=["weights", "resize", "mean", "network", "not asked for"],
)
def test_the_name_fid_belongs_to_the_published_weights_and_preprocessing(tmp_path, change):
    write_description(tmp_path, "mine", weights=weights(), **INCEPTION)
    assert names_of("mine", read(tmp_path, "mine")).frechet == "fid"
    write_description(tmp_path, "mine", **{"weights": weights(), **INCEPTION, **change})
    assert names_of("mine", read(tmp_path, "mine")).frechet == "frechet_mine"


def test_a_description_of_other_weights_cannot_be_called_fid(tmp_path):
    write_description(tmp_path, "my_fid", weights=weights("0" * 64))
    with pytest.raises(ConfigError, match=r"my_fid\.yaml: the name my_fid is reserved"):
        read(tmp_path, "my_fid")


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    write_description(tmp_path, "mine", weights=weights())
    with pytest.raises(
        ConfigError,
        match=r"datasets\.d\.reference\.extractor: there is no .*yours\.yaml; known: own, mine$",
    ):
        read(tmp_path, "yours")


def test_a_description_without_a_checksum_asks_for_it(tmp_path):
    write_description(tmp_path, "mine", weights=weights(None))
    with pytest.raises(ConfigError, match=r"mine\.yaml: weights\.sha256 is missing: fill in"):
        read(tmp_path, "mine")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"weights": weights(format="pickle")}, "weights.format"),
        ({"weights": weights("12")}, "weights.sha256"),
        ({"architecture": "resnet"}, "architecture"),
        ({"input": {"side": 28, "resize": "bicubic", "mean": [0.0] * 3, "std": [0.0] * 3}},
         "input.std.0"),
        ({"colour": 3}, "colour"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named(tmp_path, change, where):
    write_description(tmp_path, "mine", **{"weights": weights(), **change})
    with pytest.raises(ConfigError, match=rf"mine\.yaml: {where}: "):
        read(tmp_path, "mine")
