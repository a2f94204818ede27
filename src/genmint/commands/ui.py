"""`genmint ui`: MLflow's pages on the store of this checkout."""

from __future__ import annotations

from typing import Annotated

import typer

from genmint.commands.entries import Insecure


def ui(
    port: Annotated[int, typer.Option("--port")] = 5000,
    host: Annotated[
        str, typer.Option("--host", help="127.0.0.1 is reached from this machine only.")
    ] = "127.0.0.1",
    insecure: Insecure = False,
    show: Annotated[bool, typer.Option("--open", help="Open the runs in a browser.")] = False,
) -> int:
    """Serve MLflow's UI on the store of this checkout, until Ctrl-C; print the link to the runs."""
    from genmint.common.project import Project
    from genmint.tracking.ui import serve_ui

    return serve_ui(Project.find(), host, port, insecure=insecure, show=show)
