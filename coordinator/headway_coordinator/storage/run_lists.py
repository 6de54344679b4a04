"""Lists of runs, newest first; what is accepted but not applied yet is among them as `queued`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, Text, literal, literal_column, null, select, tuple_

from headway_coordinator.application.ports import RunFilter
from headway_coordinator.storage.columns import Moment
from headway_coordinator.storage.cursors import read_cursor, write_cursor
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import INBOX_PENDING, inbox, run

_RUN = select(
    run.c.id,
    run.c.pipeline,
    run.c.team,
    run.c.state,
    run.c.reason,
    run.c.quarantine,
    run.c.actor,
    run.c.created_at,
    run.c.started_at,
    run.c.finished_at,
)
_ACCEPTED = select(
    inbox.c.run.label("id"),
    inbox.c.pipeline,
    inbox.c.team,
    literal_column("'queued'").label("state"),
    null().label("reason"),
    null().label("quarantine"),
    inbox.c.actor,
    inbox.c.created_at,
    null().label("started_at"),
    null().label("finished_at"),
).where(INBOX_PENDING, inbox.c.kind == "run")


def list_runs(connection: Connection, wanted: RunFilter) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of rows and the cursor of the next one.

    The inbox is read first: what is applied in between is then found twice, never missed.
    """
    found: dict[str, dict[str, Any]] = {}
    if not wanted.states or "queued" in wanted.states:
        for row in connection.execute(_page(_ACCEPTED, wanted, inbox, "run")):
            found[row.id] = dict(row._mapping)
    runs = _page(_RUN, wanted, run, "id")
    if wanted.states:
        runs = runs.where(run.c.state.in_(wanted.states))
    for row in connection.execute(runs):
        found[row.id] = dict(row._mapping)
    newest = sorted(found.values(), key=lambda r: (r["created_at"], r["id"]), reverse=True)
    page = newest[: wanted.limit]
    more = len(newest) > wanted.limit
    return page, write_cursor(page[-1]["created_at"], page[-1]["id"]) if more else None


def _page(rows: Select[Any], wanted: RunFilter, table: Any, id: str) -> Select[Any]:
    created_at, key = table.c.created_at, table.c[id]
    if wanted.teams is not None:
        rows = rows.where(table.c.team.in_(wanted.teams))
    if wanted.pipeline is not None:
        rows = rows.where(table.c.pipeline == clean_text(wanted.pipeline))
    if wanted.cursor is not None:
        moment, last = read_cursor(wanted.cursor)
        rows = rows.where(
            tuple_(created_at, key) < tuple_(literal(moment, Moment()), literal(last, Text()))
        )
    return rows.order_by(created_at.desc(), key.desc()).limit(wanted.limit + 1)
