"""Inception-v3 as the Fréchet Inception distance uses it, up to its 2,048 features.

It is the network of TensorFlow's release of 2015-12-05 (Szegedy et al. 2016), which differs from
other versions: average pooling leaves out the padding, and the last block takes a maximum.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-3
_Size = int | tuple[int, int]


class InceptionV3(nn.Module):
    """The network, with the tensor names of torch-fidelity's conversion."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3)
        self.Mixed_5b = _BlockA(192, 32)
        self.Mixed_5c = _BlockA(256, 64)
        self.Mixed_5d = _BlockA(288, 64)
        self.Mixed_6a = _BlockB(288)
        self.Mixed_6b = _BlockC(768, 128)
        self.Mixed_6c = _BlockC(768, 160)
        self.Mixed_6d = _BlockC(768, 160)
        self.Mixed_6e = _BlockC(768, 192)
        self.Mixed_7a = _BlockD(768)
        self.Mixed_7b = _BlockE(1280, pool="average")
        self.Mixed_7c = _BlockE(2048, pool="maximum")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features, float32 N×2048, of images, float32 N×3×299×299."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = functional.max_pool2d(x, 3, stride=2)
        for block in (self.Mixed_5b, self.Mixed_5c, self.Mixed_5d, self.Mixed_6a, self.Mixed_6b,
                      self.Mixed_6c, self.Mixed_6d, self.Mixed_6e, self.Mixed_7a, self.Mixed_7b,
                      self.Mixed_7c):  # fmt: skip
            x = block(x)
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)


class _Conv(nn.Module):
    def __init__(
        self, channels: int, out: int, kernel: _Size, *, stride: int = 1, padding: _Size = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Block(nn.Module):
    """Block of branches, each a chain of named layers."""

    def chain(self, x: Tensor, names: Sequence[str]) -> Tensor:
        """Apply the layers with these names one after the other."""
        for name in names:
            x = self.get_submodule(name)(x)
        return x


def _average(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _BlockA(_Block):
    def __init__(self, channels: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(channels, 64, 1)
        self.branch5x5_1 = _Conv(channels, 48, 1)
        self.branch5x5_2 = _Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Conv(channels, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, padding=1)
        self.branch_pool = _Conv(channels, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [
                self.branch1x1(x),
                self.chain(x, ("branch5x5_1", "branch5x5_2")),
                self.chain(x, ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")),
                self.branch_pool(_average(x)),
            ],
            dim=1,
        )


class _BlockB(_Block):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Conv(channels, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [
                self.branch3x3(x),
                self.chain(x, ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")),
                functional.max_pool2d(x, 3, stride=2),
            ],
            dim=1,
        )


class _BlockC(_Block):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        row: dict[str, _Size] = {"kernel": (1, 7), "padding": (0, 3)}
        column: dict[str, _Size] = {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = _Conv(channels, 192, 1)
        self.branch7x7_1 = _Conv(channels, inner, 1)
        self.branch7x7_2 = _Conv(inner, inner, row["kernel"], padding=row["padding"])
        self.branch7x7_3 = _Conv(inner, 192, column["kernel"], padding=column["padding"])
        self.branch7x7dbl_1 = _Conv(channels, inner, 1)
        self.branch7x7dbl_2 = _Conv(inner, inner, column["kernel"], padding=column["padding"])
        self.branch7x7dbl_3 = _Conv(inner, inner, row["kernel"], padding=row["padding"])
        self.branch7x7dbl_4 = _Conv(inner, inner, column["kernel"], padding=column["padding"])
        self.branch7x7dbl_5 = _Conv(inner, 192, row["kernel"], padding=row["padding"])
        self.branch_pool = _Conv(channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [
                self.branch1x1(x),
                self.chain(x, [f"branch7x7_{k}" for k in (1, 2, 3)]),
                self.chain(x, [f"branch7x7dbl_{k}" for k in (1, 2, 3, 4, 5)]),
                self.branch_pool(_average(x)),
            ],
            dim=1,
        )


class _BlockD(_Block):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Conv(channels, 192, 1)
        self.branch3x3_2 = _Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Conv(channels, 192, 1)
        self.branch7x7x3_2 = _Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [
                self.chain(x, ("branch3x3_1", "branch3x3_2")),
                self.chain(x, [f"branch7x7x3_{k}" for k in (1, 2, 3, 4)]),
                functional.max_pool2d(x, 3, stride=2),
            ],
            dim=1,
        )


class _BlockE(_Block):
    def __init__(self, channels: int, *, pool: str) -> None:
        super().__init__()
        self.branch1x1 = _Conv(channels, 320, 1)
        self.branch3x3_1 = _Conv(channels, 384, 1)
        self.branch3x3_2a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = _Conv(channels, 448, 1)
        self.branch3x3dbl_2 = _Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _Conv(channels, 192, 1)
        self._averages = pool == "average"

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.chain(x, ("branch3x3dbl_1", "branch3x3dbl_2"))
        pooled = _average(x) if self._averages else functional.max_pool2d(x, 3, stride=1, padding=1)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(single),
                self.branch3x3_2b(single),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(pooled),
            ],
            dim=1,
        )
