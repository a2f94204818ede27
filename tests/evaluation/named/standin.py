"""A stand-in of a named extractor: a small vision transformer with random weights."""

import hashlib

import torch
from safetensors.torch import save_file
from tests.evaluation.named.descriptions import write_description

from genmint.evaluation.named.dinov2 import DinoV2

SIDE = 28


def standin_weights(path, seed=0):
    """Write weights of the architecture dinov2, width 64, one block; return their sha256."""
    torch.manual_seed(seed)
    network = DinoV2(width=64, depth=1, patch=14, positions=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def standin(root, mirror, **changes):
    """Write the description `standin` into a project, and its weights into a mirror folder."""
    sha256 = standin_weights(mirror / "extractors" / "standin.safetensors")
    weights = {
        "name": "standin.safetensors",
        "sha256": sha256,
        "mirror": "extractors/standin.safetensors",
        "format": "safetensors",
        "urls": ["http://127.0.0.1:9/standin.safetensors"],
        **changes.pop("weights", {}),
    }
    write_description(root, "standin", weights=weights, **changes)
    return sha256
