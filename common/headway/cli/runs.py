"""`headway runs`: what ran, what runs, why a step waits, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from headway.cli import logs, recovery
from headway.cli.arguments import JsonOption, ReasonOption, RunArgument
from headway.cli.bulk import SinceOption, UntilOption, bulk, grace_seconds, moment
from headway.cli.connection import connect, run_id
from headway.cli.naming import team_and_filter
from headway.cli.printing import (
    between,
    clean,
    clock_time,
    one_line,
    painted_run,
    print_document,
    print_table,
    rows_of,
    run_words,
    span,
    state_words,
)
from headway.cli.snapshot import Snapshot, StepView, snapshot
from headway.cli.summary import print_summary
from headway.errors import DefinitionError

PipelineOption = Annotated[
    str | None, typer.Option("--pipeline", help="Only runs of this pipeline, or TEAM/NAME.")
]
TeamOption = Annotated[str | None, typer.Option("--team", help="Only runs of this team.")]
StateOption = Annotated[
    str | None, typer.Option("--state", help="Only runs in these states, comma-separated.")
]

_REQUESTS_SHOWN = 5


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command("list", help="List runs, newest first.")(list_runs)
    group.command("show", help="Show a run, its steps and their attempts.")(show)
    group.command("explain", help="Say why the steps that do not run are not running.")(explain)
    group.command("cancel", help="Ask a run to stop.")(cancel)
    group.command("retry", help="Run again what failed in a run that has ended.")(retry)
    group.command("bulk", help="Ask the same of every run that a filter finds.")(bulk)
    recovery.register(group)
    logs.register(group)
    app.add_typer(group, name="runs", help="List, show, explain, follow, cancel and recover runs.")


def list_runs(
    pipeline: PipelineOption = None,
    state: StateOption = None,
    team: TeamOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many.")] = 20,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Where the last list ended.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """List runs, newest first."""
    team, pipeline = team_and_filter(pipeline, team)
    with connect() as client:
        answer = client.runs(
            pipeline=pipeline,
            state=state,
            team=team,
            since=moment("--since", since),
            until=moment("--until", until),
            limit=limit,
            cursor=cursor,
        )
    if json:
        print_document({"runs": answer.get("runs", []), "next": answer.get("next")})
        return 0
    rows = [_row(row) for row in rows_of(answer, "runs")]
    print_table(("ID", "PIPELINE", "TEAM", "STATE", "CREATED", "TOOK"), rows, empty="no runs")
    if answer.get("next"):
        print(f"more: --cursor {answer['next']}", file=sys.stderr)
    return 0


def _row(row: Any) -> tuple[str, ...]:
    took = between(row.get("started_at"), row.get("finished_at"))
    created = clock_time(row.get("created_at"))
    names = (str(row.get("id")), str(row.get("pipeline")), str(row.get("team") or "-"))
    return (*names, run_words(row), created, span(took))


def show(
    id: RunArgument,
    children: Annotated[
        bool, typer.Option("--children", help="Every item of steps that have many.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Show a run, its steps and their attempts; of many items those that run or have failed."""
    with connect() as client:
        document = client.run(run_id(client, id))
        if children:
            document = {**document, "steps": client.steps(document["id"])["steps"]}
        address = client.address
    if json:
        print_document(document)
        return 0
    run = snapshot(document)
    _print_facts(run)
    titles = ("STEP", "STATE", "TRIES", "TIME", "NOTE")
    print_table(titles, [_step_row(step) for step in run.steps], empty="no steps yet")
    print()
    print_summary(run, address)
    return 0


def _step_row(step: StepView) -> tuple[str, ...]:
    note = step.failure() if step.state in ("failed", "retry_wait") else step.spread()
    tries = str(step.tries or "-")
    return step.name, state_words(step.phase), tries, span(step.seconds()), one_line(note or "", 80)


def _print_facts(run: Snapshot) -> None:
    raw = run.raw
    print(f"{run.team}/{run.pipeline} {run.id}: {painted_run(raw)}")
    if run.reason:
        print(f"reason: {clean(run.reason)}")
    if held := raw.get("paused"):
        print(f"paused by {_who(held.get('by'), held.get('reason'), held.get('at'))}")
    if raw.get("quarantine"):
        print(f"set aside: {one_line(raw['quarantine'], 200)}")
        print("what to do: look at the coordinator's log, then start a new run")
    print(f"started by {clean(str(raw.get('actor')))}, {clock_time(raw.get('created_at'))}")
    if origin := raw.get("origin") or {}:
        print(_origin(origin))
    print(f"definition {str(raw.get('digest'))[:12]}, version {raw.get('version', '-')}")
    if raw.get("params"):
        print("params: " + ", ".join(f"{k}={one_line(v, 60)}" for k, v in raw["params"].items()))
    for again in rows_of(raw, "reruns")[:_REQUESTS_SHOWN]:
        print(clean(f"done again by run {again.get('id')}: {again.get('state')}"))
    _print_requests(rows_of(raw, "requests"))
    print()


def _print_requests(requests: Sequence[Any]) -> None:
    """Say what people asked of the run, the newest first."""
    for asked in requests[:_REQUESTS_SHOWN]:
        parts = [str(asked.get("kind")), *asked.get("steps", []), asked.get("state") or ""]
        what = " ".join([*parts, "by force" if asked.get("force") else ""])
        who = _who(asked.get("actor"), asked.get("reason"), asked.get("asked_at"))
        result = asked.get("result")
        refused = f"; not done: {result}" if result not in (None, "applied") else ""
        print(one_line(f"{what.strip()}: by {who}{refused}", 200))


def _who(actor: Any, reason: Any, at: Any) -> str:
    """Return who did something, when and why."""
    because = f": {reason}" if reason else ""
    return clean(f"{actor}, {clock_time(at)}{because}")


def _origin(origin: Any) -> str:
    """Say which trigger and event the run comes from."""
    start, end = origin.get("data_interval_start"), origin.get("data_interval_end")
    words = []
    if origin.get("event"):
        many = f", the last of {origin['events']} events" if origin.get("events") else ""
        words.append(f"trigger {origin.get('trigger')}, event {origin['event']}{many}")
    if origin.get("rerun_of"):
        because = f": {origin['reason']}" if origin.get("reason") else ""
        words.append(f"run {origin['rerun_of']} once more{because}")
    if origin.get("backfill"):
        words.append(f"backfill {origin['backfill']}")
    if start and end:
        words.append(f"data from {clock_time(start)} to {clock_time(end)}")
    return clean("; ".join(words))


def explain(id: RunArgument, json: JsonOption = False) -> int:
    """Say why the steps that do not run are not running."""
    with connect() as client:
        document = client.explain(run_id(client, id))
    if json:
        print_document(document)
        return 0
    waiting = [row for row in rows_of(document, "steps") if row.get("blockers")]
    if not waiting:
        print("nothing is waiting")
    for row in waiting:
        print(f"{clean(str(row.get('step')))}:")
        for blocker in rows_of(row, "blockers"):
            since = f", since {clock_time(blocker['since'])}" if blocker.get("since") else ""
            print(clean(f"  {blocker.get('message')} [{blocker.get('code')}{since}]"))
    return 0


def cancel(
    id: RunArgument,
    grace: Annotated[
        str | None,
        typer.Option("--grace", help="How long what runs has to end after its SIGTERM; else 5s."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Kill what runs at once, and leave `finally` out."),
    ] = False,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Ask a run to stop. Asked again, with --force or less --grace, what hangs is ended sooner."""
    if force and grace is not None:
        raise DefinitionError("--force gives no --grace: leave one of them out", code="usage")
    how: dict[str, Any] = {"force": True} if force else {}
    how |= {} if grace is None else {"grace": grace_seconds(grace)}
    with connect() as client:
        answer = client.cancel(run_id(client, id), reason, how)
    return _asked(answer, "asked to stop; see", as_json=json)


def retry(
    id: RunArgument,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Stay until the run has ended."),
    ] = False,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Run again what failed in a run that has ended."""
    with connect() as client:
        id = run_id(client, id)
        before = int(client.run(id).get("retries") or 0) if wait else 0
        answer = client.retry(id, reason)
        if wait:
            from headway.cli.starting import wait_for_end

            return wait_for_end(client, answer, as_json=json, retries=before + 1)
    return _asked(answer, "asked to go on; see", as_json=json)


def _asked(answer: Any, words: str, *, as_json: bool) -> int:
    if as_json:
        print_document(answer)
    else:
        print(f"{answer['id']}: {words} headway runs show {answer['id']}")
    return 0
