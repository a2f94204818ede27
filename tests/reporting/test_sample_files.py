"""What people say about a draw, and the file that it becomes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from genmint.common.errors import ConfigError
from genmint.common.project import Project
from genmint.config import RNNConfig, VAEConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.reporting.explore import explore
from genmint.reporting.sample_files import SampleRequest, encode_to_file, sample_to_file

VOCABULARY = ("<unk>", "<s>", "a", "b", " ", "\n")
TEXT = DataSpec(
    dataset="words", kind="text", view="sequence", shape=(), symbols=6, vocabulary=VOCABULARY
)
CLIPS = DataSpec(
    dataset="clips", kind="audio", view="sequence", shape=(9,), symbols=256, sample_rate=8000,
    samples=9,
)  # fmt: skip
DOTS = DataSpec(
    dataset="dots", kind="image", view="grid", shape=(1, 4, 4), labels=("small", "large")
)


@pytest.fixture
def project(tmp_path):
    for spec in (TEXT, CLIPS, DOTS):
        config = RNNConfig(family="rnn", dataset=spec.dataset, hidden=4, embedding=4, steps=1)
        if spec is DOTS:
            config = VAEConfig(family="vae", dataset="dots", steps=1, conditional=True)
        described = {
            "name": spec.dataset, "model": config, "data": spec, "prepared": "d", "resolved": {},
        }  # fmt: skip
        folder = tmp_path / "models" / spec.dataset
        folder.mkdir(parents=True)
        store.save(folder, store.build(config, spec), described)
    return Project(tmp_path)


@pytest.fixture
def draw(project, tmp_path):
    def to(name, ending, length=None, label=None, **said):
        out = tmp_path / f"x{ending}"
        knows = SimpleNamespace(datasets={})
        sample_to_file(project, knows, name, out, SampleRequest(3, 0, length, label, said))
        return out

    return to


def test_texts_begin_with_the_prompt(draw):
    text = draw("words", ".txt", length=7, prompt="ab\r\nb").read_text()
    assert text.count("ab\nb") >= 3
    assert len(text) == 3 * (4 + 7) + 2 * 2 + 1
    texts = np.load(draw("words", ".npy", length=7, prompt="ab"))
    assert texts.shape == (3,)
    assert all(text.startswith("ab") and len(text) == 9 for text in texts)


def test_json_lines_hold_each_text_whole(draw):
    """Texts contain empty lines, too, which separate them in a .txt file."""
    lines = draw("words", ".jsonl", length=300).read_text().splitlines()
    texts = [json.loads(line) for line in lines]
    assert texts == np.load(draw("words", ".npy", length=300)).tolist()
    assert any("\n\n" in text for text in texts)
    assert draw("words", ".txt", length=300).read_text() == "\n\n".join(texts) + "\n"


def test_an_array_holds_what_is_heard_and_not_codes(draw):
    clips = np.load(draw("clips", ".npy"))
    assert (clips.dtype, clips.shape) == (np.int16, (3, 9))
    heard, _ = soundfile.read(draw("clips", ".wav"), dtype="int16")
    pause = 8000 // 8
    assert heard[:9].tolist() == clips[0].tolist()
    assert heard[9 + pause : 18 + pause].tolist() == clips[1].tolist()
    assert np.load(draw("dots", ".npy")).shape == (3, 1, 4, 4)


@pytest.mark.parametrize("name", ["smaples/x.png", "a/b/x.png", "file/x.png"])
def test_no_folder_is_made_for_a_mistyped_name(project, tmp_path, name):
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    knows = SimpleNamespace(datasets={})
    with pytest.raises(ConfigError, match=r"there is no folder .*Create it, or correct --out"):
        sample_to_file(project, knows, "dots", tmp_path / name, SampleRequest(3, 0))
    with pytest.raises(ConfigError, match="there is no folder"):
        encode_to_file(project, "dots", (tmp_path / name).with_suffix(".csv"))
    with pytest.raises(ConfigError, match="there is no folder"):
        explore(project, "dots", (tmp_path / name).with_suffix(".html"), seed=0)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_length_of_images_is_refused(draw):
    with pytest.raises(ConfigError, match="--length: dots has items of a fixed length"):
        draw("dots", ".png", length=5)


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
        (
            "words",
            {"prompt": "aébx"},
            r"prompt: 'x' \(U\+0078\), 'é' \(U\+00E9\): not in the training split of words",
        ),
        ("words", {"prompt": ""}, "prompt: it is empty"),
        (
            "words",
            {"temperature": 0.0},
            "temperature 0.0: input should be greater than or equal to",
        ),
        ("words", {"top_k": 0}, "top_k 0: input should be greater than 0"),
        ("words", {"top_p": 1.2}, "top_p 1.2: input should be less than or equal to 1"),
        ("clips", {"prompt": "a"}, "prompt: clips is audio; only texts have one"),
        ("words", {"label": "a"}, "label 'a': only a model with conditional: true"),
        ("dots", {"label": "a"}, "label 'a': there is none; known: small, large"),
    ],
)
def test_what_the_model_does_not_know_is_refused_with_the_remedy(draw, name, said, words):
    with pytest.raises(ConfigError, match=words):
        draw(name, {"words": ".txt", "clips": ".wav", "dots": ".png"}[name], **said)


def test_samples_are_of_the_class_that_was_asked_for(draw, project):
    model, _ = store.load(project.model("dots"))
    for number, name in enumerate(DOTS.labels):
        drawn = np.load(draw("dots", ".npy", label=name))
        expected = model.sample(3, seed=0, labels=torch.full((3,), number)).numpy()
        assert np.array_equal(drawn, expected)
    assert np.array_equal(np.load(draw("dots", ".npy")), model.sample(3, seed=0).numpy())
