"""The inbox: what people, workers and triggers want of runs, in the order of its ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Text, bindparam, select

from headway.crash_points import crash_point
from headway_coordinator.application.ports import InboxEntry, InboxKind, StorageUnavailable
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.rows import types_of
from headway_coordinator.storage.schema import INBOX_PENDING, inbox
from headway_coordinator.storage.upsert import insert

_GIVEN = ("run", "kind", "dedupe", "actor", "team", "pipeline", "body")
_READ = tuple(
    inbox.c[name]
    for name in (
        "id", "run", "kind", "dedupe", "actor", "body", "created_at", "applied_at", "result",
    )
)  # fmt: skip

Entry = tuple[str, InboxKind, str, str, Mapping[str, Any]]


class StoredInbox:
    """Implements `Inbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # `position`: ids follow the order given, whatever plan the database chooses.
        self._given = given = database.rows(position=BigInteger(), **types_of(inbox, _GIVEN))
        rows = select(*(given.c[name] for name in _GIVEN), database.now.label("created_at"))
        self._insert = (
            insert(database.dialect, inbox)
            .from_select(
                [*_GIVEN, "created_at"],
                # The condition keeps SQLite from reading ON CONFLICT as a join's ON.
                rows.where(given.c.position >= 0).order_by(given.c.position),
                include_defaults=False,
            )
            .on_conflict_do_nothing(index_elements=["dedupe"])
        )
        oldest = select(*_READ).where(INBOX_PENDING).order_by(inbox.c.id)
        self._pending = database.prepared(oldest.limit(bindparam("most", type_=BigInteger())))
        self._insert_one = database.prepared(self._insert.returning(*_READ))
        there = select(*_READ).where(inbox.c.dedupe == bindparam("dedupe", type_=Text()))
        self._there = database.prepared(there)

    @crash_point("inbox.add")
    def add(
        self, *, run: str, kind: InboxKind, dedupe: str, actor: str, body: Mapping[str, Any]
    ) -> tuple[InboxEntry, bool]:
        params = self._given.params([_row(0, (run, kind, dedupe, actor, body))])
        with self._database.prompt_line() as line:
            for row in line.ask(self._insert_one, params).rows:
                return _entry(row), True
            there = line.ask(self._there, {"dedupe": clean_text(dedupe)}).rows
        if not there:  # deleted in between
            raise StorageUnavailable("the inbox entry is gone; send it again")
        return _entry(there[0]), False

    @crash_point("inbox.add_many")
    def add_many(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        params = self._given.params(_row(position, e) for position, e in enumerate(entries))
        with self._database.prompt() as connection:
            connection.execute(self._insert, params)

    def pending(self, limit: int = 500) -> list[InboxEntry]:
        with self._database.reading_line() as line:
            return [_entry(row) for row in line.ask(self._pending, {"most": limit}).rows]


def _row(position: int, entry: Entry) -> tuple[Any, ...]:
    run, kind, dedupe, actor, body = entry
    team = pipeline = None
    if kind == "run":  # listed as a queued run until it is applied
        team, pipeline = body.get("team"), body.get("pipeline")
    return (position, run, kind, dedupe, actor, team, pipeline, body)


def _entry(row: Sequence[Any]) -> InboxEntry:
    return InboxEntry(*row)
