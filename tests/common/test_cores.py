"""How many cores are used: affinity masks, quotas of containers, and what a user writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genmint.common import cores
from genmint.common.errors import ConfigError
from genmint.tracking.provenance import environment_tags

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of 12 cores without a quota, whose cgroups are files."""
    for name in ("OMP_NUM_THREADS", "GENMINT_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(12)))
    monkeypatch.setattr(cores, "ROOT", tmp_path)
    return tmp_path


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V2 = {"proc/self/cgroup": "0::/work/job\n"}
V1 = {"proc/self/cgroup": "5:cpuset:/\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n0::/\n"}
PERIOD = {"sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n"}
V1_QUOTA = "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 12),
        (V2, 12),
        (V2 | {"sys/fs/cgroup/work/job/cpu.max": "max 100000\n"}, 12),
        (V2 | {"sys/fs/cgroup/work/job/cpu.max": "200000 100000\n"}, 2),
        (V2 | {"sys/fs/cgroup/work/job/cpu.max": "150000 100000\n"}, 2),
        (V2 | {"sys/fs/cgroup/work/job/cpu.max": "10000 100000\n"}, 1),
        (V2 | {"sys/fs/cgroup/work/job/cpu.max": "3200000 100000\n"}, 12),
        # The limit of an outer group holds for all in it.
        (
            V2 | {"sys/fs/cgroup/work/job/cpu.max": "max 100000\n",
                  "sys/fs/cgroup/work/cpu.max": "300000 100000\n"}, 3,
        ),
        # As seen from inside of a container: its own group is the top.
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/../job\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/of/host\n", "sys/fs/cgroup/cpu.max": "500000 100000\n"}, 5),
        # Version 2 beside version 1.
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/unified/a/cpu.max": "600000 100000\n"}, 6),
        (V1 | PERIOD | {V1_QUOTA: "-1\n"}, 12),
        (V1 | PERIOD | {V1_QUOTA: "250000\n"}, 3),
        (
            V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "700000\n",
                  "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 7,
        ),
    ],
)  # fmt: skip
def test_cores_follow_the_quota_of_the_container(machine, files, expected):
    write(machine, files)
    assert cores.cores() == expected


def test_the_affinity_mask_counts_where_it_is_less(machine, monkeypatch):
    write(machine, V2 | {"sys/fs/cgroup/work/job/cpu.max": "600000 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 7})
    assert cores.cores() == 2


@pytest.mark.parametrize(
    ("text", "expected"), [("4", 4), ("4,2", 4), (" 3 , 2", 3), ("", None), ("  ", None)]
)
def test_threads_that_are_asked_for(monkeypatch, text, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert cores.threads_setting() == expected
    if expected:
        assert environment_tags()["env.threads"] == str(expected)


@pytest.mark.parametrize("text", ["0", "-1", "all", "4,", "4;2", "1.5", "4,x", "²"])
def test_nonsense_is_refused_by_name(monkeypatch, text):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    with pytest.raises(ConfigError, match=f"^OMP_NUM_THREADS={text}: give the number of threads"):
        cores.threads_setting()


def test_libraries_are_limited_by_a_quota_alone(machine, monkeypatch):
    cores.limit_libraries()
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    cores.limit_libraries()
    assert "OMP_NUM_THREADS" not in os.environ
    write(machine, V2 | {"sys/fs/cgroup/work/job/cpu.max": "600000 100000\n"})
    monkeypatch.setenv("GENMINT_WORKERS", "2")
    cores.limit_libraries()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "9,2")
    cores.limit_libraries()
    assert os.environ["OMP_NUM_THREADS"] == "9,2"


def verb(*arguments, **env):
    command = [sys.executable, "-m", "genmint", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True
    )


def test_a_command_says_in_one_line_what_is_wrong_with_the_variable():
    done = verb("gate", "image-vae", OMP_NUM_THREADS="many")
    line = "genmint gate: OMP_NUM_THREADS=many: give the number of threads, 1 or more, or unset it"
    assert (done.returncode, done.stderr.strip()) == (2, line)
    assert "libgomp" not in verb("doctor", OMP_NUM_THREADS="").stderr
