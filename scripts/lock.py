"""Turn `pip freeze` into constraints.txt: drop CUDA's packages and local version labels.

Exact pins of constraints.in that this interpreter did not need are added: an older one may.
"""

import sys
from pathlib import Path

# These differ from machine to machine (with and without a GPU) and follow from torch's own pins.
CUDA = ("nvidia-", "cuda-", "triton", "pytorch-triton")

sys.stdout.write(
    "# Every transitive dependency at the version that was tested together; CUDA's are left free.\n"
    "# Made by `make lock`; edit constraints.in instead.\n"
)
pins = {}
for line in [*Path("requirements/constraints.in").read_text().splitlines(), *sys.stdin]:
    name, separator, version = line.strip().partition("==")
    if separator and not name.lower().startswith(CUDA):
        pins[name.lower()] = f"{name}=={version.partition('+')[0]}\n"
sys.stdout.writelines(pins[name] for name in sorted(pins))
