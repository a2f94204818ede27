"""`python -m genmint`: what the stages of dvc.yaml call."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run the command line; the exit code is 0, 1, 2 or 130 (see `genmint --help`)."""
    # Ctrl-C while modules are imported ends the process without a traceback.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from genmint.common.fast_defaults import set_fast_defaults
    from genmint.common.process_parent import leave_process_one
    from genmint.common.telemetry import switch_off

    # Before any of the tools is imported.
    switch_off(os.environ)
    set_fast_defaults(os.environ)
    leave_process_one()
    from genmint.cli import run

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
