"""What people hold back, as rows; each change leaves an audit row in the same transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, delete, select

from headway.crash_points import crash_point
from headway_coordinator.application.pause_ports import Pause, PauseKind
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import audit
from headway_coordinator.storage.schema import pause as pauses
from headway_coordinator.storage.upsert import insert

_READ = tuple(pauses.c[name] for name in ("kind", "team", "name", "at", "by", "reason"))


class StoredPauses:
    """Implements `Pauses`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._all = database.prepared(select(*_READ).order_by(*_READ[:3]))

    def all(self) -> list[Pause]:
        with self._database.reading_line() as line:
            return [Pause(*row) for row in line.ask(self._all, {}).rows]

    @crash_point("pauses.hold")
    def hold(
        self, kind: PauseKind, team: str, name: str, *, actor: str, reason: str | None
    ) -> bool:
        place = {"kind": kind, "team": team, "name": name}
        by = {"by": clean_text(actor), "reason": None if reason is None else clean_text(reason)}
        new = insert(self._database.dialect, pauses).values(at=self._database.now, **place, **by)
        with self._database.transaction() as connection:
            return self._steer(connection, new.on_conflict_do_nothing(), place, by, to="paused")

    @crash_point("pauses.lift")
    def lift(
        self, kind: PauseKind, team: str, name: str, *, actor: str, reason: str | None
    ) -> bool:
        place = {"kind": kind, "team": team, "name": name}
        by = {"by": clean_text(actor), "reason": None if reason is None else clean_text(reason)}
        gone = delete(pauses).where(and_(*(pauses.c[k] == v for k, v in place.items())))
        with self._database.transaction() as connection:
            return self._steer(connection, gone, place, by, to="active")

    @crash_point("pauses.steer.rows")
    def _steer(
        self, connection: Connection, change: Any, place: dict[str, Any], by: Any, *, to: str
    ) -> bool:
        # Not by the count of rows: an insert's is not known everywhere.
        if connection.execute(change.returning(pauses.c.kind)).one_or_none() is None:
            return False
        id = "/".join(part for part in (place["team"], place["name"]) if part)
        entry = {"entity": "pause", "kind": place["kind"], "id": id, "to": to}
        connection.execute(
            insert(self._database.dialect, audit).values(
                at=self._database.now,
                epoch=0,  # no leader did it
                holder="",
                actor=by["by"],
                team=place["team"],
                run="",
                transitions=[{**entry, "reason": by["reason"]} if by["reason"] else entry],
            )
        )
        return True
