"""Settings that OpenMP and torch read from the environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genmint.common.fast_defaults import set_fast_defaults

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
# Prints the kilobytes in pages of 2 MB after a tensor of 64 MB.
ALLOCATE = """
import torch
tensor = torch.ones(2**26, dtype=torch.uint8)
lines = open("/proc/self/smaps").read().splitlines()
print(sum(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages:")))
"""


def test_what_the_user_gives_stays():
    environment = {"GOMP_SPINCOUNT": "0"}
    set_fast_defaults(environment)
    assert environment["GOMP_SPINCOUNT"] == "0"
    assert len(environment) == 2


@pytest.mark.skipif(
    not HUGE_PAGES.is_file() or "[madvise]" not in HUGE_PAGES.read_text(),
    reason="this Linux gives large pages to all programs or to none",
)
def test_large_tensors_get_large_pages():
    def kilobytes(environment):
        command = [sys.executable, "-c", ALLOCATE]
        return int(subprocess.check_output(command, env=environment, text=True))

    plain = {key: value for key, value in os.environ.items() if not key.startswith("THP_")}
    fast = dict(plain)
    set_fast_defaults(fast)
    assert kilobytes(plain) < 10_000
    assert kilobytes(fast) > 50_000
