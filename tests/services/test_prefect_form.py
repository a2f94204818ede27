"""In Chromium: parameters typed into Prefect's form, and the result page that a run links to."""

import signal

import httpx
import pytest
from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.context import FlowRunContext
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings
from prefect.utilities.callables import parameter_schema
from tests.e2e.browser import CHROMIUM, TEXT, Browser
from tests.services.conftest import ROOT, wait_for
from tests.services.custom_run import fill_in, submit
from tests.services.test_prefect_ui import address  # noqa: F401 - a fixture

from genmint.services.parameter_form import names_to_choose, with_fields
from genmint.services.result_page import ResultPage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
OVERRIDES = {"models.image-vae.steps": 1000}


@pytest.fixture
def browser(tmp_path):
    opened = Browser(tmp_path / "profile", "--window-size=1400,1300")
    yield opened
    opened.process.send_signal(signal.SIGTERM)
    opened.process.wait()


def deploy(client):
    """A deployment of `retrain` with the form that `genmint deploy` gives it."""
    schema = parameter_schema(load_flow_from_entrypoint(f"{ROOT}/pipelines/retrain.py:retrain"))
    fields = with_fields(schema.model_dump(exclude_unset=True), names_to_choose(ROOT))
    return client.create_deployment(
        client.create_flow_from_name("retrain"), "now", parameter_openapi_schema=fields,
        enforce_parameter_schema=True,
    )  # fmt: skip


def test_models_and_overrides_are_entered_in_the_form_that_opens(address, browser):
    with SyncPrefectClient(f"{address}/api") as client:
        deployment = deploy(client)
        browser.open(f"{address}/v2/deployments/deployment/{deployment}/run", "models (Optional)")
        fill_in(browser, "image-vae", OVERRIDES)
        submit(browser)
        (run,) = [each for each in client.read_flow_runs() if each.deployment_id == deployment]
    assert run.parameters["models"] == ["image-vae"]
    assert run.parameters["overrides"] == OVERRIDES


def test_the_page_of_a_run_opens_with_a_link_to_its_result(address, browser):
    @flow
    def trial():
        page = ResultPage(FlowRunContext.get().flow_run.id, "trial")
        get_run_logger().info("Result page: %s", page.address)
        page.write("# Two models are better", "better")

    def logs():
        return httpx.post(f"{address}/api/logs/filter", json={}).json()

    with temporary_settings({PREFECT_API_URL: f"{address}/api", PREFECT_UI_URL: address}):
        trial()
    (run,) = httpx.post(f"{address}/api/flow_runs/filter", json={}).json()
    # The log is sent in batches, and the page of a run that has ended asks for it only once.
    wait_for(lambda: "Result page" in str(logs()), 60, "the log has the line")
    browser.open(f"{address}/v2/runs/flow-run/{run['id']}", "Result page")
    link = browser.ask("document.querySelector('a[href*=\"/artifacts/artifact/\"]').href")
    browser.open(link)
    browser.until(f"{TEXT}.includes('Two models are better')")
