"""A damaged dvc.lock is an error everywhere, and never taken for a missing one."""

import contextlib
import io

import pytest

from genmint import tracking
from genmint.commands.promote import promote as promote_verb
from genmint.common.dvc_lock import parse_lock, read_lock
from genmint.common.errors import GenmintError
from genmint.common.files import read_json
from genmint.promotion.promote import promote
from genmint.registry.registry import Registry
from genmint.reporting.status import status

WHOLE = """\
schema: '2.0'
stages:
  train@tiny:
    cmd: python -m genmint train tiny
    outs:
    - path: models/tiny/model.safetensors
      md5: 0123456789abcdef
"""
CONFLICT = WHOLE.replace(
    "      md5: 0123456789abcdef\n",
    "<<<<<<< HEAD\n      md5: 0123456789abcdef\n=======\n      md5: fedcba9876543210\n>>>>>>> x\n",
)
DAMAGED = {
    "conflict": (CONFLICT, "Line 7 is a conflict marker of git: resolve the conflict"),
    "cut short": (WHOLE[:11], "not a lock file of DVC"),
    "empty": ("\n", "it is empty"),
    "a list": ("- a\n", "not a lock file of DVC"),
    "outs without a path": (WHOLE.replace("path:", "pfad:"), "not a lock file of DVC"),
    "outs as text": ("stages: {train@tiny: {outs: [a]}}\n", "not a lock file of DVC"),
    "huge number": (f"stages: {{a: {{cmd: {'9' * 5000}}}}}\n", "not a lock file of DVC"),
    "nested": ("stages: " + "[" * 20000, "not a lock file of DVC"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_each_damage_is_one_line_with_a_remedy(kind):
    text, words = DAMAGED[kind]
    with pytest.raises(GenmintError, match=words) as caught:
        parse_lock(text, "dvc.lock")
    assert "\n" not in str(caught.value)
    assert "resolve the conflict" in str(caught.value) or "git checkout" in str(caught.value)


def test_a_lock_that_dvc_is_writing_is_read_again(workshop, monkeypatch):
    from genmint.common import dvc_lock

    path = workshop.project.lock
    path.write_text(WHOLE[:11])
    monkeypatch.setattr(dvc_lock.time, "sleep", lambda _: path.write_text(WHOLE))
    assert list(read_lock(path)) == ["train@tiny"]


def test_promotion_refuses_and_registers_nothing(workshop):
    workshop.make()
    whole = workshop.project.lock.read_text()
    workshop.project.lock.write_text(CONFLICT)
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "not promoted"
    assert "resolve the conflict" in outcome.reason
    registry = Registry.open(workshop.project)
    assert registry.versions("tiny") == []
    assert registry.client.search_runs([tracking.experiment_id(registry.client)]) == []
    # Whole again, the same command does it.
    workshop.project.lock.write_text(whole)
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "promoted"


def test_the_verb_refuses_too(workshop, monkeypatch):
    workshop.make()
    workshop.project.lock.write_text(CONFLICT)
    monkeypatch.chdir(workshop.root)
    with pytest.raises(GenmintError, match="resolve the conflict"):
        promote_verb(["tiny"])


def test_status_says_so(workshop):
    workshop.make()
    workshop.project.lock.write_text(CONFLICT)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert status(workshop.project, workshop.params) == 1
    assert "resolve the conflict" in out.getvalue()


def test_conflicts_in_records_are_named(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text('{\n<<<<<<< HEAD\n"a": 1\n=======\n"a": 2\n>>>>>>> x\n}\n')
    with pytest.raises(GenmintError, match=r"not valid JSON.*Line 2 is a conflict marker"):
        read_json(path, "Run it again.")
