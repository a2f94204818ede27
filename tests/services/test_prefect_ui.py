"""Prefect's pages make no request to another host."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from tests.e2e.browser import CHROMIUM, Browser

from genmint.services.prefect_ui import copy_pages, without_key

PATHS = ("/v2/dashboard", "/v2/runs", "/v2/deployments", "/dashboard")


def test_the_key_is_removed_from_the_file_that_starts_the_analytics():
    key = b"0123456789abcdef0123456789abcdef"
    assert without_key(b"amplitude;function f(){return`%b`}" % key) == (
        b"amplitude;function f(){return``}"
    )
    assert key in without_key(b"return`%b`" % key)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def address(tmp_path):
    copy_pages(tmp_path / "ui")
    port = free_port()
    env = {**os.environ, "PREFECT_HOME": str(tmp_path / "home"),
           "PREFECT_UI_STATIC_DIRECTORY": str(tmp_path / "ui"), "PREFECT_UI_API_URL": "/api",
           "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-services"]
    server = subprocess.Popen([*command, "--port", str(port)], env=env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{address}/api/health").close()  # noqa: S310
            break
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline
            time.sleep(0.3)
    yield address
    os.killpg(server.pid, signal.SIGTERM)
    server.wait()


def requested(browser, url, seconds):
    """Addresses that a page requests while it loads and for some seconds."""
    browser.call("Page.navigate", url=url)
    found, deadline = [], time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            event = json.loads(browser.socket.recv(timeout=left))
        except TimeoutError:
            break
        if event.get("method") == "Network.requestWillBeSent":
            found.append(event["params"]["request"]["url"])
    return found


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(600)
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_no_page_of_prefect_asks_another_host(address, tmp_path):
    browser = Browser(
        tmp_path / "profile", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    )
    try:
        browser.call("Network.enable")
        for path in PATHS:
            urls = requested(browser, address + path, 6)
            assert len(urls) > 5
            assert [url for url in urls if not url.startswith((address, "data:", "blob:"))] == []
    finally:
        browser.process.send_signal(signal.SIGTERM)
        browser.process.wait()
