"""Processes that act on a registry all at once, or are killed at a chosen write of theirs.

Run as a program with the root of a project to warm up on: what is imported and set up by a first
promotion is so once. It then becomes one process for each task of a line (a JSON list) on stdin,
and answers with a line: of each, its exit status (negative: the signal) and what came of it.
"""

import functools
import gc
import json
import os
import signal
import sys
from pathlib import Path

import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - imported before the forks
import torch
from mlflow import MlflowClient
from mlflow.store.db import utils

from genmint.common.errors import GenmintError
from genmint.common.project import Project
from genmint.config import load_params
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.promotion.rollback import rollback
from genmint.registry import journal, pyfunc

WRITING = ("create_", "set_", "delete_", "update_", "log_", "copy_", "rename_", "transition_")


def die_before_write(number):
    """Let this process be killed in place of its write `number` to the registry, from 1."""
    seen = 0

    def stopping(write):
        def written(*arguments, **named):
            nonlocal seen
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments, **named)

        return written

    for name in dir(MlflowClient):
        if name.startswith(WRITING):
            setattr(MlflowClient, name, stopping(getattr(MlflowClient, name)))


def act(action, root, uri=None, die_at=None):
    if uri is not None:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    project = Project(Path(root))
    params = load_params(project.params)
    if die_at is not None:
        # Nobody else is at work: the dead need not be waited for.
        journal._GRACE_SECONDS, journal._BY_HAND_SECONDS = 0.2, 0.05
        die_before_write(die_at)
    if action == "rollback":
        return rollback(project, params, "tiny", "it blurs")
    (outcome,) = {"promote": promote, "reconcile": reconcile}[action](project, params, ["tiny"])
    return [outcome.verdict, getattr(outcome, "version", None), outcome.reason]


def start(task, gate, answer):
    child = os.fork()
    if child == 0:
        status = 1
        os.dup2(2, 1)
        try:
            os.read(gate, 1)
            os.write(answer, json.dumps(act(**task)).encode())
            status = 0
        except GenmintError as error:
            print(error, flush=True)
        finally:
            os._exit(status)
    return child


def together(tasks):
    gate, opener = os.pipe()
    children = []
    for task in tasks:
        answer, written = os.pipe()
        children.append((start(task, gate, written), answer))
        os.close(written)
    # One byte for each lets them all go.
    os.write(opener, b"!" * len(tasks))
    results = []
    for child, answer in children:
        with os.fdopen(answer) as stream:
            said = stream.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        results.append([status, json.loads(said) if said else None])
    os.close(gate)
    os.close(opener)
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    # The code that serves a version is many files, and nothing that is looked at.
    pyfunc._CODE = ("__init__.py",)
    answers, sys.stdout = sys.stdout, sys.stderr
    # MLflow reads all its migration scripts again for every store that it opens.
    utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)
    for action in ("promote", "rollback", "reconcile"):
        act(action, sys.argv[1])
    # A collection in a child would copy all pages that it shares with this process.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(together(json.loads(line))), file=answers, flush=True)
