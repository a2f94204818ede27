"""What the flow costs and saves against plain `dvc repro`; writes benchmarks/results/pipeline.md.

    python benchmarks/pipeline.py           all of it, forty minutes; the machine should be idle
    python benchmarks/pipeline.py one same  some of: defaults, long, one, same, starts; what the
                                            page says of the others stays

Both sides run real stages from nothing (or forced), one thread a stage, in clones of what is
committed here, on servers of their own. A flow's time is from asking for it until Prefect says that
it is done: waiting for a worker, checkout, stages, publication and promotion included.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from run import processor

from genmint.common.files import write_text
from genmint.common.programs import clean_environment

_HERE = Path(__file__).parent
_ROOT = _HERE.parent
_PAGE = _HERE / "results" / "pipeline.md"
_WORKERS = 2
# Where training is nearly all of the work: two models of some four minutes each, not translated
# first, which takes a minute by itself.
_LONG = {
    "models.image-vae.steps": 32_000,
    "models.image-vae.compile": False,
    "models.image-gan.steps": 14_000,
}
_LONG_MODELS = ["image-vae", "image-gan"]
_VERBS = ["ingest", "validate", "prepare", "reference", "train", "evaluate", "gate"]
_STAGE = re.compile(r"^Running stage '([^']+)'")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bench:
    """Two clones of the project, one with services, and how long things take in them."""

    def __init__(self, folder: Path) -> None:
        """Make the clones and start the services."""
        self.serial, self.home = folder / "serial", folder / "home"
        for root in (self.serial, self.home):
            _clone(root)
        ports = free_port(), free_port()
        bin_folder = Path(sys.executable).parent
        self.env = {
            **clean_environment(),
            "OMP_NUM_THREADS": "1",
            "GENMINT_HOME": str(self.home),
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_API_URL": f"http://127.0.0.1:{ports[1]}/api",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{ports[0]}",
        }
        self.log = folder / "services.log"
        options = ["--mlflow-port", ports[0], "--prefect-port", ports[1], "--workers", _WORKERS]
        with self.log.open("wb") as log:
            self.services = subprocess.Popen(
                [sys.executable, "-m", "genmint", "services", *map(str, options)],
                cwd=self.home, env=self._without_servers(), stdout=log, stderr=log,
            )  # fmt: skip
        while "Ctrl-C ends" not in self.log.read_text():
            if self.services.poll() is not None:
                raise SystemExit(self.log.read_text())
            time.sleep(0.5)

    def end(self) -> None:
        """Stop the services."""
        # Not SIGINT, which a shell makes its background jobs ignore.
        self.services.terminate()
        self.services.wait(60)

    def dvc(self, *arguments: str) -> tuple[float, dict[str, float]]:
        """Seconds of a `dvc repro` in the serial clone, and of each stage in it."""
        began = time.monotonic()
        marks: list[tuple[str, float]] = []
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", *arguments],
            cwd=self.serial, env=self._in(self.serial),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if match := _STAGE.match(line):
                marks.append((match.group(1), time.monotonic()))
        if process.wait() != 0:
            raise SystemExit("".join(lines))
        ended = time.monotonic()
        # None of both where nothing changed.
        ends = [*(begin for _, begin in marks), ended][1:]
        return ended - began, {
            stage: end - begin for (stage, begin), end in zip(marks, ends, strict=True)
        }

    def flow(self, **parameters: Any) -> float:
        """Seconds of a flow, from asking for it until Prefect says that it is done."""
        os.environ.update(self.env)
        from prefect.deployments import run_deployment

        began = time.monotonic()
        run = run_deployment("retrain/now", parameters=parameters, poll_interval=1)
        seconds = time.monotonic() - began
        if run.state is None or not run.state.is_completed():
            raise SystemExit(f"the flow: {run.state}")
        print(f"    flow: {run.state.message or ''} {seconds:.1f} s", file=sys.stderr)
        _tell_when(run, time.time() - seconds)
        return seconds

    def _in(self, root: Path) -> dict[str, str]:
        return self.env | {"PYTHONPATH": str(root / "src"), "GENMINT_HOME": str(root)}

    def _without_servers(self) -> dict[str, str]:
        named = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")
        return {key: value for key, value in self._in(self.home).items() if key not in named}


def _tell_when(run: Any, requested: float) -> None:
    """Say when the flow and what it consists of began and ended, in seconds after it was asked."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    with get_client(sync_client=True) as client:
        parts = client.read_task_runs(flow_run_filter=wanted)
        rows = sorted((part.start_time, part.end_time, part.name) for part in [run, *parts])
        began = rows[0][0]
        rows += sorted(
            (sub.start_time, sub.end_time, f"on a worker: {sub.name}")
            for sub in client.read_flow_runs()
            if sub.id != run.id and sub.start_time is not None and sub.start_time >= began
        )
    for begin, end, name in rows:
        span = f"{begin.timestamp() - requested:6.1f} to {end.timestamp() - requested:6.1f}"
        print(f"    {span}  {name}", file=sys.stderr)


def _clone(root: Path) -> None:
    """What is committed here, as a repository of its own."""
    root.mkdir()
    archive = subprocess.run(
        ["git", "archive", "HEAD"],
        cwd=_ROOT, env=clean_environment(), check=True, capture_output=True,
    ).stdout  # fmt: skip
    subprocess.run(["tar", "x"], cwd=root, input=archive, check=True)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "bench"]):
        subprocess.run(
            ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", *command],
            cwd=root, env=clean_environment(), check=True,
        )  # fmt: skip


def defaults(bench: Bench) -> list[str]:
    """All four models from nothing; then with all stages forced, when durations are known."""
    serial, stages = bench.dvc()
    flow = bench.flow()
    _STAGES.update(stages)
    lines = [_compared("the four default models, from nothing", serial, flow, stages, None)]
    serial, stages = bench.dvc("--force")
    flow = bench.flow(force=_VERBS)
    what = "the four default models, all of their stages forced"
    return [*lines, _compared(what, serial, flow, stages, 0.8)]


def long(bench: Bench) -> list[str]:
    """Two models that train for about three minutes each, their stages forced."""
    forced = [f"{verb}@{name}" for name in _LONG_MODELS for verb in ("train", "evaluate", "gate")]
    params = bench.serial / "params.yaml"
    before = params.read_text(encoding="utf-8")
    from genmint.common.project import Project
    from genmint.flow.checkout import override

    override(Project(bench.serial), _LONG)
    try:
        bench.dvc(*(f"reference@{name}" for name in ("digits",)))
        serial, stages = bench.dvc("--single-item", "--force", *forced)
    finally:
        params.write_text(before, encoding="utf-8")
    # The data is there on both sides.
    bench.flow(models=_LONG_MODELS)
    flow = bench.flow(models=_LONG_MODELS, overrides=_LONG, force=["train", "evaluate", "gate"])
    return [_compared("two models, nearly all of it training", serial, flow, stages, 0.65)]


def one(bench: Bench) -> list[str]:
    """What the flow adds where nothing can be done side by side: one model, all stages forced."""
    name, dataset = "image-vae", "digits"
    forced = [f"{verb}@{dataset}" for verb in _VERBS[:4]] + [
        f"{verb}@{name}" for verb in _VERBS[4:]
    ]
    serial, _ = bench.dvc("--single-item", "--force", *forced)
    flow = bench.flow(models=[name], force=_VERBS)
    return [
        f"| one model, all of its stages forced | {serial:.1f} | {flow:.1f} | "
        f"{flow - serial:+.1f} s | at most +25 s | |"
    ]


def same(bench: Bench) -> list[str]:
    """Nothing changed since the flow before."""
    serial, _ = bench.dvc()
    bench.flow()
    flow = bench.flow()
    return [f"| nothing changed | {serial:.1f} | {flow:.1f} | {flow:.1f} s | at most 60 s | |"]


def starts(bench: Bench) -> list[str]:
    """What each stage costs before it begins, and its share of the stage."""
    dvc = _best_of(["-m", "dvc", "repro"], bench)
    lines = [
        "", "## Start-up time of the stages", "",
        "For each stage of a serial `dvc repro` from nothing: the time to start Python and load "
        "the imports of the stage, the best of three, and its share of the stage (of the quickest "
        f"stage of its kind). DVC itself takes {dvc:.1f} s if nothing changed.", "",
        "| stage | start-up, s | stage, s | share |", "|---|---:|---:|---:|",
    ]  # fmt: skip
    if not _STAGES:
        _STAGES.update(bench.dvc("--force")[1])
    for verb in _VERBS:
        load = ["-c", f"import genmint.cli, genmint.config, genmint.stages.{verb}"]
        start = _best_of(load, bench)
        took = min(seconds for stage, seconds in _STAGES.items() if stage.startswith(f"{verb}@"))
        lines.append(f"| {verb} | {start:.1f} | {took:.1f} | {start / took:.0%} |")
    return lines


_STAGES: dict[str, float] = {}


def _best_of(arguments: list[str], bench: Bench, times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        subprocess.run([sys.executable, *arguments], cwd=bench.serial, env=bench._in(bench.serial),
                       check=True, capture_output=True)  # fmt: skip
        seconds.append(time.monotonic() - began)
    return min(seconds)


def _compared(
    what: str, serial: float, flow: float, stages: dict[str, float], bound: float | None
) -> str:
    training = sum(seconds for stage, seconds in stages.items() if stage.startswith("train@"))
    print(json.dumps({stage: round(seconds, 1) for stage, seconds in stages.items()}),
          file=sys.stderr)  # fmt: skip
    return (
        f"| {what} | {serial:.1f} | {flow:.1f} | {flow / serial:.2f} | "
        f"{'' if bound is None else f'at most {bound}'} | "
        f"{training / serial:.0%} |"
    )


CASES = {"defaults": defaults, "same": same, "one": one, "long": long, "starts": starts}


def main() -> None:
    """Measure, print, and write the page if all was measured."""
    wanted = sys.argv[1:] or list(CASES)
    with tempfile.TemporaryDirectory(prefix="genmint-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            rows = {}
            for name in wanted:
                rows[name] = CASES[name](bench)
                print("\n".join(rows[name]), flush=True)
        finally:
            bench.end()
    earlier, tail = _earlier_rows()
    tail = rows.pop("starts", tail)
    earlier |= {line.split(" | ")[0]: line for lines in rows.values() for line in lines}
    page = [
        "# The flow compared with `dvc repro`", "",
        f"{datetime.datetime.now(datetime.UTC).date()}, {processor()}, "
        f"{len(os.sched_getaffinity(0))} cores, {_WORKERS} workers; one thread a stage on both "
        "sides. A flow's time is from asking for it until Prefect says that it is done: start of "
        "its process, checkout, stages, publication, promotion. `dvc repro` does not promote.", "",
        "| | `dvc repro`, s | flow, s | flow against it | wanted | training in the serial time |",
        "|---|---:|---:|---:|---|---:|",
        *earlier.values(), *tail, "",
    ]  # fmt: skip
    write_text(_PAGE, "\n".join(page))


def _earlier_rows() -> tuple[dict[str, str], list[str]]:
    """Rows of the page by their first cells, and what follows the table: of cases not run now."""
    if not _PAGE.exists():
        return {}, []
    table, heading, rest = _PAGE.read_text(encoding="utf-8").partition("\n## ")
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    tail = ["", *(heading + rest).strip().splitlines()] if heading else []
    return {row.split(" | ")[0]: row for row in rows}, tail


if __name__ == "__main__":
    main()
