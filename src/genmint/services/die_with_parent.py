"""`python -m genmint.services.die_with_parent [--parent PID] [--user NAME] PROGRAM ARGUMENTS`.

Replace this process by PROGRAM, which the kernel kills when its parent dies (Linux). On other
systems only the `cleanup_watchdog` does so. Every server, worker and flow run is started this way
(see `processes` and `pools`). As process 1 of a container, it starts PROGRAM as a child and reaps
orphaned processes.

PID is the parent's process id, given by the parent itself. Without it, the death of the parent
before this process has started is not noticed here; `watch` notices it for flow runs.
"""

from __future__ import annotations

import os
import sys

from genmint.common.process_parent import die_with_parent, leave_process_one
from genmint.services import run_notes

# Prefect's default of 180 s exceeds the silence after which `alerts` marks a run Crashed. Manually
# started workers need the shorter interval too.
_HEARTBEAT, _HEARTBEAT_SECONDS = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30"


def main() -> None:
    """Set the death signal, then replace this process by PROGRAM, which keeps its pid."""
    leave_process_one()
    words = sys.argv[1:]
    parent = os.getppid()
    if words[0] == "--parent":
        parent, words = int(words[1]), words[2:]
    if words[0] == "--user":
        _become(words[1])
        words = words[2:]
    # After the change of user, which would cancel the setting.
    die_with_parent(parent)
    os.environ.setdefault(_HEARTBEAT, _HEARTBEAT_SECONDS)
    run_notes.note(os.environ)
    os.execvp(words[0], words)  # noqa: S606 - a list, no shell


def _become(name: str) -> None:
    import pwd

    entry = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main()
