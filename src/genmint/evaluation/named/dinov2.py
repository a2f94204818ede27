"""Vision transformer of DINOv2 (Oquab et al. 2023), up to the class token."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-6
# Width of an attention head, the same in all published sizes.
_HEAD = 64
# Added to the grid size before the position embedding is resized, as in the published code.
_OFFSET = 0.1


class DinoV2(nn.Module):
    """The network, with the tensor names of the published weights.

    Features are the class token after the last normalisation.

    Args:
        width: values per token, a multiple of 64.
        depth: number of blocks.
        patch: side of a patch in pixels.
        positions: side of the grid of patches that the position embedding was trained on.
    """

    def __init__(self, width: int, depth: int, patch: int, positions: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + positions**2, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, stride=patch)})
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> DinoV2:
        """Return a network of the size that its tensors have; without their values.

        Raises:
            KeyError: a tensor is missing.
        """
        width, _, patch, _ = state["patch_embed.proj.weight"].shape
        numbers = [int(m[1]) for name in state if (m := re.match(r"blocks\.(\d+)\.", name))]
        positions = math.isqrt(state["pos_embed"].shape[1] - 1)
        return cls(width, 1 + max(numbers), patch, positions)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features, float32 N×D, of images, float32 N×3×H×W.

        Height and width are multiples of the patch side.
        """
        patches = self.patch_embed["proj"](images)
        rows, columns = patches.shape[2:]
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(rows, columns)
        for block in self.blocks:
            tokens = block(tokens)
        features: Tensor = self.norm(tokens[:, 0])
        return features

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Return the position embedding for a grid of patches; resized bicubically if needed."""
        side = math.isqrt(self.pos_embed.shape[1] - 1)
        if rows == columns == side:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scale = ((rows + _OFFSET) / side, (columns + _OFFSET) / side)
        resized = functional.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.ls1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )
        self.ls2 = _Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self._attention(self.norm1(x)))
        inner = functional.gelu(self.mlp["fc1"](self.norm2(x)))
        result: Tensor = x + self.ls2(self.mlp["fc2"](inner))
        return result

    def _attention(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        qkv = self.attn["qkv"](x).reshape(n, tokens, 3, width // _HEAD, _HEAD)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.attn["proj"](heads.transpose(1, 2).reshape(n, tokens, width))
        return mixed


class _Scale(nn.Module):
    """Learned factor of each value (LayerScale, Touvron et al. 2021)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma
