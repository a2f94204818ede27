"""A walk through our pages in Chromium: wide and narrow, light and dark, all on a real project.

GENMINT_PICTURES is a folder that keeps the pictures; GENMINT_AXE: see `page_checks`.
"""

import os
from pathlib import Path

import pytest
from tests.e2e.browser import CHROMIUM
from tests.e2e.page_checks import PageChecks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

MODELS = ("image-vae", "image-gan", "text-rnn", "audio-rnn")


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
