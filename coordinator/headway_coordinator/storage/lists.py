"""Pages of lists, the newest first: what all of them share, whatever they list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Column, Select, Text, literal, tuple_

from headway_coordinator.storage.columns import Moment
from headway_coordinator.storage.cursors import read_cursor, write_cursor

T = TypeVar("T")


class Wanted(Protocol):
    """Which rows a list shows. `teams` None: those of all."""

    @property
    def teams(self) -> Sequence[str] | None: ...

    @property
    def limit(self) -> int: ...

    @property
    def cursor(self) -> str | None: ...


def newest(
    rows: Select[Any], wanted: Wanted, *, team: Column[Any], at: Column[Any], id: Column[Any]
) -> Select[Any]:
    """Return the statement of a page of the rows and of one more, by which `page_of` sees whether
    there is a next one.

    Raises:
        DefinitionError: the cursor is none of ours (code `invalid_cursor`).
    """
    if wanted.teams is not None:
        rows = rows.where(team.in_(wanted.teams))
    if wanted.cursor is not None:
        moment, last = read_cursor(wanted.cursor)
        place = tuple_(literal(moment, Moment()), literal(last, Text()))
        rows = rows.where(tuple_(at, id) < place)
    return rows.order_by(at.desc(), id.desc()).limit(wanted.limit + 1)


def page_of(
    found: Sequence[T], limit: int, place: Callable[[T], tuple[datetime, str]]
) -> tuple[list[T], str | None]:
    """Return the rows of the page, and the cursor of the next one if there is more.

    `place` gives the time and the id by which a row is ordered.
    """
    page = list(found[:limit])
    return page, write_cursor(*place(page[-1])) if len(found) > limit else None
