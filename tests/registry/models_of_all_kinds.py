"""A small untrained model of each kind that differs in use, written as a training run writes it."""

from genmint.config import GANConfig, RNNConfig, VAEConfig
from genmint.config.datasets import Spectrogram
from genmint.config.models.vae import Hierarchy, SecondLevel
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.models.shared.families import FAMILIES
from genmint.registry.loaded_model import LoadedModel

VOCABULARY = ("<unk>", "<s>", "a", "b", " ", "\n")
COLOURS = DataSpec(
    dataset="dots", kind="image", view="grid", shape=(3, 8, 8), labels=("small", "large")
)
SPECTROGRAM = DataSpec(
    dataset="clips", kind="audio", view="grid", shape=(1, 8, 9), sample_rate=8000, samples=1024,
    spectrogram=Spectrogram(n_fft=256, hop=128, mels=8),
)  # fmt: skip
CLIPS = DataSpec(
    dataset="clips", kind="audio", view="sequence", shape=(9,), symbols=256, sample_rate=8000,
    samples=9,
)  # fmt: skip
TEXT = DataSpec(
    dataset="words", kind="text", view="sequence", shape=(), symbols=6, vocabulary=VOCABULARY
)
RASTER = DataSpec(
    dataset="dots", kind="image", view="sequence", shape=(24,), symbols=256, image_shape=(3, 4, 2)
)


def _vae(dataset, **more):
    return VAEConfig(family="vae", dataset=dataset, hidden=(8,), latent=3, steps=1, **more)


def _rnn(dataset):
    return RNNConfig(family="rnn", dataset=dataset, hidden=4, embedding=4, steps=1)


KINDS = {
    "vae": (_vae("dots"), COLOURS),
    "conditional": (_vae("dots", conditional=True), COLOURS),
    "hierarchical": (
        VAEConfig(
            family="vae",
            dataset="dots",
            steps=1,
            network="hierarchical",
            hierarchy=Hierarchy(groups=(1, 1), width=4, channels=2),
        ),
        COLOURS,
    ),
    "vq": (
        VAEConfig(
            family="vae",
            dataset="dots",
            steps=1,
            network="vq",
            hidden=(4, 4),
            codes=5,
            code_width=2,
        ),
        COLOURS,
    ),
    "two-levels": (_vae("dots", second_level=SecondLevel(latent=2, hidden=(4,))), COLOURS),
    "spectrograms": (_vae("clips"), SPECTROGRAM),
    "gan": (GANConfig(family="gan", dataset="dots", network="mlp", latent=5, steps=1), COLOURS),
    "text": (_rnn("words"), TEXT),
    "clips": (_rnn("clips"), CLIPS),
    "raster": (_rnn("dots"), RASTER),
}
assert {config.family for config, _ in KINDS.values()} == FAMILIES.keys()


def write(kind, folder):
    """Write the model of a kind into a folder; the loaded model of these files."""
    config, spec = KINDS[kind]
    described = {
        "name": kind, "model": config, "data": spec, "prepared": "d" * 64, "resolved": {},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    store.save(folder, store.build(config, spec), described)
    return LoadedModel(*store.load(folder))
