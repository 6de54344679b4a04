"""`headway runs bulk`: the same wish for every run that a filter finds, after a look at them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from headway.cli.arguments import JsonOption, ReasonOption, YesOption, demand_consent
from headway.cli.connection import connect
from headway.cli.naming import team_and_filter
from headway.cli.printing import clean, clock_time, print_document, print_table, rows_of, run_words
from headway.client.api import Client
from headway.clock import SystemClock, rfc3339
from headway.errors import DefinitionError

MOST_RUNS = 10_000
_SHOWN = 10
_AT_ONCE = 500
_PAGE = 500


class BulkAction(StrEnum):
    """What can be asked of many runs."""

    CANCEL = "cancel"
    CLEAR = "clear"
    MARK = "mark"
    PAUSE = "pause"
    RERUN = "rerun"
    RESUME = "resume"
    RETRY = "retry"


# The states of runs for which a wish makes sense, unless others are named.
_STATES = {
    BulkAction.CANCEL: "queued,running,paused,cancelling",
    BulkAction.CLEAR: "failed,timed_out",
    BulkAction.MARK: "failed,timed_out",
    BulkAction.PAUSE: "running",
    BulkAction.RERUN: "failed,timed_out",
    BulkAction.RESUME: "paused",
    BulkAction.RETRY: "failed,timed_out",
}

SinceOption = Annotated[
    str | None,
    typer.Option("--since", help="Only runs made since then: 2h ago, or 2026-01-31T06:00:00Z."),
]
UntilOption = Annotated[str | None, typer.Option("--until", help="Only runs made before then.")]


def bulk(
    action: Annotated[BulkAction, typer.Argument(help="What to ask of each.")],
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Runs of this pipeline, or TEAM/NAME.")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", help="Runs in these states, comma-separated; else those that fit."),
    ] = None,
    team: Annotated[str | None, typer.Option("--team", help="Runs of this team.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    every: Annotated[bool, typer.Option("--all", help="With no filter: of all runs.")] = False,
    step: Annotated[
        list[str] | None, typer.Option("--step", help="clear, mark: the step; may be repeated.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="mark: succeeded, failed or skipped.")
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="clear: not what follows.")] = False,
    latest: Annotated[
        bool, typer.Option("--latest", help="rerun: with the newest definition.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="cancel: kill at once; clear, mark: stop what runs.")
    ] = False,
    grace: Annotated[
        str | None, typer.Option("--grace", help="cancel: how long what runs has to end.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which they are.")] = False,
    yes: YesOption = False,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Ask the same of every run that the filter finds. They are shown and counted first.

    Just those are asked that were counted: what comes to fit the filter later is left alone.
    """
    if not every and not (pipeline or state or team or since or until):
        message = "this would be for every run there is"
        hint = "name --pipeline, --team, --state, --since or --until; or say --all"
        raise DefinitionError(message, code="usage", hint=hint)
    body = _body(action, step, to, only=only, latest=latest, force=force, grace=grace)
    body |= {"reason": reason} if reason else {}
    team, pipeline = team_and_filter(pipeline, team)
    query = {
        "pipeline": pipeline,
        "team": team,
        "state": state or _STATES[action],
        "since": moment("--since", since),
        "until": moment("--until", until),
    }
    with connect() as client:
        runs = _found(client, query)
        ids = [str(row["id"]) for row in runs]
        preview = {"action": action.value, "count": len(ids), "runs": ids}
        if dry_run and json:
            print_document(preview)
            return 0
        if dry_run or not (yes and json):
            _print_preview(action, runs, sys.stdout if dry_run else sys.stderr)
        if dry_run:
            return 0
        if runs:
            demand_consent(f"Ask {len(runs)} to {_words(action)}?", given=yes)
        answer = _ask(client, action, ids, body)
    return _told(answer, as_json=json)


def moment(option: str, text: str | None) -> str | None:
    """Return a point in time as the API takes it: a duration is that long ago.

    Raises DefinitionError (code `usage`) for what is neither.
    """
    from headway.expressions.durations import parse_duration

    if text is None:
        return None
    try:
        return rfc3339(SystemClock().now() - parse_duration(text.removesuffix(" ago")))
    except (ValueError, OverflowError):
        pass
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{option}: `{text}` is neither a duration nor a time"
        hint = "such as 2h (that long ago), or 2026-01-31T06:00:00Z"
        raise DefinitionError(message, code="usage", hint=hint) from error
    if given.tzinfo is None:
        message = f"{option}: `{text}` has no time zone"
        raise DefinitionError(message, code="usage", hint="end it with Z for UTC")
    return given.isoformat()


def grace_seconds(text: str) -> float:
    """Return `--grace` in seconds. Raises DefinitionError (code `usage`)."""
    from headway.expressions.durations import parse_duration

    try:
        found = timedelta() if text in ("0", "0s") else parse_duration(text)
    except ValueError as error:
        raise DefinitionError(f"--grace: {error}", code="usage") from error
    if found > timedelta(hours=1):
        raise DefinitionError("--grace is at most an hour", code="usage")
    return found.total_seconds()


def _body(
    action: BulkAction,
    steps: Sequence[str] | None,
    to: str | None,
    *,
    only: bool,
    latest: bool,
    force: bool,
    grace: str | None,
) -> dict[str, Any]:
    """Return what the wish takes besides; the coordinator says what does not fit the action."""
    body: dict[str, Any] = {"steps": list(steps)} if steps else {}
    if to is not None:
        if to not in ("succeeded", "failed", "skipped"):
            message = f"--to: `{to}` is no state that a step can be given"
            raise DefinitionError(message, code="usage", hint="succeeded, failed or skipped")
        body["state"] = to
    if grace is not None:
        body["grace"] = grace_seconds(grace)
    flags = {"only": only, "latest": latest, "force": force}
    needed = {BulkAction.CLEAR: ["steps"], BulkAction.MARK: ["steps", "state"]}.get(action, [])
    for name in needed:
        if name not in body:
            option = {"steps": "--step", "state": "--to"}[name]
            raise DefinitionError(f"{action} needs {option}", code="usage")
    return body | {name: True for name, given in flags.items() if given}


def _found(client: Client, query: dict[str, Any]) -> list[Any]:
    """Return the runs that fit, the newest first."""
    found: dict[str, Any] = {}
    cursor = None
    while True:
        page = client.runs(**query, limit=_PAGE, cursor=cursor)
        found |= {row["id"]: row for row in rows_of(page, "runs") if not row.get("quarantine")}
        cursor = page.get("next")
        if len(found) > MOST_RUNS:
            message = f"more than {MOST_RUNS:,} runs fit the filter"
            raise DefinitionError(message, code="usage", hint="narrow it: --since, --until, --team")
        if cursor is None:
            return list(found.values())


def _print_preview(action: BulkAction, runs: Sequence[Any], file: Any) -> None:
    counts = Counter(str(row.get("state")) for row in runs)
    spread = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    print(f"{len(runs)} to {_words(action)}" + (f": {spread}" if spread else ""), file=file)
    rows = [
        (str(row["id"]), f"{row.get('team')}/{row.get('pipeline')}", run_words(row),
         clock_time(row.get("created_at")))
        for row in runs[:_SHOWN]
    ]  # fmt: skip
    if rows:
        print_table(("ID", "PIPELINE", "STATE", "CREATED"), rows, empty="", file=file)
    if len(runs) > _SHOWN:
        print(f"and {len(runs) - _SHOWN} more", file=file)


def _words(action: BulkAction) -> str:
    return "do again as new runs" if action is BulkAction.RERUN else action.value


def _ask(
    client: Client, action: BulkAction, ids: Sequence[str], body: dict[str, Any]
) -> dict[str, Any]:
    told: dict[str, Any] = {"action": action.value, "asked": [], "refused": []}
    for first in range(0, len(ids), _AT_ONCE):
        answer = client.ask_runs(ids[first : first + _AT_ONCE], action.value, body)
        told["asked"] += rows_of(answer, "asked")
        told["refused"] += rows_of(answer, "refused")
        if len(ids) > _AT_ONCE:
            print(f"{min(first + _AT_ONCE, len(ids))} of {len(ids)}", file=sys.stderr)
    return told


def _told(answer: dict[str, Any], *, as_json: bool) -> int:
    refused = answer["refused"]
    if as_json:
        print_document(answer)
    else:
        print(f"{len(answer['asked'])} asked, {len(refused)} refused")
        for row in refused[:_SHOWN]:
            print(clean(f"  {row['id']}: {row['message']} [{row['code']}]"), file=sys.stderr)
        if len(refused) > _SHOWN:
            print(f"  and {len(refused) - _SHOWN} more; --json shows all", file=sys.stderr)
    return 4 if refused else 0
