"""One process that feeds a range of mutated files to all targets, within a budget for each.

    python -m tests.fuzz.worker SEED START STOP REPORT

Input number N of a seed is the same wherever it is made. The report has a line of JSON before each
input, so that the starter knows which one ended the process, and a line for each finding.
"""

# ruff: noqa: S311 - seeded on purpose

import contextlib
import io
import itertools
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

SECONDS = 2.0
MEGABYTES = 500


class OverTime(BaseException):
    """The input took more than its share; no parser catches it."""


def _alarm(*_):
    raise OverTime


def _used() -> int:
    """Address space of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def run(seed: int, start: int, stop: int, report) -> None:
    """Feed the inputs start…stop−1, and report."""
    from tests.fuzz.mutator import mutated
    from tests.fuzz.targets import ALLOWED, targets

    with tempfile.TemporaryDirectory(prefix="genmint-fuzz-") as scratch:
        known = targets(Path(scratch))
        turns = list(itertools.chain.from_iterable([target] * target.share for target in known))
        random.Random(0).shuffle(turns)
        for target in known:
            # What is imported at the first call is not the input's.
            _attempt(target, target.seeds[0], ALLOWED, limited=False)
        for number in range(start, stop):
            generator = random.Random(f"{seed}/{number}")
            target = turns[number % len(turns)]
            data = mutated(generator, generator.choice(target.seeds), target.seeds)
            report({"input": number, "target": target.name})
            finding = _attempt(target, data, ALLOWED)
            report({"done": number, "target": target.name} | finding)
            if "finding" in finding:
                report({"data": number, "hex": data.hex()})


def _attempt(target, data: bytes, allowed, *, limited: bool = True) -> dict:
    began, found = time.process_time(), {}
    if limited:
        unlimited = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (_used() + (MEGABYTES << 20), unlimited))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            target.call(data)
    except allowed as error:
        found = {"refused": type(error).__name__}
        if not str(error) or len(str(error)) > 10_000:
            found["finding"] = f"a message of {len(str(error))} characters"
    except OverTime:
        found["finding"] = f"more than {SECONDS} s"
    except BaseException:  # noqa: BLE001 - whatever it is, it is what is looked for
        found["finding"] = traceback.format_exc()[-3000:]
    finally:
        if limited:
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_AS, (unlimited, unlimited))
    return found | {"seconds": round(time.process_time() - began, 3)}


def main() -> None:
    seed, start, stop = map(int, sys.argv[1:4])
    signal.signal(signal.SIGPROF, _alarm)
    with Path(sys.argv[4]).open("a", encoding="utf-8") as stream:

        def report(line: dict) -> None:
            stream.write(json.dumps(line) + "\n")
            stream.flush()

        run(seed, start, stop, report)
        report({"end": stop, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10})


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
