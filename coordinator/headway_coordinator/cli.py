"""The coordinator's commands: `coordinator`, `up`, `db` and `bench`. Heavy imports stay inside."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.errors import DefinitionError

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RoleOption = Annotated[str, typer.Option(help="viewer, operator, author, admin or worker.")]


def register(app: typer.Typer) -> None:
    """Add the coordinator's commands to the application."""
    app.command("coordinator", help="Run a coordinator.")(coordinator)
    app.command("up", help="Run the whole of Headway on this machine.")(up)
    app.command("bench", help="Measure this installation beside Celery canvas.")(bench)
    db = typer.Typer(help="Bring the database to this version.", no_args_is_help=True)
    db.command("upgrade", help="Create or migrate the tables.")(db_upgrade)
    db.command("token", help="Make a token straight in the database, such as the first one.")(
        db_token
    )
    app.add_typer(db, name="db")


def coordinator(
    only: Annotated[
        str | None, typer.Option(help="Run one of its processes alone: engine or api.")
    ] = None,
) -> int:
    """Run a coordinator: an engine that leads or waits to lead, and an API.

    Both are kept running; a dead one is started again. Settings come from HEADWAY_… variables.
    """
    from headway_coordinator import processes
    from headway_coordinator.settings import load_settings

    settings = load_settings()
    if only is None:
        return processes.run_coordinator(settings)
    match only:
        case "engine":
            return processes.run_engine(settings)
        case "api":
            return processes.run_api(settings)
        case _:
            raise DefinitionError(f"--only takes engine or api, not `{only}`", code="wrong_use")


def up(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Definitions to apply; the first one is run.")
    ] = None,
    once: Annotated[bool, typer.Option(help="End after the run, with its exit status.")] = False,
    slots: Annotated[int, typer.Option(min=1, max=256, help="Slots of each worker.")] = 4,
    listen: Annotated[
        str | None, typer.Option(help="Address of the API; default 127.0.0.1:8470.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept; default .headway.")
    ] = None,
) -> int:
    """Run the whole of Headway on this machine: database, broker, coordinator and two workers.

    With definitions, applies them and runs the first one; stays up until Ctrl-C, or with --once
    until that run has ended.
    """
    from headway_coordinator.raising import raise_stack

    return raise_stack(
        files or [],
        once=once,
        slots=slots,
        listen=listen or os.environ.get("HEADWAY_LISTEN") or "127.0.0.1:8470",
        state=state_dir or Path(os.environ.get("HEADWAY_STATE_DIR") or ".headway"),
    )


def db_upgrade(json: JsonOption = False) -> int:
    """Create the tables or bring them to this version; safe to repeat."""
    from headway_coordinator.storage.migrating import current_revision, upgrade

    url = _database_url()
    before = current_revision(url)
    upgrade(url)
    after = current_revision(url)
    if json:
        _print({"before": before, "after": after, "changed": before != after})
    elif before == after:
        print(f"the database is at revision {after} already")
    else:
        print(f"the database is now at revision {after}")
    return 0


def db_token(
    subject: Annotated[str, typer.Argument(help="Whose token it is; recorded with every action.")],
    role: RoleOption = "admin",
    team: Annotated[str | None, typer.Option(help="The team; none: the whole platform.")] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keep it in this file and print nothing of it; safe to repeat."
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Make a token straight in the database: the first one, or when all others are lost."""
    from headway_coordinator.raising import make_token
    from headway_coordinator.storage.opening import open_storage
    from headway_coordinator.token_file import save_token

    storage = open_storage(_database_url(), application_name="headway:db")
    said: dict[str, Any] = {"subject": subject, "role": role, "team": team}
    try:
        if save is None:
            said["token"] = make_token(storage, subject=subject, role=role, team=team)
        else:
            made = save_token(storage, save, subject=subject, role=role, team=team)
            said |= {"file": str(save), "created": made}
    finally:
        storage.close()
    if json:
        _print(said)
    elif save is None:
        print(said["token"])
        print("keep it: it is not shown again", file=sys.stderr)
    else:
        print(f"a new token is in {save}" if said["created"] else f"the token in {save} is kept")
    return 0


def bench(
    json: JsonOption = False,
    broker: Annotated[str, typer.Option(help="redis or rabbitmq.")] = "redis",
    against: Annotated[
        str, typer.Option(help="celery, or none to measure Headway alone.")
    ] = "celery",
    cases: Annotated[
        list[str] | None,
        typer.Option(help="Cases, such as W4,W5; all otherwise; may be repeated."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds, in turn.")] = 5,
    quick: Annotated[bool, typer.Option(help="Smaller cases, to see that it works.")] = False,
    idle: Annotated[
        bool, typer.Option(help="Measure what Headway takes while nothing happens, instead.")
    ] = False,
    database_url: Annotated[
        str | None, typer.Option(help="An empty database; otherwise a private PostgreSQL.")
    ] = None,
    broker_url: Annotated[
        str | None, typer.Option(help="A broker of its own; otherwise a private one.")
    ] = None,
    results_url: Annotated[
        str | None, typer.Option(help="With --broker rabbitmq: the Redis for Celery's results.")
    ] = None,
) -> int:
    """Measure Headway and Celery canvas side by side on private servers, and print the ratios."""
    from headway_coordinator.bench.command import Wanted, chosen_cases, run_bench

    if against not in ("celery", "none"):
        raise DefinitionError(f"--against takes celery or none, not `{against}`", code="wrong_use")
    wanted = Wanted(
        cases=chosen_cases(cases or ()),
        rounds=1 if quick else rounds,
        quick=quick,
        idle=idle,
        against_celery=against == "celery",
        broker=broker,
        database_url=database_url,
        broker_url=broker_url,
        results_url=results_url,
    )
    return run_bench(wanted, as_json=json)


def _database_url() -> str:
    url = os.environ.get("HEADWAY_DATABASE_URL")
    if not url:
        raise DefinitionError(
            "HEADWAY_DATABASE_URL is not set",
            code="invalid_settings",
            hint="for example postgresql://headway@localhost/headway or sqlite:///headway.db",
        )
    return url


def _print(document: dict[str, Any]) -> None:
    from headway.cli.printing import print_document

    print_document(document)
