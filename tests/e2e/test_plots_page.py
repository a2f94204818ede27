"""The page of `dvc plots show`, drawn by DVC and opened in a browser."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.browser

PLOTS = {
    "plots": [
        {"history.csv": {"template": "losses", "x": "step", "y": "validation_loss",
                         "title": "one: losses"}},
        {"gate.csv": {"template": "margins", "x": "margin", "y": "check", "title": "one: margins"}},
        {"history.tsv": {"x": "step", "y": "validation_loss", "title": "one: of DVC"}},
    ]
}  # fmt: skip
REQUESTS = (
    "performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length"
)


@pytest.fixture
def page(tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], cwd=repository, check=True)
    config = (ROOT / ".dvc/config").read_text().replace("[core]\n", "[core]\n    no_scm = true\n")
    (repository / ".dvc/config").write_text(config)
    shutil.copytree(ROOT / ".dvc/plots", repository / ".dvc/plots")
    (repository / "dvc.yaml").write_text(json.dumps(PLOTS))
    table = "step,train_loss,validation_loss\n1,3.0,2.5\n2,2.0,2.1\n"
    (repository / "history.csv").write_text(table)
    (repository / "history.tsv").write_text(table.replace(",", "\t"))
    (repository / "gate.csv").write_text("check,margin\nthresholds.elbo.min,12.5\ncost,-40.0\n")
    subprocess.run([*dvc, "plots", "show"], cwd=repository, check=True, capture_output=True)
    return (repository / "dvc_plots/index.html").as_uri()


def test_losses_and_margins_are_drawn_without_another_host(page, browser):
    browser.open(page, "one: losses", "one: margins", "one: of DVC")
    shown = browser.ask("document.body.textContent")
    assert "workspace: train_loss" in shown
    assert "workspace: validation_loss" in shown
    # A line for each series, and its sample in the legend.
    assert browser.ask("document.querySelectorAll('polyline').length") == 4
    assert browser.ask("document.querySelectorAll('rect').length") == 2
    assert browser.ask("document.querySelectorAll('rect[fill=\"#b00020\"]').length") == 1
    # What this page cannot draw, it names the way to.
    assert "remove html_template from .dvc/config" in shown
    assert browser.ask(REQUESTS) == 0
