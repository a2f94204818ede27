"""Time training and sampling against peers on this machine, and write benchmarks/results/peers.md.

    make bench                      all of it, some 15 minutes; the machine should be idle
    .venv-bench/bin/python benchmarks/run.py vae    one case, printed only

Every contender trains in a process of its own; all of a case take turns in short rounds, so that a
slow minute of the machine is a slow minute for all. What counts is the ratio.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import ceilings
import sampling
import torch

from genmint.common.fast_defaults import set_fast_defaults
from genmint.common.files import write_text
from genmint.training.devices import share_cores

_HERE = Path(__file__).parent
_ROUNDS, _SECONDS = 7, 4.0

TEXTBOOK = ["textbook:0", "textbook:1", "textbook:2"]
CONVOLUTIONS = [
    "genmint:fp32", "genmint:fp32:channels_last", "genmint:bf16:channels_last",
    "genmint:bf16:compile:channels_last",
]  # fmt: skip
CONTENDERS = {
    "vae": ["genmint:fp32", "genmint:fp32:compile", "genmint:bf16:compile", "pythae", *TEXTBOOK],
    "residual-vae": [*CONVOLUTIONS, *TEXTBOOK],
    "dcgan": [*CONVOLUTIONS, *TEXTBOOK],
    "lstm": ["genmint:fp32", "genmint:bf16", *TEXTBOOK],
}  # fmt: skip

_HOW = [
    "`genmint:PRECISION` is the loop of this project, with compile or channels-last where it says "
    "so; `textbook:N` the loop of the tutorials (DataLoader with N workers, eager fp32, Adam as it "
    "comes, no `.item()` in a step) on the same network and batch; `pythae` its own trainer and "
    "VAE. All of a case take turns in one run; rates are medians over the rounds. bf16 counts only "
    "where the model is as good: see benchmarks/results/quality.md.",
    "",
]


class Contender:
    """A process of `contenders.py`."""

    def __init__(self, way: str, case: str) -> None:
        """Start it and wait until it has done its first steps."""
        self.way = way
        environment = dict(os.environ)
        # `python -m genmint` does so itself; peers run with their own defaults.
        if way.startswith("genmint"):
            set_fast_defaults(environment)
        self.process = subprocess.Popen(
            [sys.executable, str(_HERE / "contenders.py"), way, case],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if self._line() != "ready":
            raise RuntimeError(f"{way} on {case} did not start")

    def rate(self, seconds: float) -> float:
        """Items or symbols a second over about so many seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return float(self._line())

    def end(self) -> None:
        """Let it go."""
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def compare(case: str, rounds: int, seconds: float) -> dict[str, float]:
    """Median rate of every contender of a case."""
    contenders = [Contender(way, case) for way in CONTENDERS[case]]
    rates: dict[str, list[float]] = {way: [] for way in CONTENDERS[case]}
    for number in range(rounds):
        print(f"{case}: round {number + 1} of {rounds}", file=sys.stderr)
        for contender in contenders:
            rates[contender.way].append(contender.rate(seconds))
    for contender in contenders:
        contender.end()
    return {way: statistics.median(rate) for way, rate in rates.items()}


def training(case: str, rounds: int, seconds: float) -> list[str]:
    """The section of one case."""
    rates = compare(case, rounds, seconds)
    book = max(rate for way, rate in rates.items() if way.startswith("textbook"))
    unit = "characters/s" if case == "lstm" else "images/s"
    lines = [f"### {case}", "", f"| | {unit} | × textbook |", "|---|---:|---:|"]
    lines += [f"| {way} | {rate:,.0f} | {rate / book:.2f} |" for way, rate in rates.items()]
    if "pythae" in rates:
        fp32, bf16 = (
            max(rate for way, rate in rates.items() if way.startswith(f"genmint:{kind}"))
            / rates["pythae"]
            for kind in ("fp32", "bf16")
        )
        lines += ["", f"Against pythae's trainer: {fp32:.2f} times in fp32, {bf16:.2f} in bf16."]
    way, ours = max((item for item in rates.items() if item[0].startswith("genmint")),
                    key=lambda item: item[1])  # fmt: skip
    precision = way.split(":")[1]
    work = ceilings.flops_per_item(case)
    what, ceiling = ceilings.kernel_flops(case, precision)
    lines += [
        "",
        f"{way}: {work * ours / 1e9:.0f} GFLOP/s of the {ceiling / 1e9:.0f} that torch reaches in "
        f"{precision} in a {what} and nothing else: {work * ours / ceiling:.0%}. Of a step, as the "
        f"profiler sees it (which slows small operations down): {breakdown(way, case)}.",
        "",
    ]
    return lines


def breakdown(way: str, case: str) -> str:
    """Where the time of a step of our own loop goes, in words; measured in a fresh process."""
    done = subprocess.run(
        [sys.executable, str(_HERE / "breakdown.py"), case, *way.split(":")[1:]],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def drawing() -> list[str]:
    """The section on sampling."""
    kept, reread = sampling.texts()
    many, one = sampling.clips()
    lines = ["## Sampling", "", "| | |", "|---|---|"]
    lines += [
        f"| 16 texts of 400 characters, LSTM 2×256 | {kept:.2f} s; reading the prefix again for "
        f"every character {reread:.2f} s: {reread / kept:.1f} times |",
        f"| 64 clips of 1 s at 8 kHz, LSTM 128 | {many:.1f} s; 64 single ones {64 * one:.0f} s: "
        f"{64 * one / many:.1f} times |",
    ]
    lines += [f"| {case}, 1,024 images | {rate:,.0f} images/s |"
              for case, rate in sampling.grids().items()]  # fmt: skip
    return [*lines, ""]


def processor() -> str:
    """The processor's name, and what it multiplies bfloat16 with."""
    flags = Path("/proc/cpuinfo")
    text = flags.read_text() if flags.exists() else ""
    model = next((line.partition(":")[2].strip() for line in text.splitlines()
                  if line.startswith("model name")), platform.processor())  # fmt: skip
    has = "AMX" if torch.cpu._is_amx_tile_supported() else "without AMX"
    has += ", AVX512-BF16" if torch.cpu._is_avx512_bf16_supported() else ""
    return f"{model} ({has})"


def machine(threads: int) -> list[str]:
    """What it was measured on."""
    return [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}; {processor()}, {threads} threads of "
        f"{os.cpu_count()} cores; Python {platform.python_version()}, torch {torch.__version__}; "
        f"memory {ceilings.bandwidth() / 1e9:.0f} GB/s. No GPU was available.",
        "",
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help=f"some of {', '.join(CONTENDERS)}, sampling")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    options = parser.parse_args()
    threads = share_cores()
    chosen = options.cases or [*CONTENDERS, "sampling"]
    sections = ["## Training", "", *_HOW]
    for case in chosen:
        if case in CONTENDERS:
            sections += training(case, options.rounds, options.seconds)
    if "sampling" in chosen:
        sections += drawing()
    page = "\n".join(["# Benchmarks", "", *machine(threads), *sections])
    print(page)
    if not options.cases:
        write_text(_HERE / "results" / "peers.md", page)


if __name__ == "__main__":
    main()
