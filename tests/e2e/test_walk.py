"""A walk through the pages in Chromium: wide and narrow, light and dark, all on real projects.

GENMINT_PICTURES is a folder that keeps the pictures; GENMINT_AXE: see `page_checks`.
"""

import os
from pathlib import Path

import pytest
from tests.e2e.browser import CHROMIUM, TEXT
from tests.e2e.flows import DIGITS, ask, project, run_of
from tests.e2e.page_checks import PageChecks
from tests.e2e.registry_page import move_champion
from tests.services.conftest import Running, wait_for
from tests.services.custom_run import fill_in, submit
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
    {
        "aria-required-children",
        "aria-required-parent",
        "aria-valid-attr-value",
        "button-name",
        "color-contrast",
        "label",
        "list",
        "listitem",
        "nested-interactive",
        "role-img-alt",
        "scrollable-region-focusable",
    }
)
# What genmint wrote into the page of a version; the colour of its links is MLflow's.
_DESCRIPTION = ".note-editor-preview-content"
DESCRIPTION = {"include": [[_DESCRIPTION]], "exclude": [[f"{_DESCRIPTION} a"]]}
# Its pages ask for the user also if there is no login.
ERRORS_OF_MLFLOW = ("/ajax-api/2.0/mlflow/users/current",)
# Rules of axe that Prefect's own pages break, seen in 3.8.8.
KNOWN_OF_PREFECT = frozenset(
    {
        "aria-allowed-attr",
        "aria-input-field-name",
        "aria-required-children",
        "aria-required-parent",
        "button-name",
        "color-contrast",
        "label-content-name-mismatch",
        "link-name",
        "nested-interactive",
        "scrollable-region-focusable",
    }
)
# What genmint wrote into the page of a result.
RESULT = ".artifact-data-markdown"
# Its new pages ask for icons that are elsewhere.
ERRORS_OF_PREFECT = ("/favicon.ico", "/favicon-dark.ico", "/completed.svg")


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
def refused(tmp_path):
    """A project whose champion is version 1 of image-vae; version 2 failed its gate."""
    made = project(tmp_path / "refused", DIGITS)
    made.run("dvc", "repro", "-q", "gate@image-vae")
    made.run("genmint", "promote", "image-vae")
    made.run("dvc", "exp", "run", "-q", "-S", "models.image-vae.steps=1", "gate@image-vae")
    made.run("genmint", "promote", "image-vae", ok=False)
    return made


@pytest.mark.soak
def test_a_walk_through_mlflow(refused, browser, pictures):
    """Runs, charts, version; the alias moved to the version that failed, and back."""
    with served_ui(refused.root) as ui:
        checks = PageChecks(browser, pictures, ui.address, known_errors=ERRORS_OF_MLFLOW)
        known = {"known": KNOWN_OF_MLFLOW, "own": False}
        versions = f"{ui.address}/#/models/image-vae/versions"
        checks.visit("mlflow-runs", ui.link, "image-vae", **known)
        charts = f"{ui.link}&compareRunsMode=CHART"
        # At 400 pixels the charts lie below the list of runs, and are drawn when they are seen.
        checks.visit("mlflow-charts", charts, "Model metrics", **known)
        browser.show_as(1400, "light")
        browser.open(charts, "train_loss vs validation_loss")
        checks.visit("mlflow-models", f"{ui.address}/#/models", "image-vae.journal", **known)
        known["content"] = DESCRIPTION
        checks.visit("mlflow-version-champion", f"{versions}/1", "Gate: passed", **known)
        checks.visit("mlflow-version-refused", f"{versions}/2", "Gate: refused", **known)
        move_to_refused_and_back(refused, browser, checks, versions, known)


def move_to_refused_and_back(home, browser, checks, versions, known):
    """What a person moves in the browser, a command refuses and `genmint reconcile` reverts."""
    page = (home.root / "reports" / "index.html").as_uri()
    sentence = "version 2 may not be champion: it failed its gate"
    browser.show_as(1400, "light", 1050)
    checks.leave()
    move_champion(browser, f"{versions}/2", "Gate: refused", champion=1)
    checks.look("mlflow-alias-moved", known=KNOWN_OF_MLFLOW)
    home.run("genmint", "report")
    checks.visit("report-moved", page, sentence)
    sample = ("genmint", "sample", "image-vae@champion", "-n", "1", "--out", "x.png")
    sampled = home.run(*sample, ok=False)
    assert sampled.returncode == 1, sampled.stderr
    assert "failed its gate" in sampled.stderr
    assert not (home.root / "x.png").exists()

    moved = home.run("genmint", "reconcile", "image-vae").stdout
    assert "reverted (champion is version 1)" in moved
    checks.visit("mlflow-reverted", f"{versions}/2", "Alias reverted.", **known)
    assert "@ champion" not in browser.ask(TEXT)
    home.run(*sample)
    home.run("genmint", "report")
    checks.visit("report-challenger", page, "failed its gate")
    assert "may not be champion" not in browser.ask(TEXT)


@pytest.fixture
def running(tmp_path):
    """`genmint services` in a project that was never trained."""
    home = project(tmp_path / "home", DIGITS)
    started = Running(
        home.root, "--workers", "2", "--name", "here",
        GENMINT_HOME=str(home.root), GENMINT_LOCKS=str(tmp_path), OMP_NUM_THREADS="1",
    )  # fmt: skip
    yield started
    started.clean()


def result_page(browser, address, run):
    """Open the page of a run, and return the address of its result, to which the page links."""
    # In a narrow window, the lines of the log have to be scrolled to.
    browser.show_as(1400, "light")
    browser.open(f"{address}/v2/runs/flow-run/{run}", "Result page")
    return browser.ask("document.querySelector('a[href*=\"/artifacts/artifact/\"]').href")


@pytest.mark.soak
def test_a_walk_through_prefect(running, browser, pictures):
    """All models, then a custom run of one with overrides, which fails its gate; their results."""
    address = f"http://127.0.0.1:{running.prefect_port}"
    checks = PageChecks(browser, pictures, address, known_errors=ERRORS_OF_PREFECT)
    known = {"known": KNOWN_OF_PREFECT, "own": False}
    with running.client as client:
        deployment = client.read_deployment_by_name("retrain/now").id
    first = ask(running, "retrain/now")
    wait_for(lambda: run_of(running, first).state.is_final(), 600, "the first run ends")
    page = f"{address}/v2/deployments/deployment/{deployment}"
    checks.visit("prefect-deployment", page, "now", **known)
    checks.visit("prefect-form", f"{page}/run", "models (Optional)", **known)
    browser.show_as(1400, "light")
    browser.open(f"{page}/run", "models (Optional)")
    fill_in(browser, "image-vae", overrides := {"models.image-vae.steps": 1})
    checks.look("prefect-form-filled", known=KNOWN_OF_PREFECT)
    submit(browser)
    checks.leave()
    with running.client as client:
        (custom,) = [each.id for each in client.read_flow_runs()
                     if each.parameters.get("overrides") == overrides]  # fmt: skip
    wait_for(lambda: run_of(running, custom).state.is_final(), 600, "the custom run ends")
    run = run_of(running, custom)
    assert run.name == "retrain image-vae steps=1"
    assert run.state.is_completed(), run.state.message
    checks.visit("prefect-runs", f"{address}/v2/runs", run.name, **known)
    for name, each, text in (("first", first, "promoted"), ("custom", custom, "refused")):
        checks.visit(f"prefect-run-{name}", f"{address}/v2/runs/flow-run/{each}",
                     "Completed", **known)  # fmt: skip
        link = result_page(browser, address, each)
        checks.visit(f"prefect-result-{name}", link, text, **known, content=RESULT)
        # The pictures of the samples are there, not only their place.
        browser.until("[...document.images].some(image => image.naturalWidth > 20)")
