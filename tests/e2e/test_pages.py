"""What a person opens in a browser, opened in a browser."""

import re
import signal
import subprocess

import pytest
from PIL import Image
from tests.e2e.browser import CHROMIUM
from tests.tracking.ui_process import served_ui

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


def browse(url, tmp_path, picture=None, size="1200,2400"):
    """The page's DOM after its scripts ran; `picture` takes a screenshot too."""
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}"),
        "--virtual-time-budget=15000",
    ]
    if picture is not None:
        subprocess.run(
            [*command, f"--screenshot={picture}", url], check=True, capture_output=True, timeout=120
        )
    done = subprocess.run(
        [*command, "--dump-dom", url], check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout


def test_the_report(finished, tmp_path):
    page = finished.root / "reports" / "index.html"
    picture = tmp_path / "report.png"
    dom = browse(page.as_uri(), tmp_path, picture)
    assert dom.count("champion: version 1") == 4
    assert "data:image/png;base64" in dom
    assert "data:audio/wav;base64" in dom
    with Image.open(picture) as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 200


def test_the_page_of_a_validation(finished, tmp_path):
    report = (finished.root / "reports/index.html").as_uri()
    links = re.findall(r'href="(data/[^"]+)"', browse(report, tmp_path))
    assert "data/digits.html" in links
    dom = browse((finished.root / "reports" / "data/digits.html").as_uri(), tmp_path)
    assert dom.count('<span class="badge yes">passed</span>') > 5
    assert "10000 of 10000 items passed validation" in dom


@pytest.mark.soak
def test_the_registry_in_mlflows_ui(finished, tmp_path):
    with served_ui(finished.root, signal.SIGINT) as ui:
        page = f"{ui.address}/#/models/image-vae/versions/1"
        dom = browse(page, tmp_path, tmp_path / "version.png")
    assert "champion" in dom
    assert "Gate: passed" in dom
