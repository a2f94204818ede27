"""Chromium, driven by its remote debugging protocol."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request

from PIL import Image
from tests.tracking.conftest import until
from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium")

# With plain spaces: some on the pages are non-breaking.
TEXT = r"(document.body?.innerText ?? '').replace(/\u00a0/g, ' ')"
DIALOG = "document.querySelector('[role=dialog]')"


def button(words, within="document"):
    """The script of the button with these words."""
    return (
        f"[...({within}?.querySelectorAll('button') ?? [])]"
        f".find(button => button.innerText.trim() === {json.dumps(words)})"
    )


class Browser:
    """Chromium by its remote debugging protocol."""

    def __init__(self, profile, *options):
        self.process = subprocess.Popen(
            [
                *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
                *("--no-first-run", "--disable-background-networking", "--disable-sync"),
                *("--disable-component-update", "--window-size=1100,1050"),
                *options,
                *("--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        port = until(lambda: self._port(profile))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        # Events that wait to be read hold up the answers to pings.
        address = pages[0]["webSocketDebuggerUrl"]
        self.socket = connect(address, max_size=None, ping_interval=None)
        self.calls = 0
        # Events of the domains that a test enables, such as Network.
        self.events = []

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
            self.events.append(answer)

    def ask(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script):
        try:
            # While a page is loading, it has no body yet.
            return until(lambda: self.ask(f"document.body && ({script})"))
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
        self.press_enter()

    def press_enter(self):
        """Press Enter in the element that has the focus."""
        for kind in ("rawKeyDown", "char", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                windowsVirtualKeyCode=13,
                text="\r" if kind == "char" else "",
            )

    def show_as(self, width, scheme, height=900):
        """Emulate a window of this size, in pixels, and a colour scheme: light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def whole_picture(self, path):
        """Take a screenshot of the whole page, also of what lies below the window."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

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
