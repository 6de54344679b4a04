"""The whole cluster in one process, on a clock that moves only when it is told to.

The storage is real (SQLite), the use cases and loops are real; broker, workers and hosts are
simulated. Whatever anybody does is told in `out`, one line a thing, in the order of its happening.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from structlog.testing import capture_logs

from headway.clock import ManualClock, rfc3339
from headway.errors import HeadwayError
from headway.plan.model import Plan
from headway.protocol.messages import Dispatch, Sealed
from headway.spec import bind_params, load
from headway_coordinator.application.completions import record_completions
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.engine import invariants
from headway_coordinator.engine.state import RunState
from headway_coordinator.loops.leadership import LEASE_NAME
from headway_coordinator.storage.opening import open_storage
from headway_coordinator.storage.schema import metadata
from tests.scenario.broker import Broker
from tests.scenario.coordinator import Coordinator, HostClock
from tests.scenario.faults import Died, FaultyStorage
from tests.scenario.telling import audit_line, log_line
from tests.scenario.worker import TEAM, Worker

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
KEY = b"scenario"
_BEAT_EVERY_S = 3.0
_HEADER = f"headway: 1\nteam: {TEAM}\nowner: ann@example.com\n"


class World:
    """Everything there is. Call `close` at the end."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(START)
        self.out: list[str] = []
        self._url = f"sqlite:///{folder / 'headway.db'}"
        self._engine = create_engine(self._url)
        metadata.create_all(self._engine)
        self.storage = open_storage(self._url, clock=self.clock)
        self.api = FaultyStorage(self.storage)
        self.api_up = True
        self.broker = Broker(self.tell, self.name)
        self.coordinators: dict[str, Coordinator] = {}
        self.workers: dict[str, Worker] = {}
        self.plans = Plans(self.storage.definitions)
        self.runs: dict[str, Plan] = {}
        self.sent: list[Sealed] = []
        self.tampered = False
        self._audited = 0
        self._asked = 0

    def close(self) -> None:
        self.storage.close()
        self._engine.dispose()

    # --- names -----------------------------------------------------------------------------------

    def tell(self, line: str) -> None:
        self.out.append(line)

    def name(self, attempt: str) -> str:
        """Return `run/step.no` of an attempt's id."""
        run, index, no = attempt.rsplit("-", 2)
        return f"{run}/{self.runs[run].steps[int(index)].key}.{no}"

    def attempt(self, name: str) -> tuple[str, str, int]:
        """Return (id, queue, fence) of what `run/step.no` names."""
        run, _, rest = name.partition("/")
        step, _, no = rest.rpartition(".")
        planned = self.runs[run].by_key[step]
        return f"{run}-{planned.index}-{no}", f"{TEAM}.{planned.resource_class}", int(no)

    # --- people ----------------------------------------------------------------------------------

    def define(self, definition: str) -> None:
        """Store a definition; what every one has to say (team, owner) is said here."""
        loaded = load(_HEADER + definition, "pipeline.yaml")
        if loaded.spec is None:
            raise AssertionError("\n".join(str(problem) for problem in loaded.problems))
        spec = loaded.spec
        self.storage.definitions.put(
            canonical=spec.canonical, digest=spec.digest, source=definition, actor="ann"
        )

    def request_run(self, id: str, pipeline: str, params: Mapping[str, Any], actor: str) -> None:
        definition = self.storage.definitions.current(pipeline, TEAM)[0]
        self.runs[id] = self.plans.get(definition.digest)
        named = {"id": id, "pipeline": pipeline, "team": TEAM, "logical_date": START}
        body = {
            "team": TEAM,
            "pipeline": pipeline,
            "digest": definition.digest,
            "params": bind_params(definition.canonical, params, named),
            "priority": definition.canonical["priority"],
            "logical_date": rfc3339(START),
        }
        self.ask(id, "run", body, actor)

    def ask(self, run: str, kind: Any, body: Mapping[str, Any], actor: str) -> None:
        """Put a wish into the inbox, as the API does, and nudge the leader."""
        self._asked += 1
        dedupe = f"{kind}:{run}:{self._asked}"
        self.api.inbox.add(run=run, kind=kind, dedupe=dedupe, actor=actor, body=body)
        self.broker.nudge()

    # --- workers ---------------------------------------------------------------------------------

    def add_worker(self, name: str, slots: int, classes: list[str]) -> None:
        worker = Worker(name, self.api, KEY, slots, classes)
        worker.register()
        worker.beat_at = self.clock.monotonic()
        self.workers[name] = worker

    def take(self, worker: Worker, limit: int) -> None:
        """Let the worker receive up to `limit` messages, one queue after the other, and claim."""
        received: list[Dispatch] = []
        for queue in worker.queues:
            waiting = self.broker.queues.get(queue)
            while waiting and limit:
                dispatch = waiting.popleft()
                limit -= 1
                if worker.knows(dispatch.attempt) or dispatch in received:
                    label = self.broker.label(dispatch)
                    self.tell(f"{worker.name} drops {label}: it has it already")
                else:
                    received.append(dispatch)
        if received:
            answers = worker.claim(received, self.clock.now())
            for dispatch, what in zip(received, answers, strict=True):
                self.tell(f"{worker.name} claims {self.broker.label(dispatch)}: {what}")

    def post(self, sealed: Sealed) -> None:
        """Send a completion by HTTP."""
        if not self.api_up:
            self.tell("HTTP: no answer")
            return
        try:
            received = record_completions(self.api, KEY, TEAM, [sealed])
        except HeadwayError as error:
            self.tell(f"HTTP: no answer ({error.code})")
            return
        for attempt in received.accepted:
            self.tell(f"HTTP: {self.name(attempt)} accepted")
        for attempt, reason in received.refused.items():
            self.tell(f"HTTP: {attempt} refused: {reason}")
        self.broker.nudge()

    def beat(self, worker: Worker) -> None:
        """Send the worker's heartbeat; tell what is more than `renewed`."""
        worker.beat_at = self.clock.monotonic()
        if not self.api_up:
            return
        try:
            answer = worker.beat()
        except StorageUnavailable:
            return
        if answer.superseded:
            self.tell(f"{worker.name} hears: superseded")
        for what in ("lost", "cancel", "acknowledged", "resend"):
            names = [self.name(a) for a in getattr(answer, what)]
            if names:
                self.tell(f"{worker.name} hears: {what} {', '.join(names)}")
        for attempt in answer.resend:
            self.post(worker.unacknowledged[attempt][1])

    # --- coordinators ----------------------------------------------------------------------------

    def start(self, name: str, ahead: timedelta) -> None:
        clock = HostClock(self.clock, ahead=ahead)
        storage = FaultyStorage(self.storage)
        self.coordinators[name] = Coordinator(
            name, storage=storage, broker=self.broker, clock=clock, key=KEY, tell=self.tell
        )

    def work(self, *names: str) -> None:
        """Let the coordinators work until they have nothing to do."""
        for name, coordinator in self.coordinators.items():
            if coordinator.alive and not coordinator.paused and (not names or name in names):
                with self._listening(coordinator):
                    coordinator.work()

    def stop(self, name: str) -> None:
        coordinator = self.coordinators[name]
        with self._listening(coordinator):
            coordinator.loop.end()
        coordinator.alive = False

    @contextmanager
    def _listening(self, coordinator: Coordinator) -> Iterator[None]:
        """Tell what the coordinator logs and what it wrote; note its death."""
        before = len(self.out)
        with capture_logs() as logs:
            try:
                yield
            except Died:
                coordinator.alive = False
                logs.append({"event": "died"})
            except AssertionError:
                raise
            except Exception as error:  # as the runner of the loops does
                logs.append({"event": "duty_failed", "error": repr(error)})
        published, self.out[before:] = self.out[before:], []
        lines = (log_line(entry) for entry in logs)
        self.out += [f"{coordinator.name}: {line}" for line in lines if line]
        self.tell_audit()
        self.out += published

    def tell_audit(self) -> None:
        for row in self.rows(
            "SELECT * FROM audit WHERE id > :last ORDER BY id", last=self._audited
        ):
            self._audited = row["id"]
            self.tell(audit_line(row, self))

    # --- time ------------------------------------------------------------------------------------

    def wait(self, length: timedelta) -> None:
        """Let time pass, second by second; everybody does what is due.

        What is said several times is told once, with the time of the first.
        """
        told: list[tuple[str, str]] = []
        end = self.clock.now() + length
        while self.clock.now() < end:
            self.clock.advance(min(timedelta(seconds=1), end - self.clock.now()))
            before = len(self.out)
            for worker in self.workers.values():
                due = self.clock.monotonic() - worker.beat_at >= _BEAT_EVERY_S
                if worker.alive and not worker.silent and due:
                    self.beat(worker)
            self.work()
            at = f"{self.clock.monotonic():g}s"
            told += [(at, line) for line in self.out[before:]]
            del self.out[before:]
        times = Counter(line for _, line in told)
        for at, line in told:
            if line in times:
                again = times.pop(line)
                self.tell(f"[{at}] {line}" + (f" (×{again})" if again > 1 else ""))

    # --- looking ---------------------------------------------------------------------------------

    def rows(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        with self._engine.begin() as connection:
            result = connection.execute(text(sql), params)
            return [dict(r._mapping) for r in result] if result.returns_rows else []

    def check(self) -> list[str]:
        """Return what must never be: broken invariants, a leader's memory unlike the rows."""
        problems: list[str] = []
        tampered, self.tampered = self.tampered, False
        for stored in self.storage.runs.load(list(self.runs)):
            run, plan = stored.run, self.runs[stored.run.id]
            state = RunState.of(plan, run, stored.steps)
            if stored.quarantine is None:
                problems += [f"{run.id} (rows): {p}" for p in invariants.check(state)]
            if not tampered:
                problems += self._check_memories(state)
        return [*problems, *self._check_attempts()]

    def _check_memories(self, rows: RunState) -> Iterator[str]:
        for coordinator in self.coordinators.values():
            lease = self.storage.leases.current(LEASE_NAME)
            leads = coordinator.alive and lease is not None and lease.holder == coordinator.name
            known = coordinator.advancer.state_of(rows.run.id)
            if not leads or known is None or coordinator.storage.away:
                continue
            for problem in invariants.check(known):
                yield f"{coordinator.name}: {rows.run.id}: {problem}"
            if known.run != rows.run:
                yield f"{coordinator.name}: {known.run} is stored as {rows.run}"
            for key, step in known.steps.items():
                if step != rows.steps[key]:
                    yield f"{coordinator.name}: {step} is stored as {rows.steps[key]}"

    def _check_attempts(self) -> Iterator[str]:
        live = (
            "SELECT run_id, step, count(*) AS live FROM attempt"
            " WHERE state IN ('dispatched', 'running') GROUP BY run_id, step HAVING count(*) > 1"
        )
        for row in self.rows(live):
            yield f"{row['run_id']}/{row['step']} has {row['live']} live attempts"
        ended = (
            "SELECT a.id, a.state FROM attempt a JOIN run r ON r.id = a.run_id WHERE a.state"
            " IN ('dispatched', 'running') AND r.state NOT IN ('running', 'cancelling', 'paused')"
        )
        for row in self.rows(ended):
            yield f"{row['id']} is {row['state']} in a run that has ended"
