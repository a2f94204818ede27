"""Expected promotions in 100 nights in which nothing improved: the table of docs/gates.md.

    python benchmarks/false_promotions.py [--spread S] [--error E] [--ratio R]

Every night a model is trained that differs by seed alone and meets the champion. Its true quality
is q ~ N(0, S²). On the test split it looks like q + t, t ~ N(0, E²/2): one number a model, the same
night after night, so that the luckiest of all becomes champion and stays: that is how a split wears
out. E is the standard error of a paired difference, as the interval has it. The confirmation split
has its own error, E·√R, R times as few items. The margin comes from five trainings, measured on the
same test split.

S and E are those of a VAE of scikit-learn's 8×8 digits, from benchmarks/decisions.py: its twenty
trainings have a standard deviation of 0.12 nats on the test split, which is √(S² + E²/2).
"""

import argparse

import numpy as np
from scipy.stats import norm, t

NIGHTS, RUNS, TRAININGS, CONFIDENCE = 100, 5_000, 5, 0.95


def simulate(spread: float, error: float, ratio: float) -> dict[str, tuple[float, float]]:
    """Promotions in 100 nights, and those of a model that is truly worse, by rule."""
    z = norm.ppf(CONFIDENCE)
    second = error * np.sqrt(ratio)
    shares = {}
    for rule in ("interval", "interval, confirmed", "margin", "margin, confirmed"):
        rng = np.random.default_rng(0)

        def trained(rng=rng):
            true = rng.normal(0, spread, RUNS)
            return (
                true,
                true + rng.normal(0, error / np.sqrt(2), RUNS),
                true + rng.normal(0, second / np.sqrt(2), RUNS),
            )

        measured = np.stack([trained()[1] for _ in range(TRAININGS)])
        margin = t.ppf(CONFIDENCE, TRAININGS - 1) * np.sqrt(2) * measured.std(axis=0, ddof=1)
        champion = trained()
        promoted = worse = 0
        for _ in range(NIGHTS):
            new = trained()
            better = new[1] - champion[1] - z * error > (margin if "margin" in rule else 0)
            if "confirmed" in rule:
                better &= new[2] - champion[2] - z * second > 0
            promoted += better.mean()
            worse += (better & (new[0] <= champion[0])).mean()
            champion = tuple(np.where(better, a, b) for a, b in zip(new, champion, strict=True))
        shares[rule] = (promoted, worse)
    return shares


def first_night(spread: float, error: float) -> float:
    """Chance of the first night by the interval alone: 1 − Φ(z · E / √(2 S² + E²))."""
    return float(norm.sf(norm.ppf(CONFIDENCE) * error / np.sqrt(2 * spread**2 + error**2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spread", type=float, default=0.085, help="S (default: 8×8 digits, nats)")
    parser.add_argument("--error", type=float, default=0.12, help="E (default: 8×8 digits, nats)")
    parser.add_argument("--ratio", type=float, default=2.0, help="R (default: 2)")
    options = parser.parse_args()
    cases = {
        f"seeds differ in quality (S = {options.spread:g})": options.spread,
        "seeds make no difference (S = 0)": 0.0,
    }
    for title, spread in cases.items():
        print(f"\n{title}; first night: {first_night(spread, options.error):.3f} by the interval")
        print("| rule | promotions in 100 nights | of a model that is truly no better |")
        print("|---|---:|---:|")
        for rule, (promoted, worse) in simulate(spread, options.error, options.ratio).items():
            print(f"| {rule} | {promoted:.2f} | {worse:.2f} |")


if __name__ == "__main__":
    main()
