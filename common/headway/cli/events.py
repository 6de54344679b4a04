"""`headway events`: what came in, what each trigger made of it, and sending and replaying."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.cli.arguments import IdArgument, JsonOption, unreadable
from headway.cli.connection import connect, event_id
from headway.cli.naming import team_and_filter
from headway.cli.printing import clean, clock_time, one_line, print_document, print_table, rows_of
from headway.clock import SystemClock, rfc3339
from headway.errors import DefinitionError

TeamOption = Annotated[
    str | None, typer.Option("--team", help="Whose it is; default: your token's team.")
]
PipelineOption = Annotated[
    str | None,
    typer.Option("--pipeline", help="Only what triggers of this pipeline (or TEAM/NAME) heard."),
]
OutcomeOption = Annotated[
    str | None,
    typer.Option(
        "--outcome", help="Only with a decision: matched, filtered, duplicate, refused, waiting."
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command("list", help="List events, newest first.")(list_events)
    group.command("show", help="Show an event, and what each trigger made of it.")(show)
    group.command("replay", help="Let the triggers decide on an event anew.")(replay)
    group.command("send", help="Send a CloudEvent, to try triggers out.")(send)
    app.add_typer(group, name="events", help="List, show, replay and send events.")


def list_events(
    pipeline: PipelineOption = None,
    outcome: OutcomeOption = None,
    type: Annotated[str | None, typer.Option("--type", help="Only of this type.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only from this source.")] = None,
    team: TeamOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many.")] = 20,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Where the last list ended.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """List events, newest first, each with the decisions of the triggers that heard it."""
    team, pipeline = team_and_filter(pipeline, team)
    with connect() as client:
        answer = client.events(
            pipeline=pipeline,
            outcome=outcome,
            type=type,
            source=source,
            team=team,
            limit=limit,
            cursor=cursor,
        )
    if json:
        print_document({"events": answer.get("events", []), "next": answer.get("next")})
        return 0
    rows = [_row(row) for row in rows_of(answer, "events")]
    titles = ("ID", "RECEIVED", "TEAM", "TYPE", "SOURCE", "DECISIONS")
    print_table(titles, rows, empty="no events")
    if answer.get("next"):
        print(f"more: --cursor {answer['next']}", file=sys.stderr)
    return 0


def _row(row: Any) -> tuple[str, ...]:
    made = rows_of(row, "decisions")
    if made:
        places = [f"{d.get('pipeline')}/{d.get('trigger')}: {d.get('outcome')}" for d in made]
        decided = ", ".join(places)
    else:
        decided = "nobody listens" if row.get("decided_at") else "not decided yet"
    names = (str(row.get("id")), clock_time(row.get("received_at")), str(row.get("team")))
    about = (one_line(row.get("type"), 40), one_line(row.get("source"), 40))
    return (*names, *about, one_line(decided, 80))


def show(id: IdArgument, json: JsonOption = False) -> int:
    """Show an event as it was kept, and what each trigger made of it."""
    with connect() as client:
        document = client.event(event_id(client, id))
    if json:
        print_document(document)
        return 0
    event = document.get("event") or {}
    print(f"event {document.get('id')} of team {document.get('team')}, by {document.get('origin')}")
    print(f"received {clock_time(document.get('received_at'))}")
    for key in ("type", "source", "subject", "id", "time", "replay_of"):
        if event.get(key) is not None:
            print(f"{key}: {one_line(event[key], 200)}")
    print("data:")
    text = json_module.dumps(event.get("data"), indent=2, ensure_ascii=False)
    print(clean(text) if len(text) < 20_000 else clean(text[:20_000]) + "\n… (--json shows all)")
    print()
    rows = [
        (
            f"{d.get('team')}/{d.get('pipeline')}",
            str(d.get("trigger")),
            str(d.get("outcome")),
            str(d.get("run") or "-"),
            one_line(d.get("reason") or "", 100),
        )
        for d in rows_of(document, "decisions")
    ]
    undecided = document.get("decided_at") is None
    empty = "no trigger has decided yet" if undecided else "no trigger listens to such events"
    print_table(("PIPELINE", "TRIGGER", "OUTCOME", "RUN", "WHY"), rows, empty=empty)
    return 0


def replay(id: IdArgument, json: JsonOption = False) -> int:
    """Let the triggers decide on an event anew, as if it had come again now."""
    with connect() as client:
        id = event_id(client, id)
        answer = client.replay_event(id)
    if json:
        print_document(answer)
    else:
        print(f"event {answer['id']} is a replay of {id}; see headway events show {answer['id']}")
    return 0


def send(
    type: Annotated[str, typer.Option("--type", help="Its type, such as com.example.file.landed.")],
    source: Annotated[str, typer.Option("--source", help="Where it comes from.")] = "/headway/cli",
    subject: Annotated[str | None, typer.Option("--subject", help="What it is about.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON", help="Its data, or @FILE.")
    ] = None,
    id: Annotated[
        str | None, typer.Option("--id", help="Sent again with the same id, it is the same event.")
    ] = None,
    team: TeamOption = None,
    json: JsonOption = False,
) -> int:
    """Send a CloudEvent to the triggers of a team."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "type": type,
        "source": source,
        "time": rfc3339(SystemClock().now()),
    }
    if subject is not None:
        event["subject"] = subject
    if data is not None:
        event["datacontenttype"] = "application/json"
        event["data"] = _data(data)
    with connect() as client:
        answer = client.send_event(event, id=id, team=team)
    if json:
        print_document(answer)
        return 0
    for row in rows_of(answer, "events"):
        state = "is kept" if row.get("created") else "was there already"
        print(f"event {row.get('id')} {state}; see headway events show {row.get('id')}")
    return 0


def _data(given: str) -> Any:
    if given.startswith("@"):
        file = Path(given[1:])
        try:
            given = file.read_text(encoding="utf-8")
        except OSError as error:
            raise unreadable(file, error) from error
        except UnicodeDecodeError as error:
            message = f"{file} is not UTF-8 text"
            raise DefinitionError(message, code="invalid_data") from error
    try:
        return json_module.loads(given)
    except (ValueError, RecursionError) as error:
        hint = """write --data '{"key": "value"}', or --data @file.json"""
        message = f"the data is not JSON: {error}"
        raise DefinitionError(message, code="invalid_data", hint=hint) from error
