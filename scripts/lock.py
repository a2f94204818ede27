"""Turn `pip freeze` into constraints.txt: drop CUDA's packages and local version labels."""

import sys

# These differ from machine to machine (with and without a GPU) and follow from torch's own pins.
CUDA = ("nvidia-", "cuda-", "triton", "pytorch-triton")

sys.stdout.write(
    "# Every transitive dependency at the version that was tested together; CUDA's are left free.\n"
    "# Made by `make lock`; edit constraints.in instead.\n"
)
for line in sys.stdin:
    name, separator, version = line.strip().partition("==")
    if separator and not name.lower().startswith(CUDA):
        sys.stdout.write(f"{name}=={version.partition('+')[0]}\n")
