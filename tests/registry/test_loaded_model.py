"""What a loaded model does with arrays, class names and texts, for each kind of model."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.registry.models_of_all_kinds import KINDS, write

from genmint.common.errors import ConfigError
from genmint.common.project import Project
from genmint.models.shared.blocks import prior
from genmint.registry import pyfunc
from genmint.reporting.sample_files import SampleRequest, sample_to_file

ABILITIES = {
    "vae": "sample reconstruct encode decode interpolate log_likelihood",
    "conditional": "sample reconstruct encode decode interpolate log_likelihood",
    "hierarchical": "sample reconstruct encode decode interpolate log_likelihood",
    "vq": "sample reconstruct encode decode log_likelihood",
    "two-levels": "sample reconstruct encode decode interpolate log_likelihood",
    "spectrograms": "sample reconstruct encode decode interpolate log_likelihood to_audio",
    "gan": "sample decode interpolate",
    "text": "sample log_likelihood",
    "clips": "sample log_likelihood",
    "raster": "sample log_likelihood",
}
FORMS = {
    "vae": (np.uint8, (2, 3, 8, 8)),
    "conditional": (np.uint8, (2, 3, 8, 8)),
    "hierarchical": (np.uint8, (2, 3, 8, 8)),
    "vq": (np.uint8, (2, 3, 8, 8)),
    "two-levels": (np.uint8, (2, 3, 8, 8)),
    "spectrograms": (np.uint8, (2, 1, 8, 9)),
    "gan": (np.uint8, (2, 3, 8, 8)),
    "clips": (np.int16, (2, 9)),
    "raster": (np.uint8, (2, 3, 4, 2)),
}


@pytest.fixture
def loaded(tmp_path):
    def make(kind):
        return write(kind, tmp_path / kind)

    return make


def images(n=2, shape=(3, 8, 8)):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_has_what_its_family_has_and_names_it(loaded, kind):
    model = loaded(kind)
    assert model.abilities == tuple(ABILITIES[kind].split())
    assert repr(model).endswith(f"; {', '.join(model.abilities)}>")
    calls = {
        "reconstruct": lambda: model.reconstruct(images()),
        "encode": lambda: model.encode(images()),
        "decode": lambda: model.decode(np.zeros((1, 3))),
        "interpolate": lambda: model.interpolate(np.zeros((1, 3)), np.zeros((1, 3))),
        "log_likelihood": lambda: model.log_likelihood(images()),
        "to_audio": lambda: model.to_audio(images()),
    }
    for name in calls.keys() - set(model.abilities):
        with pytest.raises(ConfigError, match=f"has no {name}; it has {model.abilities[0]}"):
            calls[name]()
    if "decode" not in model.abilities:
        with pytest.raises(ConfigError, match="has no latent; it has"):
            _ = model.latent


@pytest.mark.parametrize("kind", KINDS)
def test_loaded_served_and_sampled_to_a_file_are_the_same(loaded, tmp_path, kind):
    """For the same seed; of text with a prompt, of a conditional model with a class."""
    model = loaded(kind)
    more = {"text": {"prompt": "ab", "top_k": 2}, "conditional": {"label": "large"}}.get(kind, {})
    length = {"length": 7} if kind == "text" else {}
    mine = dict(more)
    if "label" in mine:
        mine["labels"] = mine.pop("label")
    samples = model.sample(3, seed=5, **mine, **length)
    listed = samples if isinstance(samples, list) else samples.tolist()
    served = pyfunc.SamplingModel()
    served.load_context(SimpleNamespace(artifacts={"model": str(tmp_path / kind)}))
    row = {"n": [3], "seed": [5]} | {key: [value] for key, value in (more | length).items()}
    assert served.predict(None, pd.DataFrame(row))["sample"].tolist() == listed
    (tmp_path / "models").mkdir()
    (tmp_path / kind).rename(tmp_path / "models" / kind)
    out, label = tmp_path / "x.npy", more.pop("label", None)
    request = SampleRequest(3, 5, length.get("length"), label, more)
    sample_to_file(Project(tmp_path), SimpleNamespace(datasets={}), kind, out, request)
    assert np.load(out).tolist() == listed
    # Another seed, and none, give other samples.
    assert model.sample(3, seed=6, **mine, **length) is not samples
    others = [model.sample(3, **mine, **length) for _ in range(2)]
    assert not all(np.array_equal(each, samples) for each in others)


@pytest.mark.parametrize("kind", FORMS)
def test_samples_are_items(loaded, kind):
    """They have the documented form, and every method that takes items takes them."""
    model = loaded(kind)
    dtype, shape = FORMS[kind]
    labels = ["small", "large"] if kind == "conditional" else None
    samples = model.sample(2, seed=0, labels=labels)
    assert (samples.dtype, samples.shape) == (dtype, shape)
    for name in ("encode", "reconstruct", "log_likelihood"):
        if name in model.abilities:
            assert len(getattr(model, name)(samples, labels=labels)) == 2


@pytest.mark.parametrize(
    "kind", ["vae", "conditional", "hierarchical", "two-levels", "spectrograms"]
)
def test_latents_go_out_and_in(loaded, kind):
    model = loaded(kind)
    labels = ["small", "large"] if kind == "conditional" else None
    items = images(2, model.module.spec.shape)
    z = model.encode(items, labels=labels)
    latent = 2 * (4 * 4 + 8 * 8) if kind == "hierarchical" else 3
    width = 5 if kind == "two-levels" else latent
    assert (z.dtype, z.shape, model.latent) == (np.float32, (2, width), latent)
    expected = model.reconstruct(items, labels=labels)
    assert (expected.dtype, expected.shape) == (np.uint8, items.shape)
    assert np.array_equal(model.decode(z, labels=labels), expected)
    assert np.array_equal(model.decode(z[:, :latent].astype(float), labels=labels), expected)
    of = None if labels is None else "small"
    ways = model.interpolate(items[:1], items[1:], 3, labels=of)
    assert (ways.dtype, ways.shape) == (np.uint8, (1, 3, *items.shape[1:]))
    assert np.array_equal(ways[:, 0], model.reconstruct(items[:1], labels=of))
    ends = [model.encode(each, labels=of) for each in (items[:1], items[1:])]
    assert np.array_equal(model.interpolate(*ends, 3, labels=of), ways)


def test_codes_go_out_and_in_and_have_nothing_between_them(loaded):
    model = loaded("vq")
    items = images(2, model.module.spec.shape)
    z = model.encode(items)
    assert (z.dtype, z.shape, model.latent) == (np.float32, (2, 4), 4)
    assert np.array_equal(model.decode(z.astype(int)), model.reconstruct(items))
    with pytest.raises(ConfigError, match="has no interpolate; it has sample, reconstruct"):
        model.interpolate(items[:1], items[1:])
    with pytest.raises(ConfigError, match="codes, whole numbers 0…4"):
        model.decode(z + 0.25)


def test_latents_of_a_gan_are_what_its_samples_are_drawn_from(loaded):
    model = loaded("gan")
    z = prior(4, model.latent, 5).numpy()
    assert np.array_equal(model.decode(z), model.sample(4, seed=5))
    ways = model.interpolate(z[:2], z[2:], 4)
    assert ways.shape == (2, 4, 3, 8, 8)
    assert np.array_equal(ways[:, 0], model.sample(2, seed=5))
    with pytest.raises(ConfigError, match="has no encoder; interpolate between latents, float N×5"):
        model.interpolate(images(), images())


def test_the_likelihood_of_a_vae_is_its_bound(loaded):
    model = loaded("vae")
    items = images(5)
    values = model.log_likelihood(items, seed=3, draws=8)
    data = torch.from_numpy(items)
    expected = model.module.importance_weighted(data, k=8, seed=3)
    assert (values.dtype, values.tolist()) == (np.float64, expected.tolist())
    assert values.mean() > model.module.elbo(data, seed=3)["elbo"].mean()


def test_the_likelihood_of_texts_is_that_of_documents(loaded):
    """Each text is scored by itself, from the start of a document on."""
    model = loaded("text")
    values = model.log_likelihood(["ab a", "b\r\nb"])
    expected = -model.module.nats(torch.tensor([1, 2, 3, 4, 2])).sum()
    assert (values.dtype, values.shape) == (np.float64, (2,))
    assert values[0] == float(expected)
    assert values[1] == model.log_likelihood(["b\nb"])[0]
    # One symbol after another: probabilities of all texts of length 1 add up to 1.
    one = np.exp(model.log_likelihood([*"ab \n"])).sum()
    nothing = model.module(torch.tensor([[1]]), None)[0][0, 0].softmax(0)[:2].sum()
    assert one + float(nothing.detach()) == pytest.approx(1, abs=1e-5)


def test_the_likelihood_of_clips_and_raster_images_is_exact(loaded):
    clips = loaded("clips")
    items = np.array([[-32768, 32767, 0, 1, -1, 300, -300, 5000, -5000]], dtype=np.int16)
    assert clips.log_likelihood(items)[0] < 0
    assert clips.log_likelihood(items)[0] == clips.log_likelihood(items, seed=9, draws=1)[0]
    raster = loaded("raster")
    item = images(1, (3, 4, 2))
    symbols = torch.from_numpy(item.transpose(0, 2, 3, 1).reshape(1, -1).copy())
    assert raster.log_likelihood(item)[0] == -float(raster.module.nats(symbols)[0])


def test_spectrograms_become_clips_and_clips_spectrograms(loaded):
    model = loaded("spectrograms")
    clip = (8000 * np.sin(np.arange(1024) * 0.3)).astype(np.int16)[None]
    assert np.array_equal(model.encode(clip), model.encode(clip.copy()))
    assert model.reconstruct(clip).shape == (1, 1, 8, 9)
    assert model.log_likelihood(clip).shape == (1,)
    heard = model.to_audio(model.sample(2, seed=0))
    assert (heard.dtype, heard.shape, model.sample_rate) == (np.int16, (2, 1024), 8000)


def test_labels_are_names(loaded):
    model = loaded("conditional")
    assert model.classes == ("small", "large")
    assert loaded("vae").classes == ()
    mixed = model.sample(2, seed=1, labels=["large", "small"])
    assert np.array_equal(mixed[0], model.sample(2, seed=1, labels="large")[0])
    assert np.array_equal(mixed[1], model.sample(2, seed=1, labels="small")[1])


@pytest.mark.parametrize(
    ("kind", "call", "message"),
    [
        ("vae", lambda m: m.encode(images()[0]), r"items: uint8 3×8×8; dots has uint8 N×3×8×8"),
        ("vae", lambda m: m.encode(images() / 255), r"items: float64 2×3×8×8; dots has uint8"),
        ("vae", lambda m: m.encode(images(0)), r"items: uint8 0×3×8×8; .* N ≥ 1"),
        ("vae", lambda m: m.encode("x"), r"items: <U1 scalar"),
        ("vae", lambda m: m.decode(np.zeros((2, 4))), r"float64 2×4; the model has float32 N×3"),
        ("vae", lambda m: m.decode([["a"]]), r"latents: <U1 1×1"),
        ("vae", lambda m: m.decode(np.full((1, 3), np.nan)), "a value is not finite"),
        ("vae", lambda m: m.decode(np.zeros((0, 3))), "no rows"),
        ("vae", lambda m: m.interpolate(images(1), images(2)), "1 starts for 2 ends"),
        ("vae", lambda m: m.interpolate(images(1), images(1), 1), "steps: 1 is not a whole number"),
        ("vae", lambda m: m.sample(0), "n: 0 is not a whole number from 1 on"),
        ("vae", lambda m: m.sample(1.0), "n: 1.0 is not a whole number"),
        ("vae", lambda m: m.sample(True), "n: True is not"),
        ("vae", lambda m: m.sample(1, seed=-1), "seed: -1 is not a whole number from 0 on"),
        ("vae", lambda m: m.sample(1, length=4), "length: dots has items of a fixed length"),
        ("vae", lambda m: m.sample(1, top_k=4), "top_k: only an RNN draws symbol by symbol"),
        ("vae", lambda m: m.sample(1, labels="small"), "labels: only a model with conditional"),
        ("vae", lambda m: m.log_likelihood(images(), draws=0), "draws: 0 is not"),
        ("vae", lambda m: m.encode([[1], [1, 2]]), "items: list is no array of numbers"),
        ("vae", lambda m: m.decode([[1], [1, 2]]), "latents: list is no array of numbers"),
        ("vae", lambda m: m.interpolate([[1], [1, 2]], images()), "starts and ends: list is no"),
        ("vae", lambda m: m.decode(np.full((1, 3), 1e300)), "a value is not finite"),
        ("vae", lambda m: m.log_likelihood(images(), seed=2**64), "seed: 1844.* from 0 to 9223"),
        ("conditional", lambda m: m.sample(2, labels=5), "labels: 5 is neither a name nor a list"),
        ("conditional", lambda m: m.sample(1, labels=[None]), "labels: None is not a class; known"),
        ("conditional", lambda m: m.sample(1, labels=[["a", "b"]]), "is not a class; known: small"),
        ("text", lambda m: m.sample(1, prompt=5), "prompt: 5 is not text"),
        ("text", lambda m: m.sample(1, prompt=b"a"), "prompt: b'a' is not text"),
        ("text", lambda m: m.log_likelihood(5), "a list of one text or more is needed"),
        ("text", lambda m: m.log_likelihood(c for c in "ab"), "a list of one text or more is"),
        ("conditional", lambda m: m.encode(images()), "labels: the model is conditional: name"),
        ("conditional", lambda m: m.encode(images(), labels=["x"]), "1 names for 2 items"),
        ("conditional", lambda m: m.sample(2, labels="x"), "'x' is not a class; known: small, la"),
        ("text", lambda m: m.sample(1, prompt="xa"), r"prompt: 'x' \(U\+0078\): not in"),
        ("text", lambda m: m.sample(1, length=0), "length: 0 is not"),
        ("text", lambda m: m.log_likelihood(["a", "x"]), r"text 1: 'x' \(U\+0078\): not in"),
        ("text", lambda m: m.log_likelihood(["a", ""]), "text 1: it is empty"),
        ("text", lambda m: m.log_likelihood(["a", 3]), "text 1: int is not text"),
        ("text", lambda m: m.log_likelihood("ab"), "a list of one text or more is needed"),
        ("text", lambda m: m.log_likelihood([]), "a list of one text or more is needed"),
        ("clips", lambda m: m.log_likelihood(np.zeros((1, 8), np.int16)), "N×9 at 8000 Hz, N"),
        ("spectrograms", lambda m: m.encode(images()), "N×1024 at 8000 Hz, or spectrograms"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(loaded, kind, call, message):
    with pytest.raises(ConfigError, match=message) as caught:
        call(loaded(kind))
    assert "\n" not in str(caught.value)
