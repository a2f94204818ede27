"""A web page of somebody else's, open in the browser of a person who runs `genmint services`."""

import functools
import http.server
import json
import threading
import time
from urllib.parse import quote

from mlflow import MlflowClient
from tests.e2e.browser import Browser

# A name that is not this machine's, as the browser sees it.
ELSEWHERE = "kittens.example"

PAGE = """<!DOCTYPE html><title>kittens</title><iframe name="away"></iframe>
<form id="form" target="away" method="post" enctype="text/plain" action="API/RUN">
<input name='{"job_variables": {"command": "touch OUT"}, "x": "' value='"}'></form>
<form id="rename" target="away" method="post" enctype="text/plain" action="MLFLOW/EXPERIMENT">
<input name='{"name": "hostile", "x": "' value='"}'></form><script>
const json = {method: "POST", headers: {"content-type": "application/json"}};
const body = JSON.stringify({job_variables: {command: "touch OUT"}});
const known = {credentials: "include"};
const hostile = JSON.stringify({name: "hostile"});
const attempts = {
  run: () => fetch("API/RUN", {...json, body}),
  secrets: () => fetch("API/block_documents/filter", {...json, body: '{"include_secrets": true}'}),
  flows: () => fetch("API/flows/filter", {...json, body: "{}"}),
  token: () => fetch("API/csrf-token?client=11111111-1111-1111-1111-111111111111"),
  blind: () => fetch("API/RUN", {method: "POST", mode: "no-cors", body}),
  script: () => fetch("API/admin/settings"),
  create: () => fetch("MLFLOW/EXPERIMENT", {...json, ...known, body: hostile}),
  read: () => fetch("MLFLOW/api/2.0/mlflow/experiments/get?experiment_id=0", known),
  unread: () => fetch("MLFLOW/EXPERIMENT", {method: "POST", mode: "no-cors", ...known,
                                            body: hostile}),
};
const read = {};
(async () => {
  for (const [name, attempt] of Object.entries(attempts)) {
    try { read[name] = await (await attempt()).text(); } catch (error) { read[name] = null; }
  }
  for (const form of document.forms) { form.submit(); await new Promise(r => setTimeout(r, 300)); }
  document.title = "done";
})();
</script>"""
# An opaque answer is empty; all others never reach the page.
NOTHING = {"run": None, "secrets": None, "flows": None, "token": None, "blind": "", "script": None,
           "create": None, "read": None, "unread": ""}  # fmt: skip


def attack(running, folder, deployment, login=None):
    """Open the page; return what it could read, and whether its command ran.

    Args:
        running: the services.
        folder: an empty one.
        deployment: id of the one that it would run.
        login: `user:password` that the browser's user has given both pages before.
    """
    out, site = folder / "out", folder / "page"
    site.mkdir(parents=True)
    mlflow = f"http://127.0.0.1:{running.mlflow_port}"
    filled = {
        "RUN": f"deployments/{deployment}/create_flow_run",
        "EXPERIMENT": "api/2.0/mlflow/experiments/create",
        "API": f"http://127.0.0.1:{running.prefect_port}/api",
        "MLFLOW": mlflow,
        "OUT": str(out),
    }
    page = functools.reduce(lambda text, pair: text.replace(*pair), filled.items(), PAGE)
    (site / "index.html").write_text(page)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = Browser(folder / "profile", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1")
    try:
        if login is not None:
            user, _, password = login.partition(":")
            there = mlflow.replace("//", f"//{user}:{quote(password)}@")
            browser.call(
                "Page.navigate", url=f"{there}/api/2.0/mlflow/experiments/get?experiment_id=0"
            )
            browser.until("document.body.innerText.includes('lifecycle_stage')")
        browser.call("Page.navigate", url=f"http://{ELSEWHERE}:{server.server_port}/")
        browser.until("document.title === 'done'")
        read = json.loads(browser.ask("JSON.stringify(read)"))
        # What a page without scripts can send is on its way.
        time.sleep(1)
    finally:
        browser.close()
        server.shutdown()
    return read, out.exists()


def created(uri):
    """Whether the page made an experiment in MLflow."""
    return MlflowClient(uri, uri).get_experiment_by_name("hostile") is not None
