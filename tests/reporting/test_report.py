"""The report: what the page says of the data."""

import json

from genmint.common.files import write_json
from genmint.reporting.report import write_report


def test_files_that_were_left_out_are_shown_with_what_to_do(workshop):
    workshop.make()
    path = workshop.project.validation("dots")
    report = json.loads(path.read_text())
    assert (
        '<td class="wide">none</td>' in write_report(workshop.project, workshop.params).read_text()
    )
    left_out = [
        {"reason": "other ending", "ending": ".heic", "files": 140, "advice": "convert to png"},
        {"reason": "hidden", "ending": ".<b>", "files": 2, "advice": ""},
    ]
    write_json(path, {**report, "left_out": left_out})
    page = write_report(workshop.project, workshop.params).read_text()
    assert '<td class="wide">140 .heic (convert to png), 2 hidden .&lt;b&gt;</td>' in page


def test_metrics_that_cannot_judge_are_named_beside_the_extractor(workshop):
    workshop.make()
    path = workshop.project.reference("dots") / "reference.json"
    known = json.loads(path.read_text())
    assert "is unfit</span>" not in write_report(workshop.project, workshop.params).read_text()
    reason = "does not order real items (0.9) and noise 1, 1, <1>"
    write_json(path, {**known, "unfit": {"precision": reason}})
    page = write_report(workshop.project, workshop.params).read_text()
    assert "▼ precision is unfit" in page
    assert "noise 1, 1, &lt;1&gt;" in page
