"""What the machine can do at the shapes of a case: torch's own kernels, and nothing around them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cases
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from genmint.models.shared import store
from genmint.training.stepper import Stepper


def flops_per_item(case: str) -> float:
    """Multiplications and additions of matrix products and convolutions, per item or symbol."""
    config = cases.config(case)
    stepper = Stepper(store.build(config, cases.spec(case)).train(), config, cases.data(case),
                      "fp32")  # fmt: skip
    if config.family == "rnn":
        # Recurrent kernels are not counted: four gates of input and state, once and twice back.
        width, gates = config.hidden, 4
        per_layer = [config.embedding] + [width] * (config.layers - 1)
        products = sum(gates * width * (before + width) for before in per_layer)
        return 3 * 2.0 * (products + width * cases.spec(case).symbols)
    with FlopCounterMode(display=False) as counter:
        amount = stepper.step(0)
    return counter.get_total_flops() / amount


def kernel_flops(case: str, precision: str, seconds: float = 1.0) -> tuple[str, float]:
    """What bounds a case, in words, and the floating point operations a second it reaches alone."""
    config = cases.config(case)
    rows = config.batch_size
    kind = {"dtype": {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]}
    if config.family == "rnn":
        x = torch.randn(rows, config.hidden, **kind)
        w = torch.randn(config.hidden, 4 * config.hidden, **kind)
        words = f"matrix product {rows}×{config.hidden}×{4 * config.hidden}"
        return words, _rate(lambda: x @ w, seconds, 2.0 * w.numel() * rows)
    if config.network == "mlp":
        x, w = torch.randn(rows, 784, **kind), torch.randn(784, config.hidden[0], **kind)
        words = f"matrix product {rows}×784×{config.hidden[0]}"
        return words, _rate(lambda: x @ w, seconds, 2.0 * w.numel() * rows)
    first, second = config.hidden
    convolution = nn.Conv2d(first, second, 4, stride=2, padding=1, bias=False, **kind)
    grid = torch.randn(rows, first, 14, 14, **kind)
    work = 2.0 * rows * 7 * 7 * second * first * 16
    with torch.no_grad():
        rate = _rate(lambda: convolution(grid), seconds, work)
    return f"convolution {first}→{second}, 4×4, stride 2, of {rows}×14×14", rate


def bandwidth(seconds: float = 1.0) -> float:
    """Bytes a second that go from memory to memory."""
    source = torch.randn(32_000_000)
    target = torch.empty_like(source)
    return _rate(lambda: target.copy_(source), seconds, 2.0 * 4 * source.numel())


def _rate(work: Callable[[], object], seconds: float, amount: float) -> float:
    work()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return amount / statistics.median(times)
