"""Real photos: a VAE that draws blobs is refused because PNG needs fewer bits."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from genmint.config import load_params
from genmint.evaluation.reference import read_reference
from genmint.stages import evaluate, gate, reference, train

MIRROR = os.environ.get("GENMINT_DATA_MIRROR")
ARCHIVE = "cifar10-jpeg/train.tar.gz"
PHOTOS = 2000

MODEL = {
    "family": "vae",
    "dataset": "own",
    "network": "conv",
    "hidden": [32, 64, 128],
    "latent": 32,
    "likelihood": "discretised-logistic",
    "steps": 500,
    "batch_size": 32,
    "validate_every": 200,
    "optimiser": {"name": "adamw", "lr": 1e-3, "schedule": "cosine"},
}
GATE = {
    "thresholds": {"bits_per_dim": {"baseline": "png"}},
    "champion": {"superior": ["bits_per_dim"]},
}


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not MIRROR, reason="GENMINT_DATA_MIRROR is not set")
def test_a_vae_that_draws_blobs_fails_and_the_reason_names_png(data_project, capsys):
    """A few minutes: 2,000 photos of CIFAR-10 as JPEG files, and a plain convolutional VAE."""
    archive = Path(MIRROR) / ARCHIVE
    if not archive.is_file():
        pytest.skip(f"{ARCHIVE} is not in GENMINT_DATA_MIRROR")
    with tarfile.open(archive) as photos:
        names = [entry for entry in photos.getmembers() if entry.name.endswith(".jpg")]
        for entry in names[:: len(names) // PHOTOS]:
            file = data_project.write(entry.name.removeprefix("train/"))
            file.write_bytes(photos.extractfile(entry).read())
    protocol = {"samples": 64, "importance_samples": 2, "batch_size": 100}
    data_project.block(kind="image", resolution=32, mode="rgb", labels="folder", protocol=protocol,
                       reference={"epochs": 1, "min_accuracy": 0.1})  # fmt: skip
    data_project.run()
    project = data_project.project
    document = json.loads(project.params.read_text())
    document |= {"models": {"blob": MODEL}, "gates": {"blob": GATE}}
    project.params.write_text(json.dumps(document))
    params = load_params(project.params)
    reference.run(project, params, "own")
    table = read_reference(project.reference("own")).baselines["bits_per_dim"]
    png, webp, mosaic = (table[name].value for name in ("png", "webp", "webp_mosaic"))
    assert mosaic < webp < png < 7
    assert webp == pytest.approx(4.04, abs=0.1)
    train.train_apart(project, "blob", params.models["blob"], project.model("blob"))
    evaluate.run(project, params, "blob")
    capsys.readouterr()
    assert gate.run(project, params, "blob") is False
    printed = capsys.readouterr().out
    reached = json.loads(project.metrics("blob").read_text())["bits_per_dim"]
    assert reached > png
    assert f"thresholds.bits_per_dim.png: bits_per_dim {reached:.4g} is not below png (" in printed
    assert f"blob: bits_per_dim {reached:.4g} is worse than png ({png:.4g}), webp (" in printed
