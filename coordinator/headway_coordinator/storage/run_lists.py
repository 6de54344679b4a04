"""Lists of runs, newest first; what is accepted but not applied yet is among them as `queued`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, literal_column, null, select

from headway_coordinator.application.ports import RunFilter
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.lists import newest, page_of
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
    run.c.paused,
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
    null().label("paused"),
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
    ordered = sorted(found.values(), key=lambda r: (r["created_at"], r["id"]), reverse=True)
    return page_of(ordered, wanted.limit, lambda row: (row["created_at"], row["id"]))


def _page(rows: Select[Any], wanted: RunFilter, table: Any, id: str) -> Select[Any]:
    if wanted.pipeline is not None:
        rows = rows.where(table.c.pipeline == clean_text(wanted.pipeline))
    if wanted.since is not None:
        rows = rows.where(table.c.created_at >= wanted.since)
    if wanted.until is not None:
        rows = rows.where(table.c.created_at < wanted.until)
    return newest(rows, wanted, team=table.c.team, at=table.c.created_at, id=table.c[id])
