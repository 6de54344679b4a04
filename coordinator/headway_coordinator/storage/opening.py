"""`open_storage`: everything that the ports name, on one database."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Literal

from headway.clock import Clock, SystemClock
from headway_coordinator.application.access_ports import Access, Secrets
from headway_coordinator.application.advancing_ports import Advancing
from headway_coordinator.application.backfill_ports import Backfills
from headway_coordinator.application.notify_ports import Notifications
from headway_coordinator.application.pause_ports import Pauses
from headway_coordinator.application.ports import (
    Definitions,
    Inbox,
    Lease,
    Leases,
    Queries,
    Runs,
    Storage,
)
from headway_coordinator.application.trigger_ports import Deciding, Events, Triggers
from headway_coordinator.application.worker_ports import Sweeps, Workers
from headway_coordinator.storage.access import StoredAccess
from headway_coordinator.storage.advancing import AdvancingStatements
from headway_coordinator.storage.backfills import StoredBackfills
from headway_coordinator.storage.connecting import connect
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.deciding import DecidingStatements
from headway_coordinator.storage.definitions import StoredDefinitions
from headway_coordinator.storage.events import StoredEvents
from headway_coordinator.storage.inbox import StoredInbox
from headway_coordinator.storage.leasing import StoredLeases
from headway_coordinator.storage.notifications import StoredNotifications
from headway_coordinator.storage.pauses import StoredPauses
from headway_coordinator.storage.queries import StoredQueries
from headway_coordinator.storage.runs import StoredRuns
from headway_coordinator.storage.secrets import StoredSecrets
from headway_coordinator.storage.sweeps import StoredSweeps
from headway_coordinator.storage.triggers import StoredTriggers
from headway_coordinator.storage.workers import StoredWorkers

_LOCK_TIMEOUT = timedelta(seconds=5)
_TAKEOVER_LOCK_TIMEOUT = timedelta(seconds=2)


def open_storage(
    url: str,
    *,
    application_name: str = "headway",
    clock: Clock | None = None,
    pool_size: int = 10,
) -> Storage:
    """Return the storage on the database of `url`; it connects when it is first used.

    `clock` is SQLite's; PostgreSQL uses the server's own. `pool_size` is PostgreSQL's.

    Raises:
        DefinitionError: `url` is neither a PostgreSQL server's nor a SQLite file's.
    """
    clock = clock or SystemClock()
    main = connect(
        url,
        application_name=application_name,
        clock=clock,
        pool_size=pool_size,
        lock_timeout=_LOCK_TIMEOUT,
    )
    leases = connect(
        url,
        application_name=f"{application_name} lease",
        clock=clock,
        pool_size=1,
        lock_timeout=_TAKEOVER_LOCK_TIMEOUT,
    )
    return DatabaseStorage(main, leases)


class DatabaseStorage:
    """Implements `Storage`. Leases have connections that nothing else uses."""

    def __init__(self, database: Database, lease_database: Database) -> None:
        self._database = database
        self._lease_database = lease_database
        self._advancing = AdvancingStatements(database)
        self.dialect: Literal["postgresql", "sqlite"] = database.dialect
        self.leases: Leases = StoredLeases(lease_database)
        self.runs: Runs = StoredRuns(database)
        self.inbox: Inbox = StoredInbox(database)
        self.workers: Workers = StoredWorkers(database)
        self.sweeps: Sweeps = StoredSweeps(database)
        self.definitions: Definitions = StoredDefinitions(database)
        self.access: Access = StoredAccess(database)
        self.secrets: Secrets = StoredSecrets(database)
        self._deciding = DecidingStatements(database)
        self.triggers: Triggers = StoredTriggers(database)
        self.events: Events = StoredEvents(database)
        self.backfills: Backfills = StoredBackfills(database)
        self.pauses: Pauses = StoredPauses(database)
        self.notifications: Notifications = StoredNotifications(database)
        self.queries: Queries = StoredQueries(database, self.workers, self.sweeps)

    def advancing(self, lease: Lease) -> AbstractContextManager[Advancing]:
        return self._advancing.open(lease)

    def deciding(self, lease: Lease) -> AbstractContextManager[Deciding]:
        return self._deciding.open(lease)

    def close(self) -> None:
        self._database.close()
        self._lease_database.close()
