"""What a person clicks on MLflow's page of a version."""

import json

from tests.e2e.browser import DIALOG, TEXT, button


def move_champion(browser, page, *texts, champion):
    """Open the page of a version and move the alias there.

    Args:
        browser: that the person has.
        page: address of the version's page.
        texts: that the page shows before.
        champion: number of the version that has the alias before.
    """
    browser.open(page, *texts)
    browser.click('document.querySelector(\'[title="Add aliases"], [title="Edit aliases"]\')')
    browser.choose("champion")
    sentence = json.dumps(f"is also being used on version {champion}")
    browser.until(f"{DIALOG}.innerText.includes({sentence})")
    browser.click(button("Save aliases", DIALOG))
    browser.until(f"!{DIALOG} && {TEXT}.includes('@ champion')")
