"""docs/tutorial.md, typed as it stands there, in a clone of the project."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from tests.e2e.conftest import ROOT, clone_of_the_project
from tests.e2e.pages_of_commands import Terminal, steps_of

import genmint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("dvc") is None, reason="runs `dvc`"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="runs `curl`"),
]
PAGE = ROOT / "docs" / "tutorial.md"
# In the short form: fewer and smaller images, less time, and no GAN, which has no step of its own.
SHORT = (
    ("COUNT, SIZE = 300, 32", "COUNT, SIZE = 120, 12"),
    ("--minutes 10 --yes", "--minutes 4 --family rnn --family vae --yes"),
    (" gate@shapes-gan", ""),
    (" shapes-gan", ""),
)


def with_gates(params, gates):
    """The text of params.yaml with these entries in the place of those of the same models."""
    for name, entry in yaml.safe_load(gates).items():
        start, _, rest = params.partition("\ngates:")
        pattern = rf"^  {name}:\n(?:    .*\n)+"
        rest, count = re.subn(pattern, f"  {name}: {json.dumps(entry)}\n", rest, flags=re.M)
        assert count == 1, name
        params = f"{start}\ngates:{rest}"
    return params


@pytest.mark.soak
@pytest.mark.parametrize("form", ["short", "long"])
def test_the_tutorial_runs_as_it_stands(tmp_path, form, monkeypatch):
    root = clone_of_the_project(tmp_path / "project").root
    page = PAGE.read_text(encoding="utf-8")
    for whole, less in SHORT if form == "short" else ():
        assert whole in page, whole
        page = page.replace(whole, less)
    terminal, printed = Terminal(root), {}
    try:
        for language, before, code in steps_of(page):
            if language == "python":
                (root / re.findall(r"`(\w+\.py)`", before)[-1]).write_text(code)
            elif language == "yaml":
                params = root / "params.yaml"
                params.write_text(with_gates(params.read_text(), code))
            else:
                assert language == "sh", code
                printed.update((line, terminal.type(line)) for line in code.strip().split("\n"))
    finally:
        terminal.close()

    def output(start):
        return next(text for line, text in printed.items() if line.startswith(start))

    assert "shapes-rnn: promoted (version 1)" in output("genmint promote shapes-rnn")
    answer = json.loads(output("curl"))
    expected = genmint.load(root / "shapes-rnn-1").sample(1, seed=0)
    assert [row["sample"] for row in answer["predictions"]] == expected.tolist()
    monkeypatch.chdir(root)
    assert np.array_equal(genmint.load("shapes-rnn@champion").sample(1, seed=0), expected)
    for path in ("shapes.png", "reports/index.html"):
        assert (root / path).is_file()
