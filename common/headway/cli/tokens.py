"""`headway token`: who may do what."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from headway.cli.arguments import JsonOption
from headway.cli.connection import connect
from headway.cli.printing import clock_time, print_document, print_table, rows_of
from headway.errors import DefinitionError


class Role(StrEnum):
    """What a token may do; each of the first four includes the ones before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    AUTHOR = "author"
    ADMIN = "admin"
    WORKER = "worker"


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command("create", help="Create a token and print it once.")(create)
    group.command("list", help="List tokens; their text is never shown again.")(list_tokens)
    group.command("revoke", help="Make a token worthless at once.")(revoke)
    app.add_typer(group, name="token", help="Create, list and revoke tokens.")


def create(
    role: Annotated[Role, typer.Option("--role", help="What it may do.")],
    subject: Annotated[str, typer.Option("--subject", help="Who will use it.")],
    team: Annotated[
        str | None, typer.Option("--team", help="The team it is for; every team otherwise.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help="Its life, such as 90d.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Create a token. Only its text goes to stdout, so that it can be put into a variable."""
    seconds = None if expires is None else _seconds(expires)
    with connect() as client:
        answer = client.create_token(
            subject=subject, role=role.value, team=team, expires_in=seconds
        )
    if json:
        print_document(answer)
        return 0
    print(answer["token"])
    print("this is shown once; keep it safe", file=sys.stderr)
    return 0


def _seconds(text: str) -> int:
    from headway.expressions.durations import parse_duration

    try:
        return int(parse_duration(text).total_seconds())
    except ValueError as error:
        raise DefinitionError(f"--expires: {error}", code="usage") from error


def list_tokens(json: JsonOption = False) -> int:
    """List tokens, without their text."""
    with connect() as client:
        answer = client.tokens()
    if json:
        print_document(answer)
        return 0
    rows = []
    for row in rows_of(answer, "tokens"):
        names = (str(row.get("id")), str(row.get("subject")), str(row.get("team") or "all teams"))
        ends = clock_time(row.get("expires_at")) if row.get("expires_at") else "never"
        state = "revoked" if row.get("revoked_at") else "valid"
        rows.append((*names, str(row.get("role")), ends, state))
    titles = ("ID", "SUBJECT", "TEAM", "ROLE", "EXPIRES", "STATE")
    print_table(titles, rows, empty="no tokens")
    return 0


def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="The token's id, from `token list`.")],
    json: JsonOption = False,
) -> int:
    """Make a token worthless at once."""
    with connect() as client:
        answer = client.revoke_token(id)
    if json:
        print_document(answer)
    else:
        print(f"token {id} is revoked")
    return 0
