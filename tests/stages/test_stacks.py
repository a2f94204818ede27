"""Stacks of real digits, from ingest to what a generator that leaves modes out scores."""

import numpy as np
import pytest
import torch

from genmint.config import load_params
from genmint.data.prepared import Prepared
from genmint.evaluation.extractor import load_extractor
from genmint.evaluation.judge import grid_judge
from genmint.stages import reference


@pytest.mark.soak
def test_modes_that_are_left_out_are_counted(data_project):
    data_project.block(
        "stacked",
        path="data/sources/digits.yaml",
        kind="image",
        resolution=8,
        test=0.15,
        labels="source",
        stack={"items": 20_000},
        reference={"min_accuracy": 0.95, "epochs": 2},
        protocol={"samples": 256, "resamples": 2},
    )
    data_project.run("stacked")
    project = data_project.project
    reference.run(project, load_params(project.params), "stacked")
    prepared = Prepared(project.prepared("stacked"))
    extractor, info = load_extractor(project.reference("stacked"))
    judge = grid_judge(prepared, extractor, info.task, seed=0)
    labels = prepared.labels("test")

    def scores(kept):
        grids = torch.from_numpy(np.array(prepared.array("test")[kept]))
        return judge.shares(extractor.features(grids), extractor.probabilities(grids))

    everything = scores(labels >= 0)
    # About 4,200 draws of 1,000 modes.
    assert everything["classes"] > 900
    assert everything["class_kl"] < 0.3
    collapsed = scores(labels % 10 == 7)
    # A hundred modes, and what the classifier takes for others.
    assert collapsed["classes"] == pytest.approx(100, abs=40)
    assert collapsed["class_kl"] == pytest.approx(np.log(10), abs=0.4)
