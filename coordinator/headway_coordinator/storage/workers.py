"""Workers: registration, claims, heartbeats, and who is there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Text, bindparam, func, select, update

from headway.crash_points import crash_point
from headway.errors import ConflictError, ForbiddenError
from headway.protocol.messages import ClaimBatch, Heartbeat, Register
from headway.protocol.queues import step_queue
from headway_coordinator.application.worker_ports import (
    AttemptHold,
    ClaimResult,
    HeartbeatResult,
    WorkerInfo,
)
from headway_coordinator.storage.claims import Claims
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.heartbeats import Heartbeats
from headway_coordinator.storage.schema import attempt, worker, worker_boot
from headway_coordinator.storage.upsert import insert

_INFO = tuple(
    worker.c[name]
    for name in (
        "worker", "boot", "team", "queues", "slots", "slots_free", "draining", "hostname",
        "version", "registered_at", "seen_at",
    )
)  # fmt: skip
_HOLD = tuple(
    attempt.c[name]
    for name in ("id", "run_id", "step", "no", "fence", "state", "team", "worker", "boot")
)


class StoredWorkers:
    """Implements `Workers`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = database.rows(id=Text())
        self._earliest = database.later("ago")
        live = select(*_INFO).where(worker.c.seen_at > self._earliest).order_by(worker.c.worker)
        self._live = database.prepared(live)
        held = select(*_HOLD).where(attempt.c.id.in_(select(self._wanted.c.id)))
        self._holders = database.prepared(held)
        self._holders_of_team = database.prepared(
            held.where(attempt.c.team == bindparam("of_team", type_=Text()))
        )
        claims, heartbeats = Claims(database), Heartbeats(database)
        self._claims = claims
        self._heartbeats = heartbeats

    @crash_point("workers.register")
    def register(self, team: str, message: Register) -> None:
        """Make this boot the worker's present one; the same boot again changes nothing.

        Raises:
            ForbiddenError: the worker's id belongs to another team.
            ConflictError: a newer boot has registered (code `superseded`).
        """
        with self._database.transaction() as connection:
            self._register(connection, team, message)

    @crash_point("workers.register.rows")
    def _register(self, connection: Connection, team: str, message: Register) -> None:
        fields = self._fields(team, message)
        new = (
            insert(self._database.dialect, worker)
            .values(worker=message.worker, boot=message.boot, **fields)
            .on_conflict_do_nothing()
            .returning(worker.c.worker)
        )
        if connection.execute(new).one_or_none() is None:
            self._supersede(connection, team, message, fields)
        self._note_boot(connection, message)

    def _supersede(
        self, connection: Connection, team: str, message: Register, fields: dict[str, Any]
    ) -> None:
        there = connection.execute(
            select(worker.c.team, worker.c.boot)
            .where(worker.c.worker == message.worker)
            .with_for_update()
        ).one()
        if there.team != team:
            raise ForbiddenError(
                "worker_of_another_team",
                "this worker id belongs to another team",
                "Give each worker a state folder of its own.",
            )
        if there.boot != message.boot and self._is_known(connection, message):
            raise ConflictError(
                "superseded", "a newer boot of this worker has registered", "Stop this process."
            )
        connection.execute(
            update(worker)
            .where(worker.c.worker == message.worker)
            .values(boot=message.boot, **fields)
        )

    def _is_known(self, connection: Connection, message: Register) -> bool:
        known = select(worker_boot.c.seq).where(
            worker_boot.c.worker == message.worker, worker_boot.c.boot == message.boot
        )
        return connection.execute(known).one_or_none() is not None

    def _note_boot(self, connection: Connection, message: Register) -> None:
        """Number the boot after all earlier ones; the worker's row is locked by now."""
        last = select(func.max(worker_boot.c.seq)).where(worker_boot.c.worker == message.worker)
        seq = (connection.execute(last).scalar() or 0) + 1
        connection.execute(
            insert(self._database.dialect, worker_boot)
            .values(
                worker=message.worker,
                boot=message.boot,
                seq=seq,
                registered_at=self._database.now,
            )
            .on_conflict_do_nothing()
        )

    def _fields(self, team: str, message: Register) -> dict[str, Any]:
        return {
            "team": team,
            "queues": [step_queue(team, name) for name in message.classes],
            "slots": message.slots,
            "slots_free": message.slots,
            "draining": False,
            "hostname": clean_text(message.hostname),
            "machine_boot": clean_text(message.machine_boot),
            "version": clean_text(message.version),
            "registered_at": self._database.now,
            "seen_at": self._database.now,
        }

    def claim(self, team: str, batch: ClaimBatch, lease: timedelta) -> list[ClaimResult] | None:
        return self._claims.claim(team, batch, lease)

    def heartbeat(self, team: str, beat: Heartbeat, lease: timedelta) -> HeartbeatResult:
        return self._heartbeats.heartbeat(team, beat, lease)

    def live(self, within: timedelta) -> list[WorkerInfo]:
        with self._database.reading_line() as line:
            ago = self._database.span(-within)
            return [_info(row) for row in line.ask(self._live, {"ago": ago}).rows]

    def all(self) -> list[WorkerInfo]:
        with self._database.reading() as connection:
            return [_info(r) for r in connection.execute(select(*_INFO).order_by(worker.c.worker))]

    def holders(self, attempts: Sequence[str], *, team: str | None) -> dict[str, AttemptHold]:
        if not attempts:
            return {}
        params = self._wanted.params((id,) for id in attempts)
        wanted = self._holders
        if team is not None:
            wanted, params = self._holders_of_team, {**params, "of_team": team}
        with self._database.reading_line() as line:
            return {row.id: AttemptHold(*row) for row in line.ask(wanted, params).rows}


def _info(row: Any) -> WorkerInfo:
    worker, boot, team, queues, *rest = row
    return WorkerInfo(worker, boot, team, tuple(queues), *rest)
