"""`headway notifications`: whom runs' ends were told, and telling them again."""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated, Any

import typer

from headway.cli.arguments import IdArgument, JsonOption
from headway.cli.connection import connect, notification_id
from headway.cli.naming import team_and_filter
from headway.cli.printing import clean, clock_time, one_line, print_document, print_table, rows_of


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command("list", help="List notifications, newest first.")(list_notifications)
    group.command("show", help="Show a notification, with what is sent.")(show)
    group.command("retry", help="Send a notification again.")(retry)
    app.add_typer(
        group, name="notifications", help="List, show and repeat what was told of runs' ends."
    )


def list_notifications(
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Only of this pipeline, or TEAM/NAME.")
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only these: waiting, sent, dead.")
    ] = None,
    team: Annotated[str | None, typer.Option("--team", help="Only of this team.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many.")] = 20,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Where the last list ended.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """List notifications, newest first: whom they are for, and how far that came."""
    team, pipeline = team_and_filter(pipeline, team)
    with connect() as client:
        answer = client.notifications(
            pipeline=pipeline, state=state, team=team, limit=limit, cursor=cursor
        )
    if json:
        print_document(
            {"notifications": answer.get("notifications", []), "next": answer.get("next")}
        )
        return 0
    rows = [_row(row) for row in rows_of(answer, "notifications")]
    titles = ("ID", "CREATED", "PIPELINE", "RUN", "EVENT", "TO", "STATE", "PROBLEM")
    print_table(titles, rows, empty="no notifications")
    if answer.get("next"):
        print(f"more: --cursor {answer['next']}", file=sys.stderr)
    return 0


def _row(row: Any) -> tuple[str, ...]:
    place = f"{row.get('team')}/{row.get('pipeline')}"
    about = (str(row.get("run")), str(row.get("event")), one_line(row.get("to"), 40))
    made = (str(row.get("id")), clock_time(row.get("created_at")), place)
    return (*made, *about, str(row.get("state")), one_line(row.get("problem") or "-", 60))


def show(id: IdArgument, json: JsonOption = False) -> int:
    """Show a notification, with what is sent."""
    with connect() as client:
        found = client.notification(notification_id(client, id))
    if json:
        print_document(found)
        return 0
    _print(found)
    print("body:")
    print(clean(json_module.dumps(found.get("body"), indent=2, ensure_ascii=False)))
    return 0


def retry(id: IdArgument, json: JsonOption = False) -> int:
    """Send a notification again, at once and with all its tries."""
    with connect() as client:
        found = client.retry_notification(notification_id(client, id))
    if json:
        print_document(found)
    else:
        _print(found)
    return 0


def _print(found: Any) -> None:
    print(
        f"notification {found.get('id')}: run {found.get('run')} of "
        f"{found.get('team')}/{found.get('pipeline')} {found.get('event')}"
    )
    print(f"to: {one_line(found.get('to'), 200)}")
    print(
        f"state: {found.get('state')}, after {found.get('attempts')} of {found.get('tries')} tries"
    )
    for key in ("tried_at", "due_at"):
        if found.get(key):
            print(f"{key}: {clock_time(found[key])}")
    if found.get("problem"):
        print(f"problem: {one_line(found['problem'], 300)}")
