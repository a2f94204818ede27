"""Checks of the registry and of Prefect's server.

Each check returns ok, ! or failed, and a line that says what was found.
"""

from __future__ import annotations

import os

from genmint.common.layout import ARTIFACTS
from genmint.common.project import Project

_ANSWER_SECONDS = 5.0


def check_registry(project: Project) -> tuple[str, str]:
    """Ask the registry for an answer."""
    from genmint import tracking

    if tracking.is_embedded() and not tracking.database(project).exists():
        return (
            "ok",
            f"{tracking.database(project)}: not created yet; the first training run creates it",
        )
    tracking.connect(project)
    return "ok", f"{tracking.uri(project)} answers"


def check_artefacts(project: Project) -> tuple[str, str]:
    """Compare the artefact locations in the embedded store with the actual one; read-only."""
    from genmint import tracking
    from genmint.tracking.relocation import elsewhere

    database, artefacts = tracking.database(project), project.home / ARTIFACTS
    if not tracking.is_embedded() or not database.exists():
        return "ok", "the embedded store is not used"
    locations = elsewhere(database, artefacts)
    if not locations:
        return "ok", f"{artefacts}"
    places = "; ".join(
        f"{each.count} in {each.root}" + ("" if each.root.is_dir() else " (not there)")
        for each in locations
    )
    return "!", (
        f"the registry expects artefacts of another checkout: {places}. This checkout was moved or "
        f"copied: the next command that uses the registry takes those that are in {artefacts}; "
        "copy what is missing there"
    )


def check_prefect(_: Project) -> tuple[str, str]:
    """Contact the Prefect server of the flows, since Prefect's commands fail with tracebacks."""
    import httpx
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_CLIENT_MAX_RETRIES,
        get_current_settings,
        temporary_settings,
    )

    address = os.environ.get("PREFECT_API_URL") or get_current_settings().api.url
    if not address:
        return "ok", "PREFECT_API_URL not set: only flows need a server (`make services`)"
    way_out = (
        "Start it (`make services`), or correct PREFECT_API_URL (environment, prefect.toml, or "
        "Prefect's profile)"
    )
    # Prefect's own client uses the same login, certificates and proxies as flows.
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        SyncPrefectClient(
            address,
            auth_string=PREFECT_API_AUTH_STRING.value(),
            httpx_settings={"timeout": _ANSWER_SECONDS},
        ) as client,
    ):
        try:
            client.api_version()
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 401:
                return "failed", (
                    f"{address}: Prefect's server does not accept this login. Set GENMINT_LOGIN, "
                    "or PREFECT_API_AUTH_STRING"
                )
            status = error.response.status_code
            return "failed", f"{address}: is not a Prefect API (HTTP {status}). {way_out}"
        except ValueError:
            return "failed", f"{address}: is not a Prefect API (its answer is not JSON). {way_out}"
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                way_out = "Set PREFECT_API_SSL_CERT_FILE to the certificate of its authority (PEM)"
            return "failed", f"{address}: Prefect's server does not answer ({reason}). {way_out}"
    return "ok", f"{address} answers"
