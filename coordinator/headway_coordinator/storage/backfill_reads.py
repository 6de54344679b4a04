"""What backfills' rows say: the state of each date, from its run and from the wish for one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    exists,
    func,
    literal_column,
    select,
    tuple_,
)

from headway_coordinator.application.backfill_ports import NewBackfill, OpenDate, StoredBackfill
from headway_coordinator.engine.settle import blamed_step
from headway_coordinator.schedule.backfilling import REFUSED, STUCK, RunOfDate
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import (
    DATE_OPEN,
    DATE_WAITING,
    INBOX_PENDING,
    RUN_OPEN,
    backfill,
    backfill_run,
    inbox,
    run,
    step,
)

LONGEST_WHY = 300  # characters of what a date's run says of its failure

_WANTED = (
    "id", "team", "pipeline", "trigger", "dedupe", "request", "actor", "body", "params", "from_at",
    "until_at", "newest_first", "choice", "priority", "max_in_flight",
)  # fmt: skip
READ = tuple(backfill.c[name] for name in (*_WANTED, "state", "reason", "created_at", "ended_at"))

_STUCK: ColumnElement[str] = literal_column(f"'{STUCK}'")
# Looked up for runs that are not there alone: a join would look for one of every run.
_ASKED = exists().where(inbox.c.run == backfill_run.c.run, inbox.c.kind == "run", INBOX_PENDING)
# A run whose wish is applied and that is not there was refused then.
STATE = case(
    (backfill_run.c.outcome.is_not(None), backfill_run.c.outcome),
    (backfill_run.c.run.is_(None), literal_column("'waiting'")),
    (and_(run.c.quarantine.is_not(None), RUN_OPEN), _STUCK),
    (run.c.state.is_not(None), run.c.state),
    (_ASKED, literal_column("'queued'")),
    else_=literal_column(f"'{REFUSED}'"),
).label("state")
JOINED = backfill_run.outerjoin(run, run.c.id == backfill_run.c.run)


def stored(row: Any) -> StoredBackfill:
    """Return the backfill of a row of `READ`."""
    count = len(_WANTED)
    return StoredBackfill(NewBackfill(*row[:count]), *row[count:])


def runs_of_dates(
    connection: Connection, team: str, pipeline: str, first: datetime, last: datetime
) -> list[RunOfDate]:
    """Return the runs of those dates, the oldest first.

    A date first waits, then its run is asked for, then it is there. They are read in this order:
    what goes on in between is found twice, never missed.
    """
    place = clean_text(team), clean_text(pipeline)
    waiting = (
        select(backfill_run.c.logical_date)
        .join(backfill, backfill.c.id == backfill_run.c.backfill)
        .where(
            DATE_WAITING,
            backfill.c.team == place[0],
            backfill.c.pipeline == place[1],
            backfill.c.state.in_(("paused", "running")),
            backfill_run.c.logical_date.between(first, last),
        )
    )
    asked: list[datetime | None] = [row.logical_date for row in connection.execute(waiting)]
    wishes = select(inbox.c.body).where(
        INBOX_PENDING, inbox.c.kind == "run", inbox.c.team == place[0], inbox.c.pipeline == place[1]
    )
    asked += [_date_of(row.body) for row in connection.execute(wishes)]
    state = case((and_(run.c.quarantine.is_not(None), RUN_OPEN), _STUCK), else_=run.c.state)
    runs = (
        select(run.c.logical_date, state)
        .where(
            run.c.team == place[0],
            run.c.pipeline == place[1],
            run.c.logical_date.between(first, last),
        )
        .order_by(run.c.created_at, run.c.id)
    )
    found = [RunOfDate(*row) for row in connection.execute(runs)]
    queued = [RunOfDate(date, "queued") for date in asked if date is not None]
    return found + [each for each in queued if first <= each.logical_date <= last]


def _date_of(body: Any) -> datetime | None:
    said = body.get("logical_date")
    return None if said is None else datetime.fromisoformat(str(said))


def progress_of(connection: Connection, ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Return how many dates of each backfill are in which state."""
    wanted = (
        select(backfill_run.c.backfill, STATE, func.count())
        .select_from(JOINED)
        .where(backfill_run.c.backfill.in_(sorted(ids)))
        .group_by(backfill_run.c.backfill, literal_column("2"))
    )
    found: dict[str, dict[str, int]] = {id: {} for id in ids}
    for id, state, count in connection.execute(wanted):
        found[id][state] = count
    return found


def failures_of(connection: Connection, runs: Collection[str]) -> dict[str, str]:
    """Return why each of those runs did not succeed, as far as it says: its reason, with what the
    step that it names said. Each step is looked up by its key: runs may have thousands."""
    wanted = select(run.c.id, func.coalesce(run.c.quarantine, run.c.reason))
    why = dict(tuple(row) for row in connection.execute(wanted.where(run.c.id.in_(sorted(runs)))))
    blamed = [(id, step_key) for id, said in why.items() if (step_key := blamed_step(said))]
    if blamed:
        said_there = select(step.c.run_id, step.c.error).where(
            tuple_(step.c.run_id, step.c.key).in_(sorted(blamed))
        )
        for id, error in connection.execute(said_there):
            if message := str((error or {}).get("message") or "").strip():
                why[id] = f"{why[id]}: {message.splitlines()[0]}"
    return {id: said[:LONGEST_WHY] for id, said in why.items() if said}


def open_dates_of(connection: Connection, ids: Collection[str]) -> list[OpenDate]:
    """Return every date whose run is not settled."""
    wanted = (
        select(backfill_run.c.backfill, backfill_run.c.logical_date, backfill_run.c.run, STATE)
        .select_from(JOINED)
        .where(DATE_OPEN, backfill_run.c.backfill.in_(sorted(ids)))
    )
    return [OpenDate(*row) for row in connection.execute(wanted)]
