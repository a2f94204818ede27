"""The page of a flow: what a person reads in the morning."""

import base64

from genmint.common.project import Project
from genmint.flow.publish import Published
from genmint.flow.stage import StageOutcome
from genmint.flow.summary import FlowResult, ModelResult, flow_page


def result(**changed):
    made = FlowResult("c" * 40)
    made.outcomes = [StageOutcome("prepare@d", "cached", 0.5), StageOutcome("train@a", "ran", 12.3),
                     StageOutcome("train@b", "cached", 1.0)]  # fmt: skip
    made.where = {"a": "host-1, gpu-0"}
    made.verdicts = [
        ModelResult("a", "promoted", "better | than\nbefore", "2", "1", "2"),
        ModelResult("b", "is champion", "no alias moves", "1", "1", "1"),
    ]
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def test_the_headline_tells_what_was_trained_and_who_is_new():
    assert result().headline() == "1 promoted; trained a; new champion: a"
    nothing = result(outcomes=[StageOutcome("train@a", "unchanged", 0.1)], verdicts=[])
    assert nothing.headline() == "nothing changed, so nothing was trained"
    failed = result(verdicts=[], failures={"b": "no"}).headline()
    assert failed == "trained a; failed: b"


def test_the_page_has_verdicts_stages_places_and_links(tmp_path):
    text = flow_page(result(), Project(tmp_path), "http://tracker:5000")
    link = "[a](http://tracker:5000/#/models/a/versions/2)"
    assert f"| {link} | promoted | version 1 | version 2 | better \\| than before |" in text
    assert "| train@a | ran | 12.3 | host-1, gpu-0 |" in text
    assert "| prepare@d | cached | 0.5 |  |" in text
    # A file is no place to click on.
    assert "](sqlite" not in flow_page(result(), Project(tmp_path), "sqlite:///mlflow.db")


def test_where_the_results_are_and_what_failed(tmp_path):
    published = Published("retrain/x", "d" * 40, "origin", new=True)
    text = flow_page(result(published=published, failures={"b": "bad row"}), Project(tmp_path), "")
    assert "results on branch `retrain/x`, pushed to origin" in text
    assert "- b: **failed**: bad row" in text
    known = Published("retrain/x", "d" * 40, None, new=False)
    assert "identical to that of an earlier flow" in flow_page(
        result(published=known), Project(tmp_path), ""
    )


def with_sheets(project, **sizes):
    for name, size in sizes.items():
        project.samples(name).mkdir(parents=True)
        (project.samples(name) / "sheet.png").write_bytes(b"p" * size)
    return project


def test_sheets_are_in_the_page_itself(tmp_path):
    text = flow_page(result(), with_sheets(Project(tmp_path), a=10, b=10), "")
    for name in "ab":
        assert f"![{name}](data:image/png;base64,{base64.b64encode(b'p' * 10).decode()})" in text
    assert "no room" not in text


def test_sheets_that_do_not_fit_into_an_artifact_are_named(tmp_path):
    verdicts = [ModelResult(name, "is champion", "", "1", "1", "1") for name in "cbad"]
    project = with_sheets(Project(tmp_path), a=300_000, b=400_000, c=400_000, d=40_000)
    text = flow_page(result(verdicts=verdicts), project, "")
    # That of the trained model comes first.
    assert [text.index(f"![{name}]") for name in "acd"] == sorted(
        text.index(f"![{name}]") for name in "acd"
    )
    assert "![b]" not in text
    assert "no room for the samples of b: they are in MLflow" in text
    assert len(text) < 1_100_000


def test_the_headline_counts_the_outcomes():
    reached = {"a": "promoted", "b": "refused", "c": "promoted", "d": "is champion"}
    verdicts = [ModelResult(name, verdict, "", "2", "1", "1") for name, verdict in reached.items()]
    ended = result(verdicts=verdicts)
    assert ended.outcomes_of_models() == {"promoted": 2, "failed its gate": 1}
    assert ended.headline() == "2 promoted, 1 failed its gate; trained a"
    nothing = result(outcomes=[StageOutcome("train@a", "unchanged", 0.1)], verdicts=[])
    assert nothing.headline() == "nothing changed, so nothing was trained"
