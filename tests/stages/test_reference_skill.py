"""Known answers on one reference: real data, the trivial baseline, a model that is a codec."""

import math

import numpy as np
import pytest
import torch
from tests.stages.test_reference import JUDGED, PROTOCOL, block, images, run
from tests.stages.test_reference import project as project  # a fixture

from genmint.config import Gate
from genmint.config.skill_scale import scale_of
from genmint.data.prepared import Prepared
from genmint.data.views.spec import DataSpec
from genmint.decision.evaluation import Evaluation, GateInput
from genmint.decision.gate import decide_gate
from genmint.decision.skill import skill_of
from genmint.evaluation.extractor import load_extractor
from genmint.evaluation.judge import grid_judge
from genmint.evaluation.score import _item_lengths
from genmint.metrics.codecs import png_bits
from genmint.metrics.pixels import mean_plus_noise

FRECHET = "frechet_d_cnn"


@pytest.fixture
def known(project):
    """The reference of three kinds of images, its judge, and what a protocol file holds of it."""
    block(project, "image", protocol=PROTOCOL | {"samples": 100})
    images(project, sizes=(300, 200, 200))
    reference = run(project)
    prepared = Prepared(project.prepared("d"))
    extractor, info = load_extractor(project.reference("d"))
    protocol = {
        "baselines": {
            metric: {name: entry.value for name, entry in entries.items()}
            for metric, entries in reference.baselines.items()
        },
        "noise_floor": reference.noise_floor,
        "real": reference.real,
    }
    judge = grid_judge(prepared, extractor, info.task, 5, left_out=reference.left_out)
    return reference, prepared, judge, protocol


def skills(judge, protocol, grids):
    """Skill by metric of these grids in the place of samples."""
    values = judge.quality(grids)
    found = {metric: skill_of(metric, values, protocol, 0.999)[0] for metric in JUDGED}
    return {metric: skill for metric, skill in found.items() if skill is not None}


def test_other_real_data_have_skill_1_within_noise(known):
    _, prepared, judge, protocol = known
    # Items that the extractor was not trained on, and not those that `real` is evenly taken of.
    unseen = torch.from_numpy(np.array(prepared.array("validation")))[1::2]
    found = skills(judge, protocol, unseen)
    assert {FRECHET, "recall", "coverage"} <= set(found)
    for metric, skill in found.items():
        assert skill.low <= 1 <= skill.high, metric
    assert found[FRECHET].value > 0.8


def test_the_reference_s_own_real_items_have_skill_1(known):
    _, _, _, protocol = known
    values = protocol["real"]
    for metric in JUDGED:
        skill, _ = skill_of(metric, values, protocol, 0.95)
        assert skill is None or skill.value == pytest.approx(1.0), metric


def test_the_trivial_baseline_has_skill_0_and_other_noise_0_within_noise(known):
    reference, prepared, judge, protocol = known
    tables = reference.baselines.items()
    same = {name: table["mean_plus_noise"].value for name, table in tables if name in JUDGED}
    for metric in JUDGED:
        skill, _ = skill_of(metric, same, protocol, 0.95)
        assert skill is None or skill.value == pytest.approx(0.0), metric
    train = torch.from_numpy(np.array(prepared.array("train")))
    found = skills(judge, protocol, mean_plus_noise(train, 100, seed=77))
    assert abs(found[FRECHET].value) < 0.1
    assert abs(found["coverage"].value) < 0.2


def test_a_model_that_codes_as_png_does_scores_exactly_png_and_does_not_pass_it(known):
    reference, prepared, _, protocol = known
    test = np.array(prepared.array("test"))
    spec = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 8, 8))
    exact = _item_lengths(png_bits(test) * math.log(2), 64, spec)
    png = reference.baselines["bits_per_dim"]["png"]
    assert exact["bits_per_dim"] == pytest.approx(png.value, rel=1e-12)
    assert exact["bits_per_dim_stderr"] == pytest.approx(png.stderr, rel=1e-12)
    gate = Gate.model_validate({
        "thresholds": {"bits_per_dim": {"baseline": "png"}},
        "champion": {"superior": ("bits_per_dim",)},
    })  # fmt: skip

    def passes(bits):
        nothing = GateInput("file")
        evaluation = Evaluation(
            name="m", dataset="d", weights=nothing, config=nothing,
            metrics=GateInput("metrics", content={"bits_per_dim": bits}),
            protocol=GateInput("protocol", content=protocol), items=nothing,
            resamples=nothing, cost=nothing, validation=nothing,
        )  # fmt: skip
        checks = decide_gate(gate, evaluation).checks
        (check,) = [c for c in checks if c.name == "thresholds.bits_per_dim.png"]
        return check.passed

    assert not passes(png.value)
    assert passes(png.value - 1e-6)
    assert scale_of("bits_per_dim") == "likelihood"
