"""Stored pipelines by the names that people type: `NAME`, or `TEAM/NAME` where several have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headway.cli.naming import team_and_name
from headway.cli.printing import one_line, rows_of
from headway.errors import DefinitionError, ForbiddenError
from headway.spelling import did_you_mean

if TYPE_CHECKING:
    from headway.client import Client
    from headway.spec.changes import Change

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A stored pipeline, or TEAM/NAME.")
]
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def find(client: Client, text: str) -> tuple[str, str]:
    """Return (team, name) of the stored pipeline that the text names.

    Raises ForbiddenError (not found) or DefinitionError (several teams have one of that name).
    """
    found = matching(rows_of(client.pipelines(), "pipelines"), text)
    if len(found) > 1:
        teams = ", ".join(sorted(team for team, _ in found))
        message = f"several teams have a pipeline `{text}`: {teams}"
        raise DefinitionError(message, code="team_needed", hint=f"write TEAM/{text}")
    return found[0]


def matching(rows: list[Mapping[str, Any]], text: str) -> list[tuple[str, str]]:
    """Return the (team, name) of each pipeline of that name. Raises ForbiddenError: none is."""
    known = [(str(row.get("team")), str(row.get("pipeline"))) for row in rows]
    team, name = team_and_name(text)
    found = [each for each in known if team in (None, each[0]) and each[1] == name]
    if not found:
        hint = did_you_mean(name, [each[1] for each in known]) or "see `headway pipelines list`"
        raise ForbiddenError("not_found", f"there is no pipeline `{text}`", hint, status=404)
    return found


def change_lines(found: list[Change]) -> list[str]:
    """Return each change on a line: a sign, the key, and what it was and is."""
    return [f"  {_SIGNS[each.change]} {each.path}{_values(each)}" for each in found]


def _values(change: Change) -> str:
    old, new = one_line(change.old, 70), one_line(change.new, 70)
    if change.change == "changed":
        return f": {old} → {new}"
    return f": {new if change.change == 'added' else old}"
