"""The report in a browser: wide and narrow, light and dark, by keyboard, without a network."""

import pytest
from mlflow import MlflowClient
from tests.e2e.browser import CHROMIUM

from genmint import tracking
from genmint.config import load_params
from genmint.data.prepared import Prepared
from genmint.models.shared import store
from genmint.reporting.explore import explore
from genmint.reporting.report import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

PARAMS = """\
datasets:
  dots: {path: data/sources/dots.yaml, kind: image, resolution: 8}
models:
  vae: {family: vae, dataset: dots, hidden: [8], latent: 2, steps: 1}
gates: {}
"""

# Of the badges of the overview: their texts, and whether each lies within the window.
BADGES = """
[...document.querySelectorAll('ul.overview .badge')].map(badge => {
  const place = badge.getBoundingClientRect();
  return [badge.innerText, place.left >= 0 && place.right <= innerWidth];
})
"""
LOADED = "performance.getEntriesByType('resource').map(each => each.name)"


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_verdicts_are_in_sight(stocked, browser, width, scheme):
    client = MlflowClient(tracking.uri(stocked.project))
    client.set_registered_model_alias("tiny", "champion", "3")
    page = write_report(stocked.project, stocked.params)
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=False,
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.call("Emulation.setEmulatedMedia", features=[feature])
    browser.open(page.as_uri(), "About this page")
    badges = browser.ask(BADGES)
    assert ["version 3 may not be champion: it failed its gate", True] in badges
    assert all(in_sight for _, in_sight in badges)
    assert browser.ask("document.scrollingElement.scrollWidth <= innerWidth")
    assert [name for name in browser.ask(LOADED) if not name.startswith("data:")] == []
    dark = browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 30)"
    assert dark == (scheme == "dark")


def test_a_slider_shows_one_step_of_a_latent(browser, by_hand, tmp_path):
    project = by_hand(tmp_path / "project", PARAMS)
    config = load_params(project.params).models["vae"]
    described = {
        "name": "vae",
        "model": config,
        "data": Prepared(project.prepared("dots")).spec(config.view),
        "prepared": "d",
        "resolved": {},
    }
    project.model("vae").mkdir(parents=True)
    store.save(project.model("vae"), store.build(config, described["data"]), described)
    explore(project, "vae", tmp_path / "page.html", seed=0)
    browser.open((tmp_path / "page.html").as_uri(), "About this page")
    browser.until("document.querySelector('ul.latents output').innerText === '0.0'")
    before = browser.ask("document.querySelector('ul.latents canvas').toDataURL()")
    browser.ask("document.querySelector('ul.latents input').focus()")
    browser.call(
        "Input.dispatchKeyEvent", type="rawKeyDown", key="End", code="End", windowsVirtualKeyCode=35
    )
    browser.until("document.querySelector('ul.latents output').innerText === '3.0'")
    assert browser.ask("document.querySelector('ul.latents canvas').toDataURL()") != before
    assert [name for name in browser.ask(LOADED) if not name.startswith("data:")] == []


def test_a_section_closes_and_opens_with_the_keyboard(stocked, browser):
    browser.open(write_report(stocked.project, stocked.params).as_uri(), "About this page")
    section = "[...document.querySelectorAll('summary')].find(e => e.innerText === 'Training')"
    assert browser.ask(f"{section}.parentElement.open") is True
    browser.ask(f"{section}.focus()")
    browser.press_enter()
    browser.until(f"!{section}.parentElement.open")
    browser.press_enter()
    browser.until(f"{section}.parentElement.open")
