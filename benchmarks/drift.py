"""False alarms of drift where nothing changed, and power where something did: docs/drift.md.

    python benchmarks/drift.py [--rounds N] [--window ITEMS] [--alpha A] [--change WHAT]

The handwritten digits (8×8): 600 train the extractor, 400 are held out; with the 600 they are what
the models learned. Windows come from the 797 that are left, which are real and like the others, or
are changed in one of several ways. Each round shuffles anew who is held out and who is new, and
sees seven windows one after the other against one baseline, as a real baseline meets them. All
tests are those of the flow: every column, the Fréchet distance, Holm's correction.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

from genmint.config import DriftRule
from genmint.drift.columns import compare_columns
from genmint.drift.decision import Window, close, decide_drift
from genmint.drift.features import frechet_drift
from genmint.evaluation.extractor import Extractor
from genmint.evaluation.extractor_training import Examples, Subject, train_extractor

_TRAIN, _HELD_OUT = 600, 400


def changed(name: str, pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures of a window after a change, uint8 N×1×8×8."""
    if name == "nothing":
        return pictures
    if name == "moved by a pixel":
        return np.roll(pictures, 1, axis=3)
    if name == "upside down":
        return np.ascontiguousarray(pictures[:, :, ::-1])
    if name.startswith("noise"):
        noisy = pictures + rng.normal(0, float(name.split()[1]), pictures.shape)
        return noisy.clip(0, 255).round().astype(np.uint8)
    share = 1 - float(name.split()[1].rstrip("%")) / 100
    return (pictures * share).round().astype(np.uint8)


CHANGES = ("nothing", "darker 2%", "darker 5%", "darker 10%", "noise 4", "noise 8",
           "moved by a pixel", "upside down", "no 9s")  # fmt: skip


def frame(pictures: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """The columns that a manifest has of them."""
    flat = pictures.reshape(len(pictures), -1)
    return pd.DataFrame(
        {
            "id": np.arange(len(flat)),
            "width": 8,
            "height": 8,
            "mode": "L",
            "mean": flat.mean(axis=1).round(6),
            "std": flat.std(axis=1).round(6),
            "label": [str(label) for label in labels],
        }
    )


class Study:
    """Digits, an extractor that learned some of them, and a rule."""

    def __init__(self, rule: DriftRule) -> None:
        """Train the extractor."""
        digits = load_digits()
        self.rule = rule
        self.pictures = (digits.images * 15.9375).round().astype(np.uint8)[:, None]
        self.labels = digits.target
        items = Examples(torch.from_numpy(self.pictures), torch.from_numpy(self.labels))
        numbers = torch.arange(_TRAIN)
        self.extractor: Extractor = train_extractor(
            items[numbers[numbers % 8 != 0]],
            items[numbers[numbers % 8 == 0]],
            Subject("labels", 10),
            epochs=20,
            seed=0,
        )

    def round(self, change: str, seed: int, windows: int) -> list[Window]:
        """Windows in a row against one baseline."""
        rng = np.random.default_rng(seed)
        rest = _TRAIN + rng.permutation(len(self.labels) - _TRAIN)
        held_out, new = rest[:_HELD_OUT], rest[_HELD_OUT:]
        if change == "no 9s":
            new = new[self.labels[new] != 9]
        learned = np.concatenate([np.arange(_TRAIN), held_out])
        baseline = frame(self.pictures[learned], self.labels[learned])
        features = self.features(self.pictures[held_out])
        size = self.rule.window
        return [
            self.window(k + 1, change, new[k * size : (k + 1) * size], baseline, features, rng)
            for k in range(min(windows, len(new) // size))
        ]

    def window(
        self,
        number: int,
        change: str,
        chosen: np.ndarray,
        baseline: pd.DataFrame,
        features: np.ndarray,
        rng: np.random.Generator,
    ) -> Window:
        """One window, tested as the flow does."""
        pictures = changed(change, self.pictures[chosen], rng)
        seed = int(rng.integers(2**31))
        findings, untested = compare_columns(
            baseline, frame(pictures, self.labels[chosen]), seed=seed
        )
        level = self.rule.alpha / (len(findings) + 1)
        distance = frechet_drift(features, self.features(pictures), level=level, seed=seed)
        items = [str(item) for item in chosen]
        return close(number, "", items, [*findings, distance], untested, self.rule.alpha)

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Of the extractor."""
        return self.extractor.features(torch.from_numpy(np.ascontiguousarray(pictures)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--change", choices=CHANGES, action="append", help="default: all")
    options = parser.parse_args()
    rule = DriftRule(window=options.window, alpha=options.alpha)
    study = Study(rule)
    print(f"window {rule.window}, {rule.agree} of {rule.of}, alpha {rule.alpha:g}")
    print(
        "| change | windows | drifted | decisions | retrain | seen by |\n"
        "|---|---:|---:|---:|---:|---|"
    )
    for change in options.change or CHANGES:
        began = time.monotonic()
        rounds = options.rounds if change == "nothing" else max(1, options.rounds // 10)
        length = 7 if change == "nothing" else 3
        streams = [study.round(change, seed, length) for seed in range(rounds)]
        windows = [window for stream in streams for window in stream]
        decisions = [
            decide_drift(stream[:end], rule, 0)[0] == "drift"
            for stream in streams
            for end in range(min(rule.of, len(stream)), len(stream) + 1)
        ]
        seen = Counter(name for window in windows for name in window.what)
        shares = ", ".join(
            f"{name} {count / len(windows):.0%}" for name, count in seen.most_common()
        )
        drifted = np.mean([window.drifted for window in windows])
        print(
            f"| {change} | {len(windows)} | {drifted:.1%} | {len(decisions)} | "
            f"{np.mean(decisions):.1%} | {shares} |   {time.monotonic() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
