"""`headway runs clear|mark|pause|resume`: what people do about a run that went wrong."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from headway.cli.arguments import (
    JsonOption,
    ReasonOption,
    RunArgument,
    YesOption,
    demand_consent,
    parameters,
)
from headway.cli.connection import connect, run_id
from headway.cli.printing import clean, print_document, rows_of
from headway.errors import DefinitionError

STATES = ("succeeded", "failed", "skipped")

StepsArgument = Annotated[list[str], typer.Argument(metavar="STEP...", help="The steps.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Stop what runs of them first, instead of refusing.")
]


def register(group: typer.Typer) -> None:
    group.command("clear", help="Do steps of a run again, and what follows them.")(clear)
    group.command("mark", help="Give steps a state by hand.")(mark)
    group.command("rerun", help="Start a run anew, with the same params or others.")(rerun)
    group.command("pause", help="Start nothing new of a run for now.")(pause)
    group.command("resume", help="Let a paused run go on.")(resume)


def clear(
    id: RunArgument,
    steps: StepsArgument,
    only: Annotated[
        bool,
        typer.Option("--only/--downstream", help="Not what follows them, if that has run."),
    ] = False,
    force: ForceOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which they are.")] = False,
    yes: YesOption = False,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Do steps of a run again. What would be cleared is shown first."""
    with connect() as client:
        id = run_id(client, id)
        wanted = {"steps": steps, "only": only, "force": force}
        preview = client.ask_run(id, "clear", {**wanted, "dry_run": True})
        if dry_run:
            if json:
                print_document(preview)
            else:
                _print_cleared(preview, sys.stdout)
            return 0
        if not yes:
            _print_cleared(preview, sys.stderr)
        demand_consent("Clear them?", given=yes)
        answer = client.ask_run(id, "clear", {**wanted, **_because(reason)})
    return _done(answer, "steps are cleared; see", as_json=json)


def _print_cleared(preview: Mapping[str, Any], file: Any) -> None:
    rows = rows_of(preview, "clear")
    print(f"{preview['id']}: {len(rows)} to clear", file=file)
    for row in rows:
        print(clean(f"  {row.get('step')} ({row.get('state')})"), file=file)


def mark(
    id: RunArgument,
    steps: Annotated[
        list[str],
        typer.Argument(metavar="STEP... STATE", help="The steps, then succeeded|failed|skipped."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", metavar="JSON", help="The outputs of the one step that succeeded."
        ),
    ] = None,
    force: ForceOption = False,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Give steps a state by hand; what follows goes on as if it had come about by itself."""
    *names, state = steps
    if state not in STATES or not names:
        message = "name the steps, then the state that they are to have"
        hint = f"headway runs mark ID STEP {'|'.join(STATES)}"
        raise DefinitionError(message, code="usage", hint=hint)
    body: dict[str, Any] = {"steps": names, "state": state, "force": force, **_because(reason)}
    if output is not None:
        body["outputs"] = _outputs(output)
    with connect() as client:
        answer = client.ask_run(run_id(client, id), "mark", body)
    return _done(answer, f"marked as {state}; see", as_json=json)


def _outputs(text: str) -> dict[str, Any]:
    try:
        value = json_text.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"--output is not JSON: {error}"
        raise DefinitionError(message, code="usage") from error
    if not isinstance(value, dict):
        message = "--output takes one JSON object, name to value"
        raise DefinitionError(message, code="usage")
    return value


def rerun(
    id: RunArgument,
    param: Annotated[
        list[str] | None,
        typer.Option("-p", "--param", metavar="KEY=VALUE", help="Another value, or @FILE.json."),
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="With the newest definition, not the run's own.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended.")] = False,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Start a new run with the params and the definition of another, and as much otherwise."""
    body = {"params": parameters(param or []), "latest": latest, **_because(reason)}
    with connect() as client:
        answer = client.ask_run(run_id(client, id), "rerun", body)
        if wait:
            from headway.cli.starting import wait_for_end

            return wait_for_end(client, answer, as_json=json)
    return _done(answer, f"does run {answer.get('rerun_of')} again; see", as_json=json)


def pause(id: RunArgument, reason: ReasonOption = None, json: JsonOption = False) -> int:
    """Start nothing new of a run for now. What runs goes on, and so does the run's own timeout."""
    with connect() as client:
        answer = client.ask_run(run_id(client, id), "pause", _because(reason))
    return _done(answer, "asked to pause; go on with headway runs resume; see", as_json=json)


def resume(id: RunArgument, reason: ReasonOption = None, json: JsonOption = False) -> int:
    """Let a paused run go on."""
    with connect() as client:
        answer = client.ask_run(run_id(client, id), "resume", _because(reason))
    return _done(answer, "asked to go on; see", as_json=json)


def _because(reason: str | None) -> dict[str, Any]:
    return {"reason": reason} if reason else {}


def _done(answer: Any, words: str, *, as_json: bool) -> int:
    if as_json:
        print_document(answer)
    else:
        print(f"{answer['id']}: {words} headway runs show {answer['id']}")
    return 0
