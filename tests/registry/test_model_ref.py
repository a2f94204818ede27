import pytest

from genmint.common.errors import ConfigError
from genmint.registry.model_ref import ModelRef


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image-vae", ModelRef("image-vae")),
        ("image-vae@champion", ModelRef("image-vae", alias="champion")),
        ("image-vae/12", ModelRef("image-vae", version="12")),
    ],
)
def test_the_three_forms(text, expected):
    assert ModelRef.parse(text) == expected


@pytest.mark.parametrize("text", ["", "Image", "a/b", "a@", "a@b/3", "a/3@b", "a b", "x" * 64])
def test_another_form_is_refused_with_the_right_ones(text):
    with pytest.raises(ConfigError, match="NAME@alias or NAME/version"):
        ModelRef.parse(text)
