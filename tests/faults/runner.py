"""Starts commands of genmint as processes of their own that need not import anything any more.

Run as a program. For each line of JSON on stdin, `{"words", "cwd", "log", "env", "limit"}`, it
forks a process that runs `genmint WORDS` in the folder `cwd`, with its output in the file `log`,
and no file longer than `limit` bytes (null: as long as it likes). It answers with the process id,
and when the process has ended, with its status (negative: the signal).
"""

import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import tempfile

import great_expectations  # noqa: F401 - imported before the forks
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import torch

import genmint.stages
from genmint import cli
from genmint.registry import pyfunc  # noqa: F401


def start(task):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(task["cwd"])
        os.environ.update(task["env"])
        tempfile.tempdir = None
        if task["limit"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (task["limit"], resource.RLIM_INFINITY))
        try:
            status = cli.run(task["words"])
        except BaseException:  # noqa: BLE001 - as the interpreter at its top
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for module in pkgutil.iter_modules(genmint.stages.__path__):
        importlib.import_module(f"genmint.stages.{module.name}")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # A collection in a child would copy all pages that it shares with this process.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        started = start(json.loads(line))
        print(started, file=answers, flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(started, 0)[1])
        print(status, file=answers, flush=True)
