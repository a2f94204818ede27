"""A walk through the pages in Chromium: wide and narrow, light and dark, all on a real project.

GENMINT_PICTURES is a folder that keeps the pictures; GENMINT_AXE: see `page_checks`.
"""

import os
from pathlib import Path

import pytest
from tests.e2e.browser import CHROMIUM, DIALOG, TEXT, button
from tests.e2e.page_checks import PageChecks
from tests.tracking.ui_process import served_ui

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

MODELS = ("image-vae", "image-gan", "text-rnn", "audio-rnn")
# Rules of axe that MLflow's own pages break, seen in 3.17.2.
KNOWN_OF_MLFLOW = frozenset(
    {"aria-required-parent", "aria-valid-attr-value", "label", "list", "listitem"}
)
# Its pages ask for the user also if there is no login.
ERRORS_OF_MLFLOW = ("/ajax-api/2.0/mlflow/users/current",)


@pytest.fixture
def pictures(tmp_path):
    folder = Path(os.environ.get("GENMINT_PICTURES") or tmp_path / "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_our_own_pages(finished, browser, pictures, tmp_path):
    """The report, the validation of each data set, and what each model has learnt."""
    checks = PageChecks(browser, pictures)
    reports = finished.root / "reports"
    checks.visit("report", (reports / "index.html").as_uri(), "About this page")
    assert browser.ask("document.querySelectorAll('ul.overview .badge.champion').length") == 4
    # Whatever is folded has to pass as well.
    browser.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    checks.look("report-unfolded", own=True)
    for dataset in ("digits", "python-docs", "notes"):
        url = (reports / f"data/{dataset}.html").as_uri()
        checks.visit(f"validation-{dataset}", url, "items passed validation")
    for model in MODELS:
        page = tmp_path / f"{model}.html"
        finished.run("genmint", "explore", model, "--out", str(page))
        checks.visit(f"explore-{model}", page.as_uri(), "About this page")


@pytest.fixture
def refused(finished, tmp_path):
    """A copy of the project whose files of image-vae are version 2, which failed its gate."""
    copy = finished.copy(tmp_path / "refused")
    copy.run("dvc", "exp", "run", "-q", "-S", "models.image-vae.steps=100", "gate@image-vae")
    copy.run("genmint", "promote", "image-vae")
    return copy


@pytest.mark.soak
def test_a_walk_through_mlflow(refused, browser, pictures):
    """Runs, charts, version; the alias moved to the version that failed, and back."""
    reports = refused.root / "reports"
    with served_ui(refused.root) as ui:
        checks = PageChecks(browser, pictures, ui.address, known_errors=ERRORS_OF_MLFLOW)
        versions = f"{ui.address}/#/models/image-vae/versions"
        known = {"known": KNOWN_OF_MLFLOW, "own": False}
        checks.visit("mlflow-runs", ui.link, "image-vae", **known)
        charts = f"{ui.link}&compareRunsMode=CHART"
        checks.visit("mlflow-charts", charts, "train_loss vs validation_loss", **known)
        checks.visit("mlflow-models", f"{ui.address}/#/models", "image-vae.journal", **known)
        checks.visit("mlflow-version-champion", f"{versions}/1", "Gate: passed", **known)
        checks.visit("mlflow-version-refused", f"{versions}/2", "Gate: refused", **known)

        browser.show_as(1400, "light", 1050)
        browser.open(f"{versions}/2", "Gate: refused")
        browser.click('document.querySelector(\'[title="Add aliases"], [title="Edit aliases"]\')')
        browser.choose("champion")
        browser.until(f"{DIALOG}.innerText.includes('is also being used on version 1')")
        browser.click(button("Save aliases", DIALOG))
        browser.until(f"!{DIALOG} && {TEXT}.includes('@ champion')")
        checks.look("mlflow-alias-moved", known=KNOWN_OF_MLFLOW)

        refused.run("genmint", "report")
        sentence = "version 2 may not be champion: it failed its gate"
        checks.visit("report-moved", (reports / "index.html").as_uri(), sentence)
        sampled = refused.run(
            "genmint", "sample", "image-vae@champion", "-n", "1", "--out", "x.png", ok=False
        )
        assert sampled.returncode == 1, sampled.stderr

        moved = refused.run("genmint", "reconcile", "image-vae").stdout
        assert "reverted (champion is version 1)" in moved
        checks.visit("mlflow-reverted", f"{versions}/2", "Alias reverted.", **known)
        refused.run("genmint", "report")
        checks.visit("report-challenger", (reports / "index.html").as_uri(), "failed its gate")
        assert "may not be champion" not in browser.ask(TEXT)
