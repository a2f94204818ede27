"""Small specifications that the families are built for."""

import pytest

from genmint.data.views.spec import DataSpec


@pytest.fixture(autouse=True)
def _all_on_one_thread(one_thread):
    pass


@pytest.fixture
def grid():
    def make(*shape):
        return DataSpec(dataset="d", kind="image", view="grid", shape=shape)

    return make


@pytest.fixture
def items():
    def make(length, symbols=16):
        return DataSpec(
            dataset="d", kind="audio", view="sequence", shape=(length,), symbols=symbols,
            sample_rate=8000, samples=length,
        )  # fmt: skip

    return make


@pytest.fixture
def text():
    vocabulary = ("<unk>", "<s>", *"abcdefghij")
    return DataSpec(
        dataset="d", kind="text", view="sequence", shape=(), symbols=len(vocabulary),
        vocabulary=vocabulary,
    )  # fmt: skip
