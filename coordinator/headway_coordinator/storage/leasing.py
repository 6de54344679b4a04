"""Named leases: at most one holder, an epoch that only grows, the database's clock alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, bindparam, literal, or_, select, text, update

from headway.crash_points import crash_point
from headway.errors import HeadwayError
from headway_coordinator.application.ports import Lease, StorageUnavailable
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.schema import lease as table
from headway_coordinator.storage.upsert import insert

_COLUMNS = (table.c.name, table.c.epoch, table.c.holder, table.c.boot, table.c.expires_at)


# An advancing transaction takes milliseconds; this is a second more than one may idle.
STUCK_AFTER = timedelta(seconds=6)
# Advancing transactions alone lock the table so. A role may end its own sessions.
_ENDING = text(
    """
    SELECT pg_terminate_backend(session.pid)
    FROM pg_locks AS held JOIN pg_stat_activity AS session ON session.pid = held.pid
    WHERE held.relation = 'lease'::regclass AND held.mode = 'RowShareLock' AND held.granted
      AND session.datname = current_database() AND session.pid <> pg_backend_pid()
      AND session.xact_start < clock_timestamp() - CAST(:old AS interval)
      AND EXISTS (SELECT 1 FROM lease WHERE name = :name AND expires_at <= clock_timestamp())
    """
)
log = structlog.get_logger("headway.leasing")

_HOLD = ("name", "epoch", "holder", "boot")


def held_by(lease: Lease) -> ColumnElement[bool]:
    """Return the condition that the row is this very hold's."""
    return and_(
        table.c.name == lease.name,
        table.c.epoch == lease.epoch,
        table.c.holder == lease.holder,
        table.c.boot == lease.boot,
    )


def held_by_parameters() -> ColumnElement[bool]:
    """Return the same condition for a statement that is made once: `held_parameters` fill it."""
    return and_(*(table.c[name] == bindparam(f"held_{name}") for name in _HOLD))


def held_parameters(lease: Lease) -> dict[str, Any]:
    return {f"held_{name}": getattr(lease, name) for name in _HOLD}


class StoredLeases:
    """Implements `Leases` on a connection that nothing else uses."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._expiry = database.later("term")
        self._found = (
            insert(database.dialect, table)
            .values(
                name=bindparam("b_name"),
                epoch=1,
                holder=bindparam("b_holder"),
                boot=bindparam("b_boot"),
                expires_at=self._expiry,
            )
            .on_conflict_do_nothing()
            .returning(*_COLUMNS)
        )

    @crash_point("leases.acquire")
    def acquire(self, name: str, *, holder: str, boot: str, term: timedelta) -> Lease | None:
        """Take the lease if it is free, expired or this boot's already; the epoch grows by one.

        The UPDATE locks the row only if it takes it, so that waiting coordinators disturb nobody;
        it changes a key column, so it waits for an open advancing transaction. One that is stuck
        is ended, for the next try.
        """
        free = or_(
            table.c.expires_at <= self._database.now,
            and_(table.c.holder == holder, table.c.boot == boot),
        )
        takeover = (
            update(table)
            .where(table.c.name == name, free)
            .values(epoch=table.c.epoch + 1, holder=holder, boot=boot, expires_at=self._expiry)
            .returning(*_COLUMNS)
        )
        try:
            with self._database.prompt() as connection:
                span = {"term": self._database.span(term)}
                row = connection.execute(takeover, span).one_or_none()
                if row is None:
                    names = {"b_name": name, "b_holder": holder, "b_boot": boot}
                    row = connection.execute(self._found, {**names, **span}).one_or_none()
        except StorageUnavailable:
            self._end_stuck(name)
            raise
        return _lease(row)

    def _end_stuck(self, name: str) -> None:
        """End an old transaction that keeps a lease which is over.

        PostgreSQL ends one that idles for 5 s. To it a leader does not idle that was stopped after
        a part of its statements had been sent, and before the word that these were all.
        """
        if self._database.dialect != "postgresql":
            return
        with suppress(HeadwayError), self._database.prompt() as connection:
            ended = connection.execute(_ENDING, {"name": name, "old": STUCK_AFTER}).all()
            if ended:
                log.warning("stuck_transaction_ended", lease=name, sessions=len(ended))

    @crash_point("leases.renew")
    def renew(self, lease: Lease, term: timedelta) -> Lease | None:
        """Move the expiry, which is no key column: FOR KEY SHARE never delays it."""
        renewal = (
            update(table).where(held_by(lease)).values(expires_at=self._expiry).returning(*_COLUMNS)
        )
        with self._database.prompt() as connection:
            span = self._database.span(term)
            return _lease(connection.execute(renewal, {"term": span}).one_or_none())

    @crash_point("leases.release")
    def release(self, lease: Lease) -> None:
        with self._database.prompt() as connection:
            connection.execute(
                update(table).where(held_by(lease)).values(expires_at=self._database.now)
            )

    def current(self, name: str) -> Lease | None:
        with self._database.reading() as connection:
            return _lease(
                connection.execute(
                    select(*_COLUMNS).where(table.c.name == literal(name))
                ).one_or_none()
            )


def _lease(row: Sequence[Any] | None) -> Lease | None:
    return None if row is None else Lease(*row)
