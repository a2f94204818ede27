"""What a page must not do, as Chromium sees it: ask other hosts, log errors, or hinder people.

People with disabilities are spoken for by axe-core (https://github.com/dequelabs/axe-core). It is
no package of Python: GENMINT_AXE is the path of its `axe.min.js`, without which its rules are not
checked.
"""

import json
import os
from collections.abc import Collection
from pathlib import Path

WIDTHS, SCHEMES = (1400, 400), ("light", "dark")

_AXE = os.environ.get("GENMINT_AXE", "")
_RUN_AXE = """
axe.run(%s, {resultTypes: ['violations']}).then(results => results.violations
  .filter(each => each.impact === 'serious' || each.impact === 'critical')
  .map(each => [each.id, each.nodes.map(node => node.target.join(' ')).slice(0, 5)]))
"""


class PageChecks:
    """Checks every page that a browser shows, and keeps pictures of it.

    Args:
        browser: browser to watch.
        pictures: existing folder for the pictures.
        addresses: of the servers that pages may ask, without a path.
        known_errors: endings of messages that the pages of another project log by themselves.
    """

    def __init__(
        self, browser, pictures: Path, *addresses: str, known_errors: tuple[str, ...] = ()
    ):
        self.browser, self.pictures = browser, pictures
        self.known_errors = known_errors
        self.addresses = addresses
        self.allowed = (*addresses, "data:", "blob:", "file:", "about:", "chrome:", "devtools:")
        for domain in ("Network", "Log", "Runtime"):
            browser.call(f"{domain}.enable")

    def visit(self, name, url, *texts, known: Collection[str] = (), own=True, content=None):
        """Open a page in both widths and colour schemes, and check it in each.

        Args:
            name: of the pictures.
            url: of the page.
            texts: that the page shows.
            known: rules of axe that the page of another project breaks.
            own: whether the page is ours; ours do not scroll sideways.
            content: selector, or context of axe, of what is ours on the page of another project; no
                rule may be broken there.
        """
        for width in WIDTHS:
            for scheme in SCHEMES:
                self.browser.show_as(width, scheme)
                self.leave()
                self.browser.open(url, *texts)
                self.browser.until("document.readyState === 'complete'")
                self.look(f"{name}-{width}-{scheme}", known=known, own=own, content=content)

    def leave(self):
        """Leave the page, and make the next one ask for the colour scheme: MLflow's keep it.

        A page that is left logs errors of the requests that it does not finish.
        """
        self.browser.call("Page.navigate", url="about:blank")
        self.browser.until("location.href === 'about:blank'")
        self.drop_events("after the last page")
        for address in self.addresses:
            self.browser.call(
                "Storage.clearDataForOrigin", origin=address, storageTypes="local_storage"
            )

    def look(self, name, *, known: Collection[str] = (), own=False, content=None):
        """Check the page as it is now; the picture of ours is of the whole page."""
        if own:
            sideways = "document.scrollingElement.scrollWidth - innerWidth"
            assert self.browser.ask(sideways) <= 0, f"{name} scrolls sideways"
            self.browser.whole_picture(self.pictures / f"{name}.png")
        else:
            self.browser.picture(self.pictures / f"{name}.png")
        found = serious_findings(self.browser)
        findings = {rule: at for rule, at in found.items() if rule not in known}
        assert not findings, f"{name}: {findings}"
        if content is not None:
            ours = serious_findings(self.browser, content)
            # The page around them makes wide tables scroll.
            ours.pop("scrollable-region-focusable", None)
            assert not ours, f"{name}: {ours}"
        logged = errors(self.browser.events)
        unknown = [each for each in logged if not each.endswith(self.known_errors)]
        assert not unknown, f"{name}: {unknown}"
        self.drop_events(name)

    def drop_events(self, name):
        """Forget what the browser told, after a look at the addresses that it requested."""
        outside = outside_requests(self.browser.events, self.allowed)
        assert not outside, f"{name}: {outside}"
        self.browser.events.clear()


def serious_findings(browser, content="html"):
    """Elements by rule of axe that they break, within a context of axe; {} without axe."""
    if not _AXE:
        return {}
    browser.ask(Path(_AXE).read_text(encoding="utf-8"))
    answer = browser.call(
        "Runtime.evaluate",
        expression=_RUN_AXE % json.dumps(content),
        awaitPromise=True,
        returnByValue=True,
    )
    assert "exceptionDetails" not in answer, answer
    return dict(answer["result"]["value"])


def outside_requests(events, allowed):
    """Addresses that were requested and that do not begin with an allowed one."""
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not url.startswith(allowed)]


def errors(events):
    """Exceptions and messages of level error, in the words of the console."""
    logged = []
    for event in events:
        content = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            logged.append(json.dumps(content["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded" and content["entry"]["level"] == "error":
            logged.append(f"{content['entry']['text']} {content['entry'].get('url', '')}")
        elif event["method"] == "Runtime.consoleAPICalled" and content["type"] == "error":
            logged.append(json.dumps(content["args"]))
    return logged
