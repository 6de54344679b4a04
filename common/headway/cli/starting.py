"""`headway run`: start a run, and with `--wait` stay until it has ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headway.cli.arguments import JsonOption, ParamsOption, parameters
from headway.cli.connection import connect
from headway.cli.definitions import Definitions, valid_definitions
from headway.cli.naming import names_a_team, team_and_name
from headway.cli.printing import print_document
from headway.cli.snapshot import Snapshot
from headway.cli.summary import print_summary
from headway.errors import DefinitionError

if TYPE_CHECKING:
    from headway.client import Client

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    app.command("run", help="Start a run of a pipeline or of a definition file.")(run)


def run(
    pipeline: Annotated[
        str,
        typer.Argument(
            metavar="PIPELINE|FILE", help="A pipeline, or TEAM/NAME, or a file to apply first."
        ),
    ],
    param: ParamsOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the run has ended.")] = False,
    team: Annotated[
        str | None, typer.Option("--team", help="The team, where several have such a pipeline.")
    ] = None,
    logical_date: Annotated[
        str | None, typer.Option("--logical-date", help="The time that the run stands for.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Idempotency key: the same key again names the same run."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Run a file in this process, without any server.")
    ] = False,
    code: Annotated[
        Path | None, typer.Option("--code", help="With --local: where code lies; else here.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="With --local: show what the steps write.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Start a run and print its id."""
    params = parameters(param or [])
    if local:
        wanted = _of_file(pipeline, team)
        from headway.cli.local import LocalRun, run_local

        here = code or Path.cwd()
        return run_local(LocalRun(wanted, params, logical_date, here, verbose, json))
    definitions = valid_definitions([Path(pipeline)]) if _is_file(pipeline) else None
    name, team = _target(pipeline, team, definitions)
    with connect() as client:
        if definitions is not None:
            client.apply(definitions.files)
        started = client.start_run(
            name, team=team, params=params, logical_date=logical_date, key=key
        )
        if not wait:
            return _started(client, started, as_json=json)
        return wait_for_end(client, started, as_json=json)


def _of_file(text: str, team: str | None) -> Definitions:
    """Return the definition of a file that is run here. Raises DefinitionError: it is none."""
    if not _is_file(text):
        hint = "name the file: headway run pipeline.yaml --local"
        raise DefinitionError(f"--local runs a file, and `{text}` is none", code="usage", hint=hint)
    definitions = valid_definitions([Path(text)])
    _target(text, team, definitions)
    return definitions


def _is_file(text: str) -> bool:
    """Tell a file from a pipeline's name, which has no dot, and a slash as TEAM/NAME alone."""
    if text == "-" or text.endswith((".yaml", ".yml", ".py")):
        return True
    return "/" in text and (not names_a_team(text) or Path(text).exists())


def _target(text: str, team: str | None, definitions: Definitions | None) -> tuple[str, str | None]:
    """Return the pipeline and team to run. Raises DefinitionError if the file leaves it open."""
    if definitions is None:
        team, name = team_and_name(text, team)
        return name, team
    if len(definitions.specs) != 1:
        message = f"{text} defines {len(definitions.specs)} pipelines; only one can be run"
        hint = "use `headway apply`, then `headway run PIPELINE`"
        raise DefinitionError(message, code="usage", hint=hint)
    spec = definitions.specs[0]
    if team not in (None, spec.team):
        message = f"{text} belongs to team {spec.team}, not {team}"
        raise DefinitionError(message, code="usage", hint="leave --team out")
    return spec.pipeline, spec.team


def _started(client: Client, started: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print_document(started)
        return 0
    print(started["id"])
    print(f"follow it: headway runs show {started['id']}", file=sys.stderr)
    print(f"see it: {client.address}/r/{started['id']}", file=sys.stderr)
    return 0


def wait_for_end(
    client: Client, started: dict[str, Any], *, as_json: bool, retries: int = 0
) -> int:
    """Show the run until it has ended, after so many retries; return the status that it means."""
    id = str(started["id"])
    try:
        from headway.cli.watching import watch

        last = watch(client, id, retries=retries)
    except KeyboardInterrupt:
        if as_json:
            print_document(started)
        else:
            print(id)
        print(f"interrupted; the run goes on: headway runs show {id}", file=sys.stderr)
        return INTERRUPTED
    if as_json:
        print_document({**started, "state": last.state, "steps": last.brief()})
    else:
        print_summary(last, client.address)
    return status_of(last)


def status_of(run: Snapshot) -> int:
    """Return the exit status that a run's state means."""
    return 0 if run.state == "succeeded" or not run.still else 1
