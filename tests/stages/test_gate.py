"""The gate stage always writes a record, whatever it finds, and the same one each time."""

import json

import pytest
from dvc.utils.serialize import load_yaml

from genmint.common.errors import GenmintError
from genmint.common.files import write_json
from genmint.decision.gate_record import Check, Record
from genmint.evaluation.recorded import read_evaluation
from genmint.stages import gate


def record(workshop):
    return json.loads(workshop.project.gate_record("tiny").read_text())


def failed(workshop):
    return [check["name"] for check in record(workshop)["checks"] if not check["passed"]]


def test_a_pass_is_written_and_shown(workshop, capsys):
    workshop.make(gate=False)
    assert workshop.gate() is True
    found = record(workshop)
    assert found["passed"] == 1
    assert found["mode"] == "enforce"
    assert found["checks_failed"] == 0
    shown = found["verdicts"]["thresholds.elbo.min"]
    assert (shown["passed"], shown["value"], shown["bound"]) == (1, -20.0, -30.0)
    assert shown["low"] == pytest.approx(-20.196, abs=1e-3)
    assert [item["file"] for item in found["evidence"]] == [
        "models/tiny/model.safetensors",
        "models/tiny/config.json",
        "metrics/tiny.json",
        "metrics/tiny.protocol.json",
        "samples/tiny/items.npy",
        "samples/tiny/resamples.json",
        "metrics/tiny.cost.json",
        "reports/data/dots.json",
    ]
    out = capsys.readouterr().out
    assert "-20 ± 0.2" in out
    assert "is at least" in out
    assert "tiny: passed all 12 checks" in out


def test_a_refusal_is_a_result(workshop, capsys):
    workshop.make(elbo=-35.0, gate=False)
    assert workshop.gate() is False
    assert failed(workshop) == ["thresholds.elbo.min"]
    assert "tiny: refused: thresholds.elbo.min: -35 < -30" in capsys.readouterr().out


def test_metrics_no_better_than_a_trivial_baseline_are_marked(workshop, capsys):
    workshop.make(gate=False)
    workshop.gate()
    assert "baseline" not in capsys.readouterr().out
    workshop.make(elbo=-45.0, gate=False)
    workshop.gate()
    said = capsys.readouterr().out
    assert (
        "tiny: no better than a trivial baseline: elbo -45 (worse than pixel_bernoulli: -40)"
        in said
    )


def with_protocol(workshop, **changed):
    path = workshop.project.protocol("tiny")
    write_json(path, {**json.loads(path.read_text()), **changed})


def test_a_model_worse_than_a_codec_is_told_so_with_the_figures(workshop, capsys):
    baselines = {"bits_per_dim": {"pixel_histogram": 7.0, "webp": 4.04, "png": 5.68, "xz": 6.6}}
    workshop.make(gate=False, bits_per_dim=6.57)
    with_protocol(workshop, baselines=baselines)
    workshop.gate()
    printed = capsys.readouterr().out
    assert "tiny: bits_per_dim 6.57 is worse than png (5.68), webp (4.04)\n" in printed
    assert "trivial" not in printed


def test_a_bar_of_a_codec_refuses_with_its_name(workshop, capsys):
    workshop.edit("elbo: {min: -30.0, baseline: pixel_bernoulli, margin: 1.0}",
                  "bits_per_dim: {baseline: png}")  # fmt: skip
    workshop.make(gate=False, bits_per_dim=6.57)
    with_protocol(workshop, baselines={"bits_per_dim": {"png": 5.68}})
    assert workshop.gate() is False
    assert failed(workshop) == ["thresholds.bits_per_dim.png"]
    expected = "thresholds.bits_per_dim.png: bits_per_dim 6.57 is not below png (5.68)"
    assert f"tiny: refused: {expected}" in capsys.readouterr().out


def test_a_skill_is_shown_with_its_uncertainty(workshop, capsys):
    workshop.edit("elbo: {min: -30.0, baseline: pixel_bernoulli, margin: 1.0}",
                  "recall: {skill: 0.5, min: 0.1}")  # fmt: skip
    workshop.make(gate=False, recall=0.6, recall_stderr=0.02)
    with_protocol(
        workshop,
        baselines={"recall": {"mean_plus_noise": 0.2}},
        real={"recall": 0.9, "recall_stderr": 0.01},
        noise_floor={"recall": 0.02},
    )
    assert workshop.gate() is True
    printed = capsys.readouterr().out
    assert printed.count("0.57 ± 0.058") == 2
    assert "skill" in printed
    shown = record(workshop)["verdicts"]["thresholds.recall.min"]
    assert shown["value"] == 0.6
    assert shown["skill"] == pytest.approx(4 / 7)
    assert shown["skill_high"] - shown["skill"] == pytest.approx(0.0583, abs=1e-4)
    page = gate.to_markdown(gate.read_record(workshop.project, "tiny").checks)
    assert "| skill |" in page
    assert "0.57 ± 0.058" in page


def test_without_a_skill_there_is_no_column_for_it(workshop, capsys):
    workshop.make(gate=False)
    workshop.gate()
    assert "skill" not in capsys.readouterr().out
    assert "skill" not in gate.to_markdown(gate.read_record(workshop.project, "tiny").checks)


def test_the_record_is_the_same_each_time(workshop):
    workshop.make()
    first = workshop.project.gate_record("tiny").read_bytes()
    workshop.gate()
    assert workshop.project.gate_record("tiny").read_bytes() == first


@pytest.mark.parametrize(
    ("path", "blocks"),
    [
        ("models/tiny/model.safetensors", "evidence.weights"),
        ("metrics/tiny.json", "metrics.finite"),
        ("metrics/tiny.protocol.json", "evidence.protocol"),
        ("samples/tiny/items.npy", "evidence.items"),
        ("samples/tiny/resamples.json", "evidence.resamples"),
        ("reports/data/dots.json", "data.validated"),
    ],
)
def test_a_missing_file_is_a_refusal(workshop, path, blocks):
    workshop.make(gate=False)
    (workshop.root / path).unlink()
    assert workshop.gate() is False
    assert blocks in failed(workshop)
    reasons = [check["reason"] for check in record(workshop)["checks"]]
    assert f"{path} is missing" in reasons


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "NaN", "\ufffe", '"text"'])
@pytest.mark.parametrize("which", ["tiny.json", "tiny.protocol.json"])
def test_an_unreadable_file_is_a_refusal(workshop, which, content):
    workshop.make(gate=False)
    (workshop.root / "metrics" / which).write_bytes(content.encode("utf-16-le"))
    assert workshop.gate() is False
    (workshop.root / "metrics" / which).write_text(content)
    assert workshop.gate() is False
    assert any("valid JSON" in c["reason"] or "not a map" in c["reason"]
               for c in record(workshop)["checks"])  # fmt: skip


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_metric_that_is_not_finite_is_a_refusal_in_valid_json(workshop, text):
    workshop.make(gate=False)
    path = workshop.root / "metrics/tiny.json"
    path.write_text(path.read_text().replace("-20.0", text))
    assert workshop.gate() is False
    assert "metrics.finite" in failed(workshop)
    assert "thresholds.elbo.min" in failed(workshop)
    assert "NaN" not in workshop.project.gate_record("tiny").read_text()


def test_a_model_without_a_gate_is_refused(workshop):
    workshop.make("other", gate=False)
    assert workshop.gate("other") is False
    found = json.loads(workshop.project.gate_record("other").read_text())
    reasons = [check["reason"] for check in found["checks"] if not check["passed"]]
    assert reasons == ["params.yaml has no gates.other"]


def test_costs_count_only_against_a_budget(workshop):
    workshop.make(gate=False)
    workshop.project.cost("tiny").unlink()
    assert workshop.gate() is True
    workshop.edit("champion: {superior: [elbo]}", "champion: {superior: [elbo]}\n    cost: "
                  "{max_parameters: 50}")  # fmt: skip
    assert workshop.gate() is False
    assert failed(workshop) == ["cost.parameters"]
    assert "metrics/tiny.cost.json is missing" in record(workshop)["checks"][-1]["reason"]
    write_json(workshop.project.cost("tiny"), {"parameters": 49})
    assert workshop.gate() is True


def test_a_record_is_read_back_or_named(workshop):
    workshop.make()
    assert gate.read_record(workshop.project, "tiny") == gate.judge(
        read_evaluation(workshop.project, "tiny", "dots"), workshop.params
    )
    write_json(workshop.project.gate_record("tiny"), {"passed": 1})
    with pytest.raises(GenmintError, match=r"tiny\.json: not a gate record.*dvc repro -f gate"):
        gate.read_record(workshop.project, "tiny")


def test_markdown_cannot_be_broken_by_a_reason(workshop):
    workshop.make(elbo=-35.0)
    found = gate.read_record(workshop.project, "tiny")
    check = found.checks[0].model_copy(update={"reason": "a | b\nc"})
    text = gate.to_markdown([check, *found.checks[1:]])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(found.checks)
    assert "a \\| b c" in text


def test_dry_run_says_so(workshop, capsys):
    workshop.edit("  tiny:\n    thresholds", "  tiny:\n    mode: dry-run\n    thresholds")
    workshop.make()
    assert record(workshop)["mode"] == "dry-run"
    assert "dry-run: no alias will move" in capsys.readouterr().out


def test_the_numbers_and_margins_for_dvc_are_written_beside_the_record(workshop):
    workshop.make(elbo=-35.0, gate=False)
    workshop.gate()
    numbers = load_yaml(workshop.project.headline("tiny"))
    assert numbers["failed"] == 1
    assert numbers["elbo"] == -35.0
    rows = workshop.project.gate_margins("tiny").read_text().splitlines()
    assert rows[0] == "check,margin"
    assert any(row.startswith("thresholds.elbo.min,-") for row in rows)


@pytest.mark.parametrize(
    ("value", "bound", "reason", "words"),
    [
        (10.0912, 4.0, "is not at most 4", "10.09 > 4"),
        (0.1, 0.4, "is not at least 0.4", "0.1 < 0.4"),
        (4.0000004, 4.0, "is not at most 4", "4.0000004 > 4"),
        (-27.5, -25.0, "is not above it (-27) by 2", "m -27.5 is not above it (-27) by 2"),
        (6.5701, 5.68, "is not below png (5.68)", "m 6.57 is not below png (5.68)"),
        (0.4712, 0.5, "is not at least 0.5, where 0 is x (9), 1 is real data (1)", "0.4712 < 0.5"),
        (None, 4.0, "elbo is missing from metrics", "elbo is missing from metrics"),
        ("a" * 64, "b" * 64, "it is not the measured file", "it is not the measured file"),
    ],
)  # fmt: skip
def test_a_reason_has_the_value(value, bound, reason, words):
    check = Check(name="thresholds.m.max", value=value, bound=bound, passed=False, reason=reason)
    whole = Record(model="tiny", passed=0, checks_passed=0, checks_failed=1, verdicts={},
                   mode="enforce", checks=(check,), evidence=())  # fmt: skip
    assert gate.reasons(whole) == f"thresholds.m.max: {words}"


def test_the_record_is_printed_as_json(workshop, capsys):
    workshop.make(gate=False)
    capsys.readouterr()
    gate.run(workshop.project, workshop.params, "tiny", as_json=True)
    assert json.loads(capsys.readouterr().out) == record(workshop)
