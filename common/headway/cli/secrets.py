"""`headway secret`: values that steps are given and nobody is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from headway.cli.arguments import JsonOption, unreadable
from headway.cli.connection import connect
from headway.cli.printing import clock_time, print_document, print_table, rows_of
from headway.errors import DefinitionError

_MOST_BYTES = 1024 * 1024  # more than any value may have; the coordinator knows the real limit

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name.")]
TeamOption = Annotated[
    str | None, typer.Option("--team", help="Whose it is; default: your token's team.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command("set", help="Set a secret from stdin, a prompt or a file.")(set_secret)
    group.command("list", help="List secrets; their values are never shown.")(list_secrets)
    group.command("rm", help="Remove a secret.")(remove)
    group.command("rekey", help="Encrypt all secrets under the present secret key.")(rekey)
    app.add_typer(group, name="secret", help="Set, list and remove secrets.")


def set_secret(
    name: NameArgument,
    value: Annotated[str | None, typer.Argument(hidden=True)] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", metavar="FILE", help="Read the value from it.")
    ] = None,
    team: TeamOption = None,
    json: JsonOption = False,
) -> int:
    """Set a secret. The value comes from stdin, from a hidden prompt on a terminal, or from a file.

    A single line loses its line end; several lines are kept as they are.
    """
    if value is not None:
        message = "a value on the command line is seen by others, and kept by the shell"
        hint = f"pipe it in, or type it when asked: headway secret set {name}"
        raise DefinitionError(message, code="usage", hint=hint)
    text = _without_line_end(_text(_given(name, from_file)))
    with connect() as client:
        answer = client.put_secret(name, text, team=team)
    if json:
        print_document(answer)
    else:
        state = "is set" if answer.get("changed") else "is unchanged"
        print(f"secret {name} of team {answer.get('team')} {state}, version {answer['version']}")
    return 0


def _given(name: str, file: Path | None) -> bytes:
    if file is not None:
        try:
            with file.open("rb") as opened:
                return opened.read(_MOST_BYTES)
        except OSError as error:
            raise unreadable(file, error) from error
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"value of {name} (not shown): ").encode(errors="surrogateescape")
    return sys.stdin.buffer.read(_MOST_BYTES)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        hint = "encode it with base64, and decode it in the step"
        message = "the value is not UTF-8 text"
        raise DefinitionError(message, code="bad_secret", hint=hint) from None


def _without_line_end(text: str) -> str:
    line = text.removesuffix("\n").removesuffix("\r")
    return text if "\n" in line else line


def list_secrets(team: TeamOption = None, json: JsonOption = False) -> int:
    """List secrets: whose, which version, when it was set and by whom."""
    with connect() as client:
        answer = client.secrets(team)
    if json:
        print_document(answer)
        return 0
    rows = [
        (
            str(row.get("name")),
            str(row.get("team")),
            str(row.get("version")),
            clock_time(row.get("changed_at")),
            str(row.get("changed_by")),
            "" if row.get("readable") else "cannot be decrypted: set it again",
        )
        for row in rows_of(answer, "secrets")
    ]
    titles = ("NAME", "TEAM", "VERSION", "CHANGED", "BY", "")
    print_table(titles, rows, empty="no secrets; set one with `headway secret set NAME`")
    return 0


def remove(name: NameArgument, team: TeamOption = None, json: JsonOption = False) -> int:
    """Remove a secret. Steps that name it fail from now on; those that run keep their value."""
    with connect() as client:
        answer = client.remove_secret(name, team=team)
    if json:
        print_document(answer)
    else:
        print(f"secret {name} of team {answer.get('team')} is removed")
    return 0


def rekey(json: JsonOption = False) -> int:
    """Encrypt what is under a former secret key under the present one."""
    with connect() as client:
        answer = client.rekey_secrets()
    unreadable = rows_of(answer, "unreadable")
    if json:
        print_document(answer)
    else:
        print(f"{answer.get('rekeyed')} secrets are encrypted anew")
        for row in unreadable:
            place = f"secret {row.get('name')} of team {row.get('team')}"
            print(f"{place} cannot be decrypted: set it again", file=sys.stderr)
    return 1 if unreadable else 0
