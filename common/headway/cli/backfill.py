"""`headway backfill`: run a range of a schedule's dates: looked at, started, followed, steered."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headway.cli.arguments import IdArgument, JsonOption, ParamsOption, parameters
from headway.cli.backfill_options import (
    CronOption,
    EveryOption,
    FromOption,
    MaxInFlightOption,
    OnlyOption,
    OrderOption,
    PipelineArgument,
    PriorityOption,
    TeamOption,
    TimezoneOption,
    TriggerOption,
    UntilOption,
)
from headway.cli.backfill_progress import progress_words, wait_for_dates
from headway.cli.connection import backfill_id, connect
from headway.cli.naming import team_and_filter, team_and_name
from headway.cli.printing import (
    clock_time,
    one_line,
    print_document,
    print_table,
    rows_of,
    state_words,
)
from headway.errors import DefinitionError

if TYPE_CHECKING:
    from headway.client import Client


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command("plan", help="Show which dates a backfill would run.")(plan)
    group.command("start", help="Run a range of a schedule's dates.")(start)
    group.command("list", help="List backfills with their progress.")(list_backfills)
    group.command("show", help="Show a backfill, its progress and its dates.")(show)
    group.command("pause", help="Let a backfill start no more runs for now.")(pause)
    group.command("resume", help="Let a paused backfill go on.")(resume)
    group.command("set", help="Change how many runs are under way at a time.")(set_lane)
    group.command("cancel", help="End a backfill and cancel its runs.")(cancel)
    group.command("retry", help="Run the dates anew that did not succeed.")(retry)
    app.add_typer(group, name="backfill", help="Run a range of a schedule's dates; steer it.")


def plan(
    pipeline: PipelineArgument,
    first: FromOption,
    until: UntilOption = None,
    trigger: TriggerOption = None,
    every: EveryOption = None,
    cron: CronOption = None,
    timezone: TimezoneOption = None,
    param: ParamsOption = None,
    order: OrderOption = "oldest",
    only: OnlyOption = "all",
    max_in_flight: MaxInFlightOption = 3,
    priority: PriorityOption = None,
    team: TeamOption = None,
    json: JsonOption = False,
) -> int:
    """Show how many dates a backfill would run, the first and the last; nothing is started."""
    given = {"trigger": trigger, "every": every, "cron": cron, "timezone": timezone}
    wanted = _wanted(
        pipeline, first, until=until, **given, params=parameters(param or []), order=order,
        only=only, max_in_flight=max_in_flight, priority=priority, team=team,
    )  # fmt: skip
    with connect() as client:
        planned = client.start_backfill({**wanted, "dry_run": True})
    if json:
        print_document(planned)
    else:
        print(_plan_words(planned))
    return 0


def start(
    pipeline: PipelineArgument,
    first: FromOption,
    until: UntilOption = None,
    trigger: TriggerOption = None,
    every: EveryOption = None,
    cron: CronOption = None,
    timezone: TimezoneOption = None,
    param: ParamsOption = None,
    order: OrderOption = "oldest",
    only: OnlyOption = "all",
    max_in_flight: MaxInFlightOption = 3,
    priority: PriorityOption = None,
    team: TeamOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Start without asking.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until every run has ended.")] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Idempotency key: the same key again names the same backfill."),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Start a backfill and print its id. On a terminal it shows the plan and asks first."""
    given = {"trigger": trigger, "every": every, "cron": cron, "timezone": timezone}
    wanted = _wanted(
        pipeline, first, until=until, **given, params=parameters(param or []), order=order,
        only=only, max_in_flight=max_in_flight, priority=priority, team=team,
    )  # fmt: skip
    with connect() as client:
        if key is None:  # one that was started with this key may have left nothing to do
            planned = client.start_backfill({**wanted, "dry_run": True})
            print(_plan_words(planned), file=sys.stderr)
            if planned["count"] == 0:
                if json:
                    print_document(planned)
                return 0
        _demand_consent(given=yes)
        started = client.start_backfill(wanted, key=key)
        return _started(client, started, as_json=json, wait=wait)


def _wanted(pipeline: str, first: str, *, team: str | None, **given: Any) -> dict[str, Any]:
    """Return the body of the request; what was not given is left out."""
    team, pipeline = team_and_name(pipeline, team)
    wanted = {"pipeline": pipeline, "from": first, "team": team, **given}
    return {name: value for name, value in wanted.items() if value is not None}


def _plan_words(planned: Mapping[str, Any]) -> str:
    count, dates = planned["count"], planned["dates"]
    name = f"{planned['team']}/{planned['pipeline']}"
    if not count:
        return f"{name}: nothing to run; none of its {dates} dates is {planned['only']}"
    of = f" of {dates}" if dates != count else ""
    span = f"from {clock_time(planned['first'])} to {clock_time(planned['last'])}"
    lane = f"{planned['max_in_flight']} at a time, {planned['order']} first"
    return f"{name}: {count}{of} dates, {span}; {lane}, priority {planned['priority']}"


def _demand_consent(*, given: bool) -> None:
    """Return once it may start. Raises DefinitionError where nobody can be asked."""
    if given:
        return
    if not sys.stdin.isatty():
        message = "nobody can be asked whether to start"
        raise DefinitionError(message, code="usage", hint="say --yes")
    typer.confirm("Start it?", abort=True, err=True)


def _started(client: Client, started: Mapping[str, Any], *, as_json: bool, wait: bool) -> int:
    if wait:
        return wait_for_dates(client, started, as_json=as_json)
    if as_json:
        print_document(started)
        return 0
    print(started["id"])
    print(f"follow it: headway backfill show {started['id']}", file=sys.stderr)
    return 0


def list_backfills(
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Only of this pipeline, or TEAM/NAME.")
    ] = None,
    state: Annotated[
        Literal["cancelled", "done", "paused", "running"] | None,
        typer.Option("--state", help="Only in this state."),
    ] = None,
    team: TeamOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many.")] = 20,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Where the last list ended.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """List backfills, newest first, each with how far it is."""
    team, pipeline = team_and_filter(pipeline, team)
    with connect() as client:
        answer = client.backfills(
            pipeline=pipeline, state=state, team=team, limit=limit, cursor=cursor
        )
    if json:
        print_document(answer)
        return 0
    titles = ("ID", "PIPELINE", "STATE", "PROGRESS", "BY", "STARTED")
    rows = [_row(row) for row in rows_of(answer, "backfills")]
    print_table(titles, rows, empty="no backfills")
    if answer.get("next"):
        print(f"more: --cursor {answer['next']}", file=sys.stderr)
    return 0


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    place = f"{row.get('team')}/{row.get('pipeline')}"
    state, done = str(row.get("state")), progress_words(row)
    return str(row["id"]), place, state, done, str(row["actor"]), clock_time(row["created_at"])


def show(
    id: IdArgument,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many dates.")] = 20,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Where the last dates ended.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Show a backfill: how far it is, and what became of its dates."""
    with connect() as client:
        document = client.backfill(backfill_id(client, id), limit=limit, cursor=cursor)
    if json:
        print_document(document)
        return 0
    print(f"backfill {document['id']} of {document['team']}/{document['pipeline']}")
    reason = f": {one_line(document['reason'], 200)}" if document.get("reason") else ""
    print(f"{document['state']}{reason}; {progress_words(document)}")
    span = f"from {clock_time(document['from'])} until {clock_time(document['until'])}"
    lane = f"{document['max_in_flight']} at a time, {document['order']} first"
    print(f"{span}; only {document['only']}; {lane}, priority {document['priority']}")
    print(f"started by {document['actor']}, {clock_time(document['created_at'])}")
    print()
    rows = [_date(row) for row in rows_of(document, "dates")]
    print_table(("DATE", "STATE", "RUN", "WHY"), rows, empty="no more dates")
    if document.get("next"):
        print(f"more: --cursor {document['next']}", file=sys.stderr)
    return 0


def _date(row: Mapping[str, Any]) -> tuple[str, ...]:
    run = str(row.get("run") or "-")
    state = state_words(str(row.get("state")))
    return clock_time(row.get("logical_date")), state, run, one_line(row.get("reason") or "", 100)


def pause(id: IdArgument, json: JsonOption = False) -> int:
    """Let a backfill start no more runs; those under way go on."""
    return _steer(id, "pause", as_json=json)


def resume(id: IdArgument, json: JsonOption = False) -> int:
    """Let a paused backfill go on."""
    return _steer(id, "resume", as_json=json)


def set_lane(
    id: IdArgument,
    max_in_flight: Annotated[
        int,
        typer.Option("--max-in-flight", min=1, max=1000, help="How many runs at the same time."),
    ],
    json: JsonOption = False,
) -> int:
    """Change how many runs of a backfill are under way at a time; those that are go on."""
    with connect() as client:
        answer = client.change_backfill(backfill_id(client, id), max_in_flight=max_in_flight)
    if json:
        print_document(answer)
        return 0
    before = f", formerly {answer['before']}" if answer.get("changed") else " already"
    print(f"backfill {answer['id']}: {answer['max_in_flight']} at a time{before}")
    return 0


def cancel(
    id: IdArgument,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept with it.")] = None,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Let the runs go on that are under way.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """End a backfill: it starts no more runs, and those under way are cancelled."""
    body: dict[str, Any] = {"keep_running": keep_running}
    if reason is not None:
        body["reason"] = reason
    return _steer(id, "cancel", body, as_json=json)


def retry(id: IdArgument, json: JsonOption = False) -> int:
    """Run the dates anew whose run did not succeed."""
    return _steer(id, "retry", as_json=json)


def _steer(id: str, verb: str, body: Mapping[str, Any] | None = None, *, as_json: bool) -> int:
    with connect() as client:
        answer = client.steer_backfill(backfill_id(client, id), verb, body)
    if as_json:
        print_document(answer)
        return 0
    more = ""
    if answer.get("cancelled_runs"):
        more = f"; {answer['cancelled_runs']} of its runs are asked to stop"
    if answer.get("retried"):
        more = f"; {answer['retried']} dates run anew"
    print(f"backfill {answer['id']} is {answer['state']}{more}")
    return 0
