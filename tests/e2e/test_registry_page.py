"""Promotion by hand, by a person with a browser: MLflow's own pages, clicked in Chromium."""

import pytest
from tests.e2e.browser import CHROMIUM, DIALOG, TEXT, button
from tests.e2e.registry_page import move_champion
from tests.tracking.ui_process import served_ui

from genmint.cli import run
from genmint.tracking.store import database
from genmint.tracking.ui import runs_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


LOGIN = "team:a-long-passphrase"


@pytest.fixture(params=[None, pytest.param(LOGIN, marks=pytest.mark.soak, id="login")])
def login(request):
    """GENMINT_LOGIN, None if it is not set."""
    return request.param


@pytest.fixture
def ui(stocked, browser, login):
    """`genmint ui` on a registry of small models; its address."""
    with served_ui(stocked.root, **({} if login is None else {"GENMINT_LOGIN": login})) as served:
        if login is not None:
            # As a person who types it into the browser's box; from then on the browser has it.
            browser.open(f"{served.address.replace('://', f'://{login}@')}/version")
            browser.until(f"/^[0-9.]+$/.test({TEXT}.trim())")
        yield f"{served.address}/#/models"


def test_a_person_moves_the_champion(stocked, ui, browser, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(stocked.root)

    def move(version, *texts):
        move_champion(browser, f"{ui}/tiny/versions/{version}", *texts, champion=2)

    def reconcile():
        capsys.readouterr()
        assert run(["reconcile", "tiny"]) == 0
        return capsys.readouterr().out

    # Read what the champion's page says.
    browser.open(f"{ui}/tiny/versions/2", "Gate: passed", "@ champion", "genmint.weights")
    browser.picture(tmp_path / "registry-version.png")

    # To one that failed: back, with the reason on its page.
    move(3, "Gate: refused")
    assert "reverted (champion is version 2)" in reconcile()
    said = "champion was moved here by hand and was reverted to version 2: it failed its gate."
    browser.open(f"{ui}/tiny/versions/3", f"Alias reverted. {said}", "genmint.reverted")
    assert "@ champion" not in browser.ask(TEXT)
    browser.picture(tmp_path / "registry-reverted.png")
    browser.open(f"{ui}/tiny/versions/2", "@ champion")

    # Another model's version, copied with all its tags by the button "Promote model": back as well.
    browser.open(f"{ui}/other/versions/1", "Gate: passed")
    browser.click(button("Promote model"))
    browser.choose("tiny")
    browser.click(button("Promote", DIALOG))
    browser.until("location.href.endsWith('/tiny/versions/5')")
    move(5, "genmint.gate")
    assert "it is a copy of a version of other, and was never gated as tiny" in reconcile()
    browser.open(f"{ui}/tiny/versions/5", "Alias reverted.", "it is a copy of a version of other")

    # To one that passed: confirmed.
    move(1, "Gate: passed")
    assert "confirmed (champion is version 1)" in reconcile()
    browser.open(f"{ui}/tiny/versions/1", "@ champion")
    assert "Alias reverted." not in browser.ask(TEXT)


def test_the_runs_open_with_their_view_and_no_page_asks_another_host(stocked, ui, browser):
    """Losses in one chart, and what `genmint promote` decided beside each run."""
    root = ui.removesuffix("/#/models")
    runs = f"{root}/{runs_page(database(stocked.project))}"
    pages = {
        runs: ("genmint.verdict", "not better"),
        f"{runs}&compareRunsMode=CHART": ("train_loss vs validation_loss", "Model metrics"),
        f"{ui}/tiny/versions/3": ("Gate: refused", "champion (version 2)", "tiny/3"),
        ui: ("tiny.journal", "genmint.journal"),
    }
    for page, texts in pages.items():
        browser.open(page, *texts)
        resources = browser.ask("performance.getEntriesByType('resource').map(each => each.name)")
        assert resources
        assert [each for each in resources if not each.startswith((root, "data:", "blob:"))] == []
