"""The page of a flow run's result."""

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import FlowRunContext
from prefect.exceptions import EventTooLarge
from prefect.settings import PREFECT_UI_URL, temporary_settings

from genmint.services.result_page import ResultPage

pytestmark = pytest.mark.usefixtures("prefect_alone")


def pages(api):
    found = httpx.post(f"{api}/artifacts/filter", json={}).json()
    return {page["id"]: page["data"] for page in found if page["key"] == "trial"}


def test_it_is_there_from_the_start_and_a_run_that_goes_on_finds_it_again(prefect_api):
    seen = []

    @flow
    def trial():
        run = FlowRunContext.get().flow_run.id
        first = ResultPage(run, "trial")
        seen.append(pages(prefect_api))
        again = ResultPage(run, "trial")
        assert again.address == first.address
        again.write("# done", "one line")
        return first.address

    with temporary_settings({PREFECT_UI_URL: "http://head:4200/"}):
        address = trial()
    (begun,) = seen
    ((id_, data),) = begun.items()
    assert data.startswith("No result yet")
    assert address == f"http://head:4200/artifacts/artifact/{id_}"
    assert pages(prefect_api) == {id_: "# done"}


def test_a_page_larger_than_prefect_accepts_is_cut_and_says_so(prefect_api):
    lines = [f"{number} {'é' * 500}" for number in range(2000)]

    @flow
    def trial():
        page = ResultPage(FlowRunContext.get().flow_run.id, "trial")
        with pytest.raises(EventTooLarge), get_client(sync_client=True) as client:
            client.update_artifact(page._id, ArtifactUpdate(data="\n".join(lines)))
        page.write("\n".join(lines), "one line")

    trial()
    (data,) = (each for each in pages(prefect_api).values() if each.startswith(lines[0]))
    *shown, empty, last = data.split("\n")
    assert shown == lines[: len(shown)]
    assert empty == ""
    assert last == f"{2000 - len(shown):,} more lines do not fit into this page."


def test_without_pages_there_is_no_address():
    @flow
    def trial():
        return ResultPage(FlowRunContext.get().flow_run.id, "trial").address

    with temporary_settings({PREFECT_UI_URL: None}):
        assert trial() is None or "127.0.0.1" in trial()
