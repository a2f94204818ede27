"""`python -m genmint`: what the stages of dvc.yaml call."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line; the exit code is 0, 1, 2 or 130 (see `genmint --help`)."""
    # Nothing calls home unless its user says so; set before any of the tools is imported.
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # Threads that spin while they wait ruin each other where processes share cores (a step was
    # measured 20 times slower beside another training), and threads that sleep at once double the
    # time of a step on an idle machine. 30,000 turns cost the idle machine nothing and mend most of
    # the other.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    from genmint.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
