"""Promotion by hand, by a person with a browser: MLflow's own pages, clicked in Chromium."""

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from PIL import Image
from websockets.sync.client import connect

from genmint.cli import run

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

# With plain spaces: some on the pages are non-breaking.
TEXT = r"(document.body?.innerText ?? '').replace(/\u00a0/g, ' ')"
DIALOG = "document.querySelector('[role=dialog]')"


class Browser:
    """Chromium by its remote debugging protocol."""

    def __init__(self, profile):
        self.process = subprocess.Popen(
            [
                *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
                *("--no-first-run", "--disable-background-networking", "--disable-sync"),
                *("--disable-component-update", "--window-size=1100,1050"),
                *("--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        port = _until(lambda: self._port(profile))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        self.socket = connect(pages[0]["webSocketDebuggerUrl"], max_size=None)
        self.calls = 0

    @staticmethod
    def _port(profile):
        with contextlib.suppress(FileNotFoundError):
            return (profile / "DevToolsActivePort").read_text().partition("\n")[0]
        return None

    def call(self, method, **params):
        self.calls += 1
        self.socket.send(json.dumps({"id": self.calls, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == self.calls:
                assert "error" not in answer, answer
                return answer["result"]

    def ask(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script):
        try:
            return _until(lambda: self.ask(script))
        except AssertionError:
            raise AssertionError(f"never: {script}\n{self.ask(TEXT)}") from None

    def open(self, url, *texts):
        """Load a page anew and wait until it shows these texts."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        for text in texts:
            self.until(f"{TEXT}.includes({json.dumps(text)})")

    def click(self, button):
        self.until(f"!!({button})")
        self.ask(f"({button}).click()")

    def choose(self, text):
        """Type into the field of the open dialog, and Enter."""
        self.until(f"!!{DIALOG}?.querySelector('input')")
        self.ask(f"{DIALOG}.querySelector('input').focus()")
        self.call("Input.insertText", text=text)
        # The list under the field offers it before Enter takes it.
        self.until("!!document.querySelector('[role=option], [class*=select-item-option]')")
        for kind in ("rawKeyDown", "char", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                windowsVirtualKeyCode=13,
                text="\r" if kind == "char" else "",
            )

    def picture(self, path):
        # The assistant that MLflow opens beside the page hides a third of it.
        self.ask("document.querySelector('button[aria-label=Close]')?.click()")
        time.sleep(1)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        with Image.open(path) as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 200

    def close(self):
        self.socket.close()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def _button(words, within="document"):
    return (
        f"[...({within}?.querySelectorAll('button') ?? [])]"
        f".find(button => button.innerText.trim() === {json.dumps(words)})"
    )


@pytest.fixture
def browser(tmp_path):
    started = Browser(tmp_path / "profile")
    yield started
    started.close()


@pytest.fixture
def ui(stocked):
    """`genmint ui` on a registry of small models; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "genmint", "ui", "--port", str(port)],
        cwd=stocked.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers():
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer,
        ):
            return answer.status == 200
        return False

    try:
        _until(answers, 120)
        yield f"http://127.0.0.1:{port}/#/models"
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 130


def test_a_person_moves_the_champion(stocked, ui, browser, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(stocked.root)

    def move(version, *texts):
        browser.open(f"{ui}/tiny/versions/{version}", *texts)
        browser.click('document.querySelector(\'[title="Add aliases"], [title="Edit aliases"]\')')
        browser.choose("champion")
        browser.until(f"{DIALOG}.innerText.includes('is also being used on version 2')")
        browser.click(_button("Save aliases", DIALOG))
        browser.until(f"!{DIALOG} && {TEXT}.includes('@ champion')")

    def reconcile():
        capsys.readouterr()
        assert run(["reconcile", "tiny"]) == 0
        return capsys.readouterr().out

    # Read what the champion's page says.
    browser.open(f"{ui}/tiny/versions/2", "Gate: passed", "@ champion", "genmint.weights")
    browser.picture(tmp_path / "registry-version.png")

    # To one that failed: back, with the reason on its page.
    move(3, "Gate: refused")
    assert "put back (champion is version 2)" in reconcile()
    said = "champion was moved here by hand and was put back to version 2: it failed its gate."
    browser.open(f"{ui}/tiny/versions/3", f"Alias put back. {said}", "genmint.reverted")
    assert "@ champion" not in browser.ask(TEXT)
    browser.picture(tmp_path / "registry-reverted.png")
    browser.open(f"{ui}/tiny/versions/2", "@ champion")

    # Another model's version, copied with all its tags by the button "Promote model": back as well.
    browser.open(f"{ui}/other/versions/1", "Gate: passed")
    browser.click(_button("Promote model"))
    browser.choose("tiny")
    browser.click(_button("Promote", DIALOG))
    browser.until("location.href.endsWith('/tiny/versions/5')")
    move(5, "genmint.gate")
    assert "it is a copy of a version of other, and was never gated as tiny" in reconcile()
    browser.open(f"{ui}/tiny/versions/5", "Alias put back.", "it is a copy of a version of other")

    # To one that passed: confirmed.
    move(1, "Gate: passed")
    assert "confirmed (champion is version 1)" in reconcile()
    browser.open(f"{ui}/tiny/versions/1", "@ champion")
    assert "Alias put back." not in browser.ask(TEXT)
