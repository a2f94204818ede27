"""The known name that a mistyped one is nearest to."""

from genmint.common.nearest import nearest, nearest_or_all

KNOWN = ["image-vae", "image-gan", "text-rnn"]


def test_a_mistyped_name_has_a_nearest_one():
    assert nearest("image-va", KNOWN) == "image-vae"
    assert nearest_or_all("text-rn", KNOWN) == "did you mean 'text-rnn'?"


def test_a_name_of_another_kind_has_none():
    assert nearest("xyz", KNOWN) is None
    assert nearest("xyz", []) is None
    assert nearest_or_all("xyz", KNOWN) == "there are: image-vae, image-gan, text-rnn"
