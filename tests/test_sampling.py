"""What people say about a draw, and the file that it becomes."""

from types import SimpleNamespace

import numpy as np
import pytest

from genmint.config import RNNConfig
from genmint.data.spec import DataSpec
from genmint.errors import ConfigError
from genmint.models import store
from genmint.project import Project
from genmint.sampling import sample_to_file

VOCABULARY = ("<unk>", "<s>", "a", "b", " ", "\n")
TEXT = DataSpec(
    dataset="words", kind="text", view="sequence", shape=(), symbols=6, vocabulary=VOCABULARY
)
CLIPS = DataSpec(
    dataset="clips", kind="audio", view="sequence", shape=(9,), symbols=256, sample_rate=8000,
    samples=9,
)  # fmt: skip


@pytest.fixture
def project(tmp_path):
    for spec in (TEXT, CLIPS):
        config = RNNConfig(family="rnn", dataset=spec.dataset, hidden=4, embedding=4, steps=1)
        described = {
            "name": spec.dataset, "model": config, "data": spec, "prepared": "d", "resolved": {},
        }  # fmt: skip
        folder = tmp_path / "models" / spec.dataset
        folder.mkdir(parents=True)
        store.save(folder, store.build(config, spec), described)
    return Project(tmp_path)


@pytest.fixture
def draw(project, tmp_path):
    def to(name, ending, length=None, **said):
        out = tmp_path / f"x{ending}"
        knows = SimpleNamespace(datasets={})
        sample_to_file(project, knows, name, out, n=3, seed=0, length=length, said=said)
        return out

    return to


def test_texts_begin_with_the_prompt(draw):
    text = draw("words", ".txt", length=7, prompt="ab\r\nb").read_text()
    assert text.count("ab\nb") >= 3
    assert len(text) == 3 * (4 + 7) + 2 * 2 + 1
    symbols = np.load(draw("words", ".npy", length=7, prompt="ab"))
    assert symbols.shape == (3, 9)
    assert symbols[:, :2].tolist() == [[2, 3]] * 3


def test_what_is_said_once_goes_before_the_block(draw):
    plain = np.load(draw("words", ".npy", length=50))
    alone = np.load(draw("words", ".npy", length=50, top_k=1))
    assert len(np.unique(plain, axis=0)) == 3
    assert len(np.unique(alone, axis=0)) == 1
    tiny = np.load(draw("words", ".npy", length=50, top_p=1e-9))
    assert np.array_equal(alone, tiny)
    cold = np.load(draw("words", ".npy", length=50, temperature=1e-6))
    assert np.array_equal(alone, cold)


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("words", {"prompt": "aébx"}, r"prompt: 'x' \(U\+0078\), 'é' \(U\+00E9\): words has no"),
        ("words", {"prompt": ""}, "prompt: nothing to go on from"),
        ("words", {"temperature": 0.0}, "temperature 0.0: input should be greater than 0"),
        ("words", {"top_k": 0}, "top_k 0: input should be greater than 0"),
        ("words", {"top_p": 1.2}, "top_p 1.2: input should be less than or equal to 1"),
        ("clips", {"prompt": "a"}, "prompt: clips is audio; only texts have one"),
    ],
)
def test_what_the_model_does_not_know_is_refused_with_the_way_out(draw, name, said, words):
    with pytest.raises(ConfigError, match=words):
        draw(name, ".txt" if name == "words" else ".wav", **said)
