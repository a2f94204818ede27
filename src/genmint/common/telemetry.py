"""Telemetry of the tools that genmint uses: off unless the user switches it on."""

from __future__ import annotations

from collections.abc import MutableMapping

_OFF = {
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def switch_off(environment: MutableMapping[str, str]) -> None:
    """Set the variables that switch telemetry off, unless they are set already.

    The tools read them when they are imported, or when their processes start.
    """
    for name, value in _OFF.items():
        environment.setdefault(name, value)
