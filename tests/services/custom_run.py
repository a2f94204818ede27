"""What a person types into the form "Custom run" of Prefect's page of a deployment."""

import json

MODELS = "document.querySelector('[aria-label=\"Select models\"]')"


def fill_in(browser, model, overrides):
    """Choose a model and type overrides into the form, which is open."""
    browser.click(MODELS)
    options = "[...document.querySelectorAll('[role=option]')]"
    browser.click(f"{options}.find(each => each.innerText.trim() === {json.dumps(model)})")
    chosen = json.dumps(f'[aria-label="Remove {model} tag"]')
    browser.until(f"!!document.querySelector({chosen})")
    browser.until("!!document.querySelector('.cm-content')")
    browser.ask("document.querySelector('.cm-content').focus()")
    browser.call("Input.insertText", text=json.dumps(overrides))
    (key,) = overrides
    browser.until(f"document.querySelector('.cm-content').innerText.includes({json.dumps(key)})")


def submit(browser):
    """Submit the form, and wait for the page of the deployment."""
    browser.click("[...document.querySelectorAll('button')].find(b => b.innerText === 'Submit')")
    browser.until("location.pathname.includes('/deployments/deployment/')"
                  " && !location.pathname.endsWith('/run')")  # fmt: skip
