"""Folders of files as users have them, and a project that they are proposed to."""

import shutil
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from genmint.common.project import Project

ROOT = Path(__file__).parents[2]
WORDS = (
    *("the", "a", "of", "and", "river", "mountain", "house", "light"),
    *("water", "stone", "green", "old", "walks", "sees", "sings", "slowly"),
)


def project_at(root):
    """A project with the settings and expectations of this one."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(
        ROOT / "config" / "expectations", root / "config" / "expectations", dirs_exist_ok=True
    )
    return Project(root)


def image(path, seed, shape=(16, 16, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (4, 4, *shape[2:])).astype(np.uint8)
    Image.fromarray(small).resize(shape[1::-1], Image.Resampling.BILINEAR).save(path)


def images(folder, count=60, labels=("cat", "dog", "owl"), **how):
    """Coloured images in a folder for each label; without labels in the folder itself."""
    for number in range(count):
        label = labels[number % len(labels)] if labels else ""
        image(folder / label / f"{number:03}.png", number, **how)
    return folder


def clip(path, seed, rate=8000, seconds=0.3, channels=1, subtype="PCM_16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    time = np.arange(int(rate * seconds)) / rate
    sound = 0.5 * np.sin(2 * np.pi * generator.uniform(200, 800) * time)
    sound += 0.05 * generator.normal(size=sound.shape)
    soundfile.write(path, np.stack([sound] * channels, 1), rate, subtype=subtype, format="WAV")


def clips(folder, count=60):
    """Recordings of mixed rates, channels and sample formats, with a label in their names."""
    for number in range(count):
        clip(
            folder / f"{number % 3}_{('anna', 'bob')[number % 2]}_{number}.wav",
            number,
            rate=(8000, 16_000, 44_100)[number % 3],
            seconds=0.2 + 0.005 * number,
            channels=1 + number % 2,
            subtype=("PCM_U8", "PCM_16", "PCM_24", "FLOAT")[number % 4],
        )
    return folder


def text(path, characters, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    words = " ".join(generator.choice(WORDS, characters // 5))
    path.write_text(words[:characters])
    return path
