"""Promotions raced against swaps of files, and against each other: who wins passed its gate.

What is champion is read past genmint, by the hash of the file that is stored.
"""

# ruff: noqa: S311 - seeded on purpose

import random
import shutil
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.registry.test_registry_processes import Promoters

from genmint import tracking
from genmint.common.files import sha256_file
from genmint.registry import journal

SWAPS = [1, pytest.param(30, marks=pytest.mark.soak)]
TOGETHER = [
    pytest.param(4, 1, id="4 writers"),
    pytest.param(30, 2, marks=pytest.mark.soak, id="30 writers, twice"),
]


@pytest.fixture
def promoters(restock, no_tracker, tmp_path):
    workshop = restock(tmp_path / "warm")
    workshop.make(seed=5, elbo=-5.0)
    started = Promoters(workshop, tmp_path / "log")
    yield started
    started.process.stdin.close()
    started.process.wait()


def stored_champion(workshop):
    """Sha256 of the weights that are stored with the champion."""
    client = MlflowClient(tracking.uri(workshop.project))
    number = journal.aliases(client, "tiny")["champion"]
    source = client.get_model_version("tiny", number).source.removeprefix("file://")
    return sha256_file(Path(source) / "artifacts/weights/model.safetensors")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", SWAPS)
def test_promotions_raced_against_a_swap_at_a_random_moment(
    restock, no_tracker, promoters, tmp_path, count
):
    """As a `dvc repro` that ends at that moment: `models/NAME` becomes one that no gate saw."""
    workshop = restock(tmp_path / "project")
    draw = random.Random(7)
    workshop.make(seed=99, gate=False)
    bad = tmp_path / "bad"
    shutil.copytree(workshop.project.model("tiny"), bad)
    passed = {workshop.make(seed=seed, elbo=elbo) for seed, elbo in ((0, -20.0), (1, -15.0))}
    verdicts = set()
    for number in range(count):
        passed.add(workshop.make(seed=100 + number, elbo=-14.0 + 0.4 * number))
        moment = draw.uniform(0.0, 1.5)

        def swap(moment=moment):
            time.sleep(moment)
            for file in bad.iterdir():
                temporary = tmp_path / "new"
                shutil.copyfile(file, temporary)
                temporary.replace(workshop.project.model("tiny") / file.name)

        thread = threading.Thread(target=swap)
        thread.start()
        status, answer = promoters.alone(action="promote", root=str(workshop.root))
        thread.join()
        assert status == 0, promoters.log.read_text()
        verdicts.add(answer[0])
        assert stored_champion(workshop) in passed, (moment, answer)
    assert verdicts <= {"promoted", "not promoted", "not better"}
    assert len(verdicts) > 1 or count < 10


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("writers", "rounds"), TOGETHER)
def test_promotions_raced_against_each_other_with_different_challengers(
    restock, no_tracker, promoters, tmp_path, writers, rounds
):
    """Every third challenger fails its gate, however good its figures are."""
    first = restock(tmp_path / "project")
    uri = tracking.uri(first.project)
    draw = random.Random(writers)
    passed = {stored_champion(first)}
    workshops = []
    for rank in range(writers):
        copy = restock(tmp_path / f"clone-{rank}")
        # The other clones of one project: its registry and its key are the first one's.
        copy.spread(0.001)
        workshops.append(copy)
    for number in range(rounds):
        for rank, workshop in enumerate(workshops):
            fails = rank % 3 == 2
            seed = 1000 + writers * number + rank
            elbo = -31.0 - draw.random() if fails else -14.0 + draw.uniform(0.0, 10.0)
            weights = workshop.make(seed=seed, elbo=elbo)
            passed |= set() if fails else {weights}
        tasks = [{"action": "promote", "root": str(w.root), "uri": uri} for w in workshops]
        results = promoters.together(tasks)
        assert [status for status, _ in results] == [0] * writers, promoters.log.read_text()
        verdicts = [verdict for _, (verdict, _, _) in results]
        assert verdicts[2::3] == ["refused"] * len(verdicts[2::3])
        # Of a later round, none need be better than the best of an earlier one.
        assert "promoted" in verdicts or number > 0
        assert stored_champion(first) in passed
