"""Events that came, and what each trigger decided on each of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, exists, func, or_, select, tuple_

from headway.crash_points import crash_point
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.application.trigger_ports import (
    Earlier,
    EventFilter,
    Gathered,
    NewEvent,
    StoredEvent,
)
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.lists import newest, page_of
from headway_coordinator.storage.rows import Rows, types_of
from headway_coordinator.storage.schema import (
    DECISION_DEDUPED,
    DECISION_WAITING,
    EVENT_UNDECIDED,
    decision,
    trigger,
    upstream,
)
from headway_coordinator.storage.upsert import insert

GIVEN = ("id", "team", "origin", "subject", "dedupe", "actor", "event", "type", "source")
_READ = tuple(
    upstream.c[name]
    for name in (
        "id", "team", "origin", "subject", "dedupe", "actor", "event", "received_at", "decided_at",
    )
)  # fmt: skip
_LISTED = tuple(
    upstream.c[name]
    for name in ("id", "team", "origin", "subject", "type", "source", "received_at", "decided_at")
)


def event_row(new: NewEvent) -> tuple[Any, ...]:
    """Return the row of a new event, in the order of `GIVEN`."""
    kept = new.event
    texts = (new.id, new.team, new.origin, new.subject, new.dedupe, new.actor)
    return (*texts, kept, str(kept.get("type") or ""), str(kept.get("source") or ""))


def telling(database: Database, given: Rows) -> Any:
    """Return the statement that keeps given events of runs and assets.

    Most runs' ends are nobody's business: those are kept that some trigger listens to.
    """
    heard = exists().where(trigger.c.kind == given.c.origin, trigger.c.subject == given.c.subject)
    rows = select(*(given.c[name] for name in GIVEN), database.transaction_now)
    return (
        insert(database.dialect, upstream)
        .from_select(
            [*GIVEN, "received_at"],
            rows.where(or_(given.c.origin == "asset", heard)),
            include_defaults=False,
        )
        .on_conflict_do_nothing(index_elements=["dedupe"])
    )


class StoredEvents:
    """Implements `Events`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._given = given = database.rows(**types_of(upstream, GIVEN))
        rows = select(*(given.c[name] for name in GIVEN), database.now.label("received_at"))
        self._insert = (
            insert(database.dialect, upstream)
            # The condition keeps SQLite from reading ON CONFLICT as a join's ON.
            .from_select(
                [*GIVEN, "received_at"],
                rows.where(given.c.id.is_not(None)),
                include_defaults=False,
            )
            .on_conflict_do_nothing(index_elements=["dedupe"])
        )

    @crash_point("events.add")
    def add(self, events: Sequence[NewEvent]) -> list[tuple[str, bool]]:
        if not events:
            return []
        with self._database.transaction() as connection:
            return self._add(connection, events)

    @crash_point("events.add.rows")
    def _add(self, connection: Connection, events: Sequence[NewEvent]) -> list[tuple[str, bool]]:
        keys = [clean_text(e.dedupe) for e in events]
        connection.execute(self._insert, self._given.params(event_row(e) for e in events))
        wanted = select(upstream.c.dedupe, upstream.c.id).where(upstream.c.dedupe.in_(keys))
        there = {row.dedupe: row.id for row in connection.execute(wanted)}
        if not there.keys() >= set(keys):  # deleted in between
            raise StorageUnavailable("an event that was there is gone; send it again")
        return [(there[key], there[key] == e.id) for key, e in zip(keys, events, strict=True)]

    def undecided(self, limit: int) -> list[StoredEvent]:
        wanted = select(*_READ).where(EVENT_UNDECIDED)
        return self._read(wanted.order_by(upstream.c.received_at, upstream.c.id).limit(limit))

    def get(self, id: str) -> StoredEvent | None:
        found = self.many([id])
        return found[0] if found else None

    def many(self, ids: Collection[str]) -> list[StoredEvent]:
        names = sorted({clean_text(id) for id in ids})
        return self._read(select(*_READ).where(upstream.c.id.in_(names)))

    def earlier(
        self, keys: Collection[tuple[str, str, str, str]], since: datetime
    ) -> list[Earlier]:
        if not keys:
            return []
        place = (
            decision.c.team, decision.c.pipeline, decision.c.trigger, decision.c.dedupe_key,
        )  # fmt: skip
        wanted = (
            select(*place, decision.c.run, upstream.c.received_at)
            .join(upstream, upstream.c.id == decision.c.event)
            .where(
                DECISION_DEDUPED,
                decision.c.outcome.in_(("matched", "waiting")),
                tuple_(*place).in_(sorted(keys)),
                upstream.c.received_at >= since,
            )
            .order_by(upstream.c.received_at)
        )
        with self._database.reading() as connection:
            return [Earlier(*row) for row in connection.execute(wanted)]

    def gathered(self) -> list[Gathered]:
        place = (decision.c.team, decision.c.pipeline, decision.c.trigger)
        wanted = (
            select(*place, func.count(), func.min(decision.c.at), func.max(decision.c.at))
            .where(DECISION_WAITING)
            .group_by(*place)
        )
        with self._database.reading() as connection:
            return [Gathered(*row) for row in connection.execute(wanted)]

    def waiting(self, trigger: tuple[str, str, str], limit: int) -> list[StoredEvent]:
        wanted = _waiting_for(select(*_READ), trigger)
        return self._read(wanted.order_by(decision.c.at, upstream.c.id).limit(limit))

    def subjects_waiting(self, trigger: tuple[str, str, str]) -> set[str]:
        wanted = _waiting_for(select(upstream.c.subject), trigger).distinct()
        with self._database.reading() as connection:
            return set(connection.execute(wanted).scalars())

    @crash_point("events.forget")
    def forget(self, older_than: timedelta, limit: int) -> int:
        waiting = select(decision.c.event).where(
            decision.c.event == upstream.c.id, DECISION_WAITING
        )
        old = (
            select(upstream.c.id)
            .where(
                upstream.c.received_at < self._database.later("age"),
                upstream.c.decided_at.is_not(None),
                ~waiting.exists(),
            )
            .order_by(upstream.c.received_at)
            .limit(limit)
        )
        gone = delete(upstream).where(upstream.c.id.in_(old))
        with self._database.prompt() as connection:
            return connection.execute(gone, {"age": self._database.span(-older_than)}).rowcount

    def listing(self, wanted: EventFilter) -> tuple[list[dict[str, Any]], str | None]:
        rows = select(*_LISTED)
        if wanted.source is not None:
            rows = rows.where(upstream.c.source == clean_text(wanted.source))
        if wanted.type is not None:
            rows = rows.where(upstream.c.type == clean_text(wanted.type))
        if wanted.outcome is not None or wanted.pipeline is not None:
            made = _of_deciders(select(decision.c.event), wanted.deciders)
            made = made.where(decision.c.event == upstream.c.id)
            if wanted.outcome is not None:
                made = made.where(decision.c.outcome == wanted.outcome)
            if wanted.pipeline is not None:
                made = made.where(decision.c.pipeline == clean_text(wanted.pipeline))
            rows = rows.where(made.exists())
        at, id = upstream.c.received_at, upstream.c.id
        rows = newest(rows, wanted, team=upstream.c.team, at=at, id=id)
        with self._database.reading() as connection:
            found = [dict(row._mapping) for row in connection.execute(rows)]
            page, following = page_of(
                found, wanted.limit, lambda row: (row["received_at"], row["id"])
            )
            ids = [row["id"] for row in page]
            made_of: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
            decided = _of_deciders(_decided(), wanted.deciders)
            for row in connection.execute(decided.where(decision.c.event.in_(ids))):
                made_of[row.event].append(_shown(row))
        for shown in page:
            shown["decisions"] = made_of[shown["id"]]
        return page, following

    def decisions(self, event: str) -> list[dict[str, Any]]:
        with self._database.reading() as connection:
            wanted = _decided().where(decision.c.event == clean_text(event))
            return [_shown(row) for row in connection.execute(wanted)]

    def _read(self, wanted: Any) -> list[StoredEvent]:
        with self._database.reading() as connection:
            return [StoredEvent(*row) for row in connection.execute(wanted)]


def _waiting_for(rows: Any, trigger: tuple[str, str, str]) -> Any:
    team, pipeline, name = trigger
    return rows.join(decision, decision.c.event == upstream.c.id).where(
        DECISION_WAITING,
        decision.c.team == team,
        decision.c.pipeline == pipeline,
        decision.c.trigger == name,
    )


def _decided() -> Any:
    columns = ("event", "team", "pipeline", "trigger", "outcome", "reason", "run", "at")
    made = select(*(decision.c[name] for name in columns))
    return made.order_by(decision.c.team, decision.c.pipeline, decision.c.trigger)


def _of_deciders(rows: Any, teams: Sequence[str] | None) -> Any:
    return rows if teams is None else rows.where(decision.c.team.in_(teams))


def _shown(row: Any) -> dict[str, Any]:
    made = dict(row._mapping)
    del made["event"]
    return made
