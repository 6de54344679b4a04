"""`headway team`: the teams of the installation."""

from __future__ import annotations

from typing import Annotated

import typer

from headway.cli import holding
from headway.cli.arguments import JsonOption
from headway.cli.connection import connect
from headway.cli.printing import clock_time, print_document, print_table, rows_of


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command("add", help="Add a team.")(add)
    group.command("list", help="List the teams.")(list_teams)
    holding.register_team(group)
    app.add_typer(group, name="team", help="Add, list, pause and resume teams.")


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The team's name.")],
    json: JsonOption = False,
) -> int:
    """Add a team; a team that is there already is left as it is."""
    with connect() as client:
        answer = client.add_team(name)
    if json:
        print_document(answer)
    else:
        print(f"team {name} is there")
    return 0


def list_teams(json: JsonOption = False) -> int:
    """List the teams."""
    with connect() as client:
        answer = client.teams()
    if json:
        print_document(answer)
        return 0
    rows = [
        (
            str(row.get("name") or row.get("team")),
            clock_time(row.get("created_at")),
            holding.held_words(row),
        )
        for row in rows_of(answer, "teams")
    ]
    print_table(
        ("TEAM", "CREATED", "PAUSED"), rows, empty="no teams; add one with `headway team add NAME`"
    )
    return 0
