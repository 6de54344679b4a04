"""What the answers of lists share: limits, cursors, and the teams that are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

from fastapi import Query
from starlette.responses import Response

from headway_coordinator.access.roles import Identity
from headway_coordinator.api.answers import answer

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(pattern=r"^[\x21-\x7e]{1,500}$")]

Page: TypeAlias = tuple[Sequence[Any], str | int | None]
"""Rows, and the cursor of the next page, if there is one."""


def answer_page(name: str, shown: Page) -> Response:
    """Return the answer of a list; `name` is what its rows are."""
    rows, following = shown
    return answer({name: rows, "next": following})


def answer_of_teams(
    name: str,
    identity: Identity,
    team: str | None,
    read: Callable[[list[str] | None], Page],
) -> Response:
    """Return the answer of a list of one team, or of all that the caller may see.

    `read` is given the teams, None: all. Of a team that is not the caller's nothing is read.
    """
    teams = identity.teams_of(team)
    return answer_page(name, ((), None) if teams == [] else read(teams))


def page(rows: Sequence[Any], key: Callable[[Any], str], limit: int, cursor: str | None) -> Page:
    """Return the rows after `cursor` in the order of their keys, and the cursor of the rest.

    For lists that are short enough to be read whole.
    """
    ordered = sorted(rows, key=key)
    after = [row for row in ordered if cursor is None or key(row) > cursor]
    more = len(after) > limit
    return after[:limit], key(after[limit - 1]) if more else None
