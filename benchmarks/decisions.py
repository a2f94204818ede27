"""How often a challenger is promoted that should not be, and that should: on real digits.

    python benchmarks/decisions.py      # about 20 minutes on one core; wants reference@digits

(a) The same weights against themselves, test items and sampling seeds drawn anew.
(b) Twenty trainings of image-vae that differ by seed alone, every ordered pair.
(c) image-vae with its steps against a quarter of them, items and seeds drawn anew.

Each is decided by the champion rule of params.yaml with the margin of
results/seed_spread/image-vae.json, and by the intervals alone. Writes docs/images/decisions.png
and prints the table of docs/gates.md. Trainings are kept under .genmint/decisions, so that a second
call only decides.
"""

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from genmint.common.files import sha256_json
from genmint.common.project import Project
from genmint.config import ChampionRule, ModelConfig, load_params
from genmint.config.metric_catalogue import metric
from genmint.data.prepared import Prepared
from genmint.decision.comparison import Comparison, Scores, Spread, block_hash, compare, confirm
from genmint.evaluation.reference import read_reference, write_reference
from genmint.evaluation.score import score
from genmint.models.shared import store
from genmint.promotion.scores import read_spread
from genmint.stages.train import train_apart

mpl.use("Agg")
import matplotlib.pyplot as plt

NAME = "image-vae"
SEEDS = range(100, 120)
RESAMPLES = 200
# Independent measurements of a model from which a resample draws.
POOL = 40
# Share of the test items in a resample, drawn without replacement: with replacement the difference
# on all items would count as true, and chance would come in twice.
SHARE = 0.8


def direction(name: str) -> str:
    return metric(name).direction


def trained(project: Project, config: ModelConfig, kept: Path) -> Path:
    folder = kept / sha256_json(config.model_dump(mode="json"))[:16]
    if not (folder / store.WEIGHTS).is_file():
        train_apart(project, NAME, config, folder)
    return folder


def measured(project: Project, folder: Path, reference: Path) -> Scores:
    model, record = store.load(folder)
    scores = score(model, record, Prepared(project.prepared(record.model.dataset)), reference)
    items = {name: values.tolist() for name, values in scores.items.items()}
    return Scores(scores.metrics, scores.protocol, items, scores.resamples)


def reference_with(project: Project, dataset: str, kept: Path, **protocol: Any) -> Path:
    """The data set's reference under another protocol."""
    folder = kept / f"reference-{sha256_json(protocol)[:8]}" / dataset
    if not folder.exists():
        shutil.copytree(project.reference(dataset), folder)
        known = read_reference(folder)
        changed = known.protocol.model_copy(update=protocol)
        write_reference(folder, known.model_copy(update={"protocol": changed}))
    return folder


def pool_of(project: Project, folder: Path, kept: Path) -> list[Scores]:
    """The same weights, measured again and again with other noise and other samples."""
    dataset = load_params(project.params).models[NAME].dataset
    sets = read_reference(project.reference(dataset)).protocol.resamples
    pool = []
    for number in range(POOL):
        seed = 10_000 + number * sets
        reference = reference_with(project, dataset, kept, seed=seed)
        pool.append(measured(project, folder, reference))
    return pool


def on_items(one: Scores, rows: np.ndarray) -> Scores:
    """A measurement on some of its test items."""
    items = {name: np.asarray(values)[rows].tolist() for name, values in one.items.items()}
    metrics = {**one.metrics, "elbo": float(np.mean(items["elbo"]))}
    return Scores(metrics, {}, items, one.resamples)


def decide(rule: ChampionRule, spread: Spread, new: Scores, old: Scores) -> tuple[Comparison, bool]:
    """By the rule, and whether the intervals alone would promote."""
    blank = spread.model_copy(update={"protocol": {}})
    pair = [Scores(s.metrics, {}, s.items, s.resamples) for s in (new, old)]
    return compare(rule, direction, *pair, blank, blank.block), confirm(
        rule, direction, *pair
    ).better


def by_resampling(
    rule: ChampionRule, spread: Spread, new: Sequence[Scores], old: Sequence[Scores], seed: int
) -> list[tuple[Comparison, bool]]:
    rng = np.random.default_rng(seed)
    n = len(new[0].items["elbo"])
    decided = []
    for _ in range(RESAMPLES):
        rows = rng.permutation(n)[: round(SHARE * n)]
        one, other = rng.permutation(POOL)[:2]
        # Two models are measured with the same noise; one against itself would be no different.
        pair = new[one], old[other if new is old else one]
        decided.append(decide(rule, spread, *(on_items(scores, rows) for scores in pair)))
    return decided


def plot(cases: dict[str, list[tuple[Comparison, bool]]], target: Path) -> None:
    figure, axes = plt.subplots(1, len(cases), figsize=(12, 3.4), layout="constrained")
    for axis, (title, shares) in zip(axes, cases.items(), strict=True):
        beyond = np.array([one.contrasts[0].low for one, _ in shares])
        margin = shares[0][0].contrasts[0].bound
        promoted = np.mean([one.better for one, _ in shares])
        axis.hist(beyond, bins=30, color="#4c72b0")
        axis.axvline(0, color="grey", linewidth=1)
        axis.axvline(margin, color="#c44e52", linewidth=1.5)
        axis.set_title(f"{title}\n{promoted:.1%} of {len(shares)} promoted", fontsize=10)
        axis.set_xlabel("lower limit of the ELBO difference (nats)")
    axes[0].set_ylabel("comparisons")
    axes[-1].annotate("margin", (margin, axes[-1].get_ylim()[1] * 0.95), ha="left", va="top",
                      color="#c44e52", xytext=(4, 0), textcoords="offset points")  # fmt: skip
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110, metadata={"Software": None})


def main() -> None:
    project = Project.find()
    params = load_params(project.params)
    config, rule = params.models[NAME], params.gates[NAME].champion
    spread = read_spread(project, NAME)
    if isinstance(spread, str) or spread.block != block_hash(config):
        raise SystemExit(f"run `genmint spread {NAME}` first")
    kept = project.state / "decisions"
    kept.mkdir(parents=True, exist_ok=True)
    dataset = project.reference(config.dataset)
    folders = [trained(project, config.model_copy(update={"seed": seed}), kept) for seed in SEEDS]
    quarter = config.model_copy(update={"seed": 200, "steps": config.steps // 4})
    short = trained(project, quarter, kept)
    twenty = [measured(project, folder, dataset) for folder in folders]
    pools = [pool_of(project, folder, kept) for folder in (folders[0], short)]
    cases = {
        "(a) the same weights": by_resampling(rule, spread, pools[0], pools[0], 1),
        "(b) another seed": [
            decide(rule, spread, new, old) for new, old in itertools.permutations(twenty, 2)
        ],
        "(c) four times the steps": by_resampling(rule, spread, pools[0], pools[1], 2),
    }
    plot(cases, project.root / "docs" / "images" / "decisions.png")
    print("| case | comparisons | promoted | by the intervals alone |")
    print("|---|---:|---:|---:|")
    for title, shares in cases.items():
        by_rule = np.mean([one.better for one, _ in shares])
        alone = np.mean([better for _, better in shares])
        print(f"| {title} | {len(shares)} | {by_rule:.1%} | {alone:.1%} |")
    elbo = [one.metrics["elbo"] for one in twenty]
    width = [
        one.contrasts[0].difference - one.contrasts[0].low for one, _ in cases["(b) another seed"]
    ]
    print(json.dumps({
        "elbo of the twenty": [round(np.mean(elbo), 3), round(float(np.std(elbo, ddof=1)), 4)],
        "standard error of a paired difference": round(float(np.mean(width)) / 1.645, 4),
        "margin": round(cases["(b) another seed"][0][0].contrasts[0].bound, 4),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
