"""Loopback addresses, and bypassing proxies for them."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from urllib.parse import urlsplit

_NAMES = ("localhost", "127.0.0.1", "::1")
# Variables with the server addresses for clients of MLflow and Prefect.
_ADDRESSES = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on `host`."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def reachable(host: str) -> str:
    """Return the host of a URL at which a client on this machine reaches a server.

    Args:
        host: address that the server listens on.
    """
    if host in ("0.0.0.0", "::"):  # noqa: S104 - what the user asked for
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def bypass_proxies(environment: MutableMapping[str, str]) -> None:
    """Exclude loopback addresses from the proxies of the environment, if any are set.

    Loopback is added to `NO_PROXY` in both spellings, of which clients prefer the lower-case one.
    Without a proxy nothing is set, since that would hide the system's proxies from some clients.

    Args:
        environment: environment of this process, or of one to start.
    """
    if not any(name.lower().endswith("_proxy") for name in environment if environment[name]):
        return
    setting = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    known = [each.strip() for each in setting.split(",") if each.strip()]
    if "*" in known:
        return
    hosts = (urlsplit(environment.get(name, "")).hostname or "" for name in _ADDRESSES)
    wanted = (*_NAMES, *(host for host in hosts if is_loopback(host)))
    value = ",".join(dict.fromkeys((*known, *wanted)))
    environment["no_proxy"] = environment["NO_PROXY"] = value
