"""Mutated inputs over all parsers; a finding names seed and number, which make it again."""

# ruff: noqa: S311 - seeded on purpose

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.fuzz.mutator import mutated

ROOT = Path(__file__).parents[2]
# Of wall time without a line of the report: the machine may be busy with other things.
_SILENCE = 120.0


def feed(folder, seed, count, first=0):
    """Feed inputs first…first+count−1 to all targets; the findings, and how many were refused.

    A process that an input ends or hangs is started anew behind that input.
    """
    report = folder / "report.jsonl"
    at, findings = first, []
    while at < first + count:
        command = [sys.executable, "-m", "tests.fuzz.worker", *map(str, (seed, at, first + count))]
        with (folder / "stderr").open("w") as errors:
            process = subprocess.Popen(
                [*command, str(report)],
                cwd=ROOT, stdout=errors, stderr=errors,
                env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            )  # fmt: skip
            ended = _watch(process, report)
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        if lines and "end" in lines[-1]:
            break
        begun = [line for line in lines if "input" in line]
        assert begun, (folder / "stderr").read_text()
        assert begun[-1]["input"] >= at, (folder / "stderr").read_text()
        findings.append({**begun[-1], "finding": f"{ended}: {(folder / 'stderr').read_text()}"})
        at = begun[-1]["input"] + 1
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    findings += [line for line in lines if "finding" in line]
    return findings, [line for line in lines if "done" in line]


def _watch(process, report):
    size, since = -1, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        now = report.stat().st_size if report.exists() else 0
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > _SILENCE:
            process.kill()
            process.wait()
            return f"hung for {_SILENCE} s"
    return f"ended with {process.returncode}"


def shown(findings, seed):
    return "\n\n".join(
        f"{one['target']}, seed {seed}, input {one.get('done', one.get('input'))}: {one['finding']}"
        for one in findings[:20]
    )


def test_mutations_are_the_same_for_the_same_seed():
    data = b'{"a": [1, 2.5, {"b": "text"}]}'
    made = [mutated(random.Random(f"1/{n}"), data, [data, b"- a\n"]) for n in range(200)]
    assert made == [mutated(random.Random(f"1/{n}"), data, [data, b"- a\n"]) for n in range(200)]
    assert len(set(made)) > 120


def test_three_hundred_mutated_inputs_end_in_an_answer_or_in_our_own_error(tmp_path):
    findings, done = feed(tmp_path, 1, 300)
    assert len(done) == 300
    assert not findings, shown(findings, 1)
    refused = Counter(line["target"] for line in done if "refused" in line)
    # Mutations reach the parsers, and not all of them are nonsense.
    assert len(refused) > 15
    assert sum(refused.values()) < 270


@pytest.mark.soak
def test_a_hundred_thousand_mutated_inputs(tmp_path):
    seed = int(os.environ.get("GENMINT_FUZZ_SEED", "2"))
    findings, done = feed(tmp_path, seed, 100_000)
    assert len(done) == 100_000 - sum("input" in one for one in findings)
    assert not findings, shown(findings, seed)
