"""Faults at random moments: nothing half done, nothing left behind, and the next run mends all.

Every fault is drawn from a seed, which its test's name says. `make faults` injects 300 and more, in
stages, promotions, `dvc repro`, services and flows (tests/services/test_faults.py).
"""

# ruff: noqa: S311 - seeded on purpose

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.e2e.conftest import Checkout
from tests.faults.conftest import MARK, SIGNALS, gone, strike

from genmint import tracking
from genmint.common.files import sha256_file
from genmint.common.project_key import load_key
from genmint.registry import entries, journal

LONG = [pytest.mark.faults, pytest.mark.soak, pytest.mark.timeout(2400)]
# Seed and number of faults.
STAGES = [pytest.param(0, 6, id="seed 0, 6 faults")] + [
    pytest.param(seed, 20, id=f"seed {seed}, 20 faults", marks=LONG) for seed in range(1, 11)
]
PROMOTIONS = [pytest.param(0, 3, id="seed 0, 3 faults")] + [
    pytest.param(seed, 20, id=f"seed {seed}, 20 faults", marks=LONG) for seed in range(1, 5)
]
REPROS = [pytest.param(seed, 5, id=f"seed {seed}, 5 faults", marks=LONG) for seed in range(4)]


@pytest.mark.parametrize(("seed", "count"), STAGES)
def test_a_stage_that_ends_in_the_middle(made, runner, tmp_path, seed, count):
    draw = random.Random(seed)
    for number in range(count):
        stage = draw.choice(sorted(made.outs))
        kind = draw.choice([*SIGNALS, "KILL", "full"])
        when = draw.uniform(0.0, 1.05) * made.seconds[stage]
        largest = max(_sizes(made, stage))
        limit = draw.randrange(0, largest + 1) if kind == "full" else None
        what = f"fault {number} of seed {seed}: {kind} {limit or f'{when:.2f} s'} into {stage}"
        log = tmp_path / f"{number}.log"
        try:
            _disturb(made, runner, stage, kind, when, limit, what, log)
        finally:
            made.put_back(stage)


def _disturb(made, runner, stage, kind, when, limit, what, log):
    log.touch()
    how = {"cwd": made.root, "log": log, "TMPDIR": str(made.temporary), MARK: what}
    made.remove(stage)
    pid = runner.begin(*stage.split("@"), **how, limit=limit)
    if kind != "full":
        strike(pid, SIGNALS[kind], when)
    status = runner.end()
    said = log.read_text()
    assert "Traceback" not in said, f"{what}\n{said}"
    if kind == "full":
        assert status in (0, 1), f"{what}: {status}\n{said}"
    assert gone(what) == [], what
    assert made.differing(stage, may_be_absent=True) == [], what
    again = runner.run(*stage.split("@"), **how)
    assert again == 0, f"{what}, then\n{log.read_text()}"
    assert made.differing(stage, may_be_absent=False) == [], what
    assert made.leftovers() == [], what


def _sizes(made, stage):
    for out in made.outs[stage]:
        path = made.kept / out
        files = [path] if path.is_file() else path.rglob("*")
        yield from (file.stat().st_size for file in files if file.is_file())


@pytest.mark.parametrize(("seed", "count"), PROMOTIONS)
def test_a_promotion_that_ends_in_the_middle(restock, no_tracker, runner, tmp_path, seed, count):
    """The second run makes the same champion, with one entry, whatever the first did."""
    better = restock(tmp_path / "better")
    wanted = better.make(seed=5, elbo=-5.0)
    draw = random.Random(seed)
    log = tmp_path / "log"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    took = _promote(runner, restock(tmp_path / "first", better), log, temporary, "undisturbed")
    for number in range(count):
        workshop = restock(tmp_path / str(number), better)
        kind = draw.choice([*SIGNALS, "KILL", "full"])
        when = draw.uniform(0.0, 1.05) * took
        limit = draw.randrange(0, 400_000) if kind == "full" else None
        what = f"fault {number} of seed {seed}: {kind} {limit or f'{when:.2f} s'} into promote"
        how = {"cwd": workshop.root, "log": log, "TMPDIR": str(temporary), MARK: what}
        log.write_text("")
        pid = runner.begin("promote", "tiny", **how, limit=limit)
        if kind != "full":
            strike(pid, SIGNALS[kind], when)
        status = runner.end()
        assert "Traceback" not in log.read_text(), f"{what}: {status}\n{log.read_text()}"
        assert gone(what) == [], what
        _check(workshop, what, log, {wanted, None})
        _promote(runner, workshop, log, temporary, what)
        _check(workshop, what, log, {wanted})
        assert list(temporary.iterdir()) == [], what
        shutil.rmtree(workshop.root)


def _promote(runner, workshop, log, temporary, what):
    begun = time.monotonic()
    how = {"cwd": workshop.root, "log": log, "TMPDIR": str(temporary), MARK: what}
    assert runner.run("promote", "tiny", **how) == 0, f"{what}\n{log.read_text()}"
    took = time.monotonic() - begun
    assert runner.run("status", **how) == 0, f"{what}\n{log.read_text()}"
    return took


def _check(workshop, what, log, expected):
    """The champion is one that its gate passed, by the hash of what is stored."""
    client = MlflowClient(tracking.uri(workshop.project))
    number = journal.aliases(client, "tiny").get("champion")
    versions = {str(v.version): v for v in client.search_model_versions("name = 'tiny'")}
    assert number in versions, f"{what}\n{log.read_text()}"
    champion = versions[number]
    source = Path(champion.source.removeprefix("file://"))
    stored = sha256_file(source / "artifacts/weights/model.safetensors")
    assert stored == champion.tags["genmint.weights"], what
    # None: the champion that there was before, which is version 2.
    allowed = {versions["2"].tags["genmint.weights"] if each is None else each for each in expected}
    assert stored in allowed, what
    if expected == {champion.tags["genmint.weights"]}:
        assert len(versions) == 5, what
        valid = [e for e in entries.entries(client, "tiny", load_key(workshop.project)) if e.valid]
        assert [entry.version for entry in valid] == ["1", "2", number], what
        assert all(entry.finalised for entry in valid), what


@pytest.mark.parametrize(("seed", "count"), REPROS)
def test_a_repro_that_ends_in_the_middle(made, tmp_path, seed, count):
    """DVC itself is hit; what it started ends with it, and the next `dvc repro` needs no help."""
    draw = random.Random(seed)
    for number in range(count):
        stage = draw.choice(sorted(made.outs))
        kind = draw.choice(["KILL", "TERM", "INT"])
        when = draw.uniform(0.5, 8.0)
        what = f"fault {number} of seed {seed}: {kind} {when:.2f} s into dvc repro {stage}"
        env = {MARK: what, "TMPDIR": str(made.temporary), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", stage]
        with (tmp_path / "log").open("w") as log:
            dvc = subprocess.Popen(
                command, cwd=made.root, env={**_environment(), **env}, stdout=log, stderr=log
            )
        strike(dvc.pid, SIGNALS[kind], when)
        dvc.wait(120)
        assert gone(what, 30) == [], what
        project = Checkout(made.root)
        done = project.run("dvc", "repro", ok=False, **env)
        assert done.returncode == 0, f"{what}\n{done.stdout}\n{done.stderr}"
        status = project.run("dvc", "status", **env).stdout
        assert "up to date" in status, f"{what}\n{status}"
        for each in made.outs:
            assert made.differing(each, may_be_absent=False) == [], what
        assert made.leftovers() == [], what


def _environment():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    others = ("DVC_", "MLFLOW_", "GIT_")
    kept = {name: said for name, said in os.environ.items() if not name.startswith(others)}
    return {**kept, "PATH": path}
