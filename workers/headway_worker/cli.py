"""The commands `worker` and `flower`. Light to import: Celery and the rest come when it runs."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command("worker")(worker)
    app.command("flower")(flower)


def worker(
    team: Annotated[
        str | None, typer.Option(help="The team; checked against the token's own.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="A resource class to consume; may be repeated."),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="How many steps run at the same time.")
    ] = None,
    code: Annotated[
        Path | None, typer.Option(help="Where code lies, for pipelines that do not say.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Where spool, journal and identity live.")
    ] = None,
    drain_timeout: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds that running steps may go on after a request to end."),
    ] = None,
) -> None:
    """Run steps of a team."""
    from headway_worker.command import start

    given = {
        "team": team,
        "classes": tuple(classes) if classes else None,
        "slots": slots,
        "code": code,
        "state_dir": state_dir,
        "drain_timeout": None if drain_timeout is None else timedelta(seconds=drain_timeout),
    }
    raise typer.Exit(start({name: value for name, value in given.items() if value is not None}))


def flower(
    listen: Annotated[
        str | None, typer.Option(help="Address and port; 127.0.0.1:5555 otherwise.")
    ] = None,
) -> None:
    """Run Flower: Celery's workers and queues, read-only."""
    from headway_worker.flower import replace_with_flower

    replace_with_flower({} if listen is None else {"flower_listen": listen}, os.environ)
