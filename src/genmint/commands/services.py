"""`genmint services`: servers and workers of this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from genmint.commands.entries import Insecure


def services(
    host: Annotated[
        str, typer.Option("--host", help="127.0.0.1 is reached from this machine only.")
    ] = "127.0.0.1",
    insecure: Insecure = False,
    mlflow_port: Annotated[int, typer.Option("--mlflow-port")] = 5000,
    prefect_port: Annotated[int, typer.Option("--prefect-port")] = 4200,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            help="postgresql://… or sqlite, for both servers.",
            show_default="the variable STORE, else MLflow on mlflow.db and Prefect on a "
            "PostgreSQL of its own",
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            "--artifacts",
            metavar="URL",
            help="Where MLflow keeps files, such as s3://bucket/mlflow.",
            show_default="the variable ARTIFACTS, else mlartifacts/ here",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="N", help="CPU workers; 0: other machines train."),
    ] = 1,
    alert: Annotated[
        list[str] | None,
        typer.Option(
            "--alert",
            metavar="URL",
            help="Webhook or Apprise URL that receives alerts; may be repeated.",
            show_default="the variable ALERTS, separated by blanks",
        ),
    ] = None,
    refusals: Annotated[
        int,
        typer.Option(
            "--refusals",
            metavar="N",
            help="Consecutive failed gates of a model that trigger an alert.",
        ),
    ] = 3,
    name: Annotated[
        str, typer.Option("--name", help="Of this machine.", show_default="its host name")
    ] = "",
    workers_only: Annotated[
        bool, typer.Option("--workers-only", help="The servers run on another machine.")
    ] = False,
) -> int:
    """Run MLflow's and Prefect's servers and this machine's workers until Ctrl-C.

    MLflow serves the store that `dvc repro` uses. One worker runs flows; one per visible GPU, or
    so many CPU workers, train. A process that ends is started again; a flow run that lost its
    process is marked Crashed and continues from its checkpoint. See docs/services.md.

    GENMINT_LOGIN=user:password asks for a login everywhere; an address that other machines reach
    needs it.

    \b
      genmint services
      STORE=postgresql://user:password@host/genmint GENMINT_LOGIN=… \\
        genmint services --host 0.0.0.0
      PREFECT_API_URL=… MLFLOW_TRACKING_URI=… genmint services --workers-only
    """
    from genmint.common.project import Project
    from genmint.services.config import Services
    from genmint.services.supervisor import serve

    # A machine with workers only takes neither from its environment: the servers are elsewhere.
    shared = {} if workers_only else os.environ
    return serve(
        Services(
            Project.find(),
            host=host,
            mlflow_port=mlflow_port,
            prefect_port=prefect_port,
            store=store or shared.get("STORE") or None,
            artifacts=artifacts or shared.get("ARTIFACTS") or None,
            workers=workers,
            name=name,
            alerts=tuple(alert or shared.get("ALERTS", "").split()),
            refusals=refusals,
            servers=not workers_only,
            insecure=insecure,
        )
    )
