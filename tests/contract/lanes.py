"""A pipeline that is backfilled, in a few words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headway_coordinator.application.backfill_ports import (
    NewBackfill,
    StoredBackfill,
)
from headway_coordinator.application.backfilling import Backfiller
from headway_coordinator.application.conditions import Conditions
from headway_coordinator.application.ports import (
    InboxEntry,
    Lease,
)
from headway_coordinator.application.requests import requested_run
from headway_coordinator.engine.model import RunMoved
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RunStatus
from headway_coordinator.schedule.backfilling import Date
from tests.contract.deciders import Deciders, InProcess, schedule_trigger
from tests.contract.world import TEAM, World, plan

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BODY = {"schedule": schedule_trigger(every=86400)["schedule"], "if": None, "params": {}}


class Lane:
    """A world in which a pipeline is backfilled."""

    def __init__(self, world: World) -> None:
        self.deciders = Deciders(world)
        self.world = world
        self.storage = world.storage
        self.backfills = world.storage.backfills
        self.backfiller = Backfiller(self.storage, Conditions(InProcess()), self.deciders.clock)
        self._number = 0

    def new(self, **keys: Any) -> NewBackfill:
        self._number += 1
        given: dict[str, Any] = {
            "id": f"b{self._number}",
            "team": TEAM,
            "pipeline": "daily",
            "trigger": "schedule",
            "dedupe": f"backfill:{self._number}",
            "request": "asked",
            "actor": "ann",
            "body": BODY,
            "params": {},
            "from_at": FIRST,
            "until_at": FIRST + 30 * DAY,
            "newest_first": False,
            "choice": "all",
            "priority": -100,
            "max_in_flight": 2,
            **keys,
        }
        return NewBackfill(**given)

    def start(self, count: int = 5, **keys: Any) -> str:
        stored, created = self.backfills.create(self.new(**keys), dates(count))
        assert created
        return stored.id

    def fire(self, lease: Lease | None = None) -> int:
        """Look until there is nothing to do at once; return how many runs were started."""
        started = 0
        while True:
            outcome, again = self.backfiller.fire(lease or self.world.lease)
            started += outcome.runs
            if again is None:
                return started

    def asked(self) -> list[InboxEntry]:
        return self.deciders.runs()

    def days(self) -> list[int]:
        """Return the days of January whose runs are asked for and not there yet, in order."""
        return [requested_run(entry).logical_date.day for entry in self.asked()]

    def take_in(self) -> list[str]:
        """Let the leader make the runs that are asked for; return their ids."""
        entries = self.asked()
        with self.storage.advancing(self.world.lease) as transaction:
            runs = [replace(requested_run(e), status=RunStatus.RUNNING) for e in entries]
            transaction.create_runs([RunState.of(plan(), run, []) for run in runs])
            transaction.mark_applied([(e.id, "created") for e in entries])
        return [e.run for e in entries]

    def end(
        self, *runs: str, state: RunStatus = RunStatus.SUCCEEDED, reason: str | None = None
    ) -> None:
        ended: dict[str, Any] = {"status": state, "finished_at": FIRST, "reason": reason}
        with self.storage.advancing(self.world.lease) as transaction:
            before = [self.world.load(run).run for run in runs]
            transaction.move_runs([RunMoved(run, replace(run, **ended)) for run in before])

    def run_all(self) -> int:
        """Let everything run until there is nothing left; return how many runs that took."""
        count = 0
        while self.fire() or self.asked():
            runs = self.take_in()
            self.end(*runs)
            count += len(runs)
        return count

    def one(self, id: str) -> StoredBackfill:
        found = self.backfills.get(id)
        assert found is not None
        return found

    def states(self, id: str) -> list[str]:
        rows, _ = self.backfills.dates(self.one(id), 100, None)
        return [row["state"] for row in rows]


def dates(count: int) -> list[Date]:
    ticks = [FIRST + number * DAY for number in range(count)]
    return [Date(tick, tick - DAY, tick) for tick in ticks]
