"""What the engine measures, for Prometheus; one registry a process, on a listener of its own."""

from __future__ import annotations

from collections.abc import Callable
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from headway.errors import UnavailableError
from headway.listening import host_and_port
from headway_coordinator.application.report import Report
from headway_coordinator.application.sweeping import SweepReport
from headway_coordinator.integrations.listening import serve_registry

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)
_BACKFILLS = ("paused", "running")
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class EngineMetrics:
    """The `Gauges` of the leading loop; bounded cardinality: teams, queues and states only."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"headway_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"headway_{name}", text, labels, buckets=buckets, registry=registry)

        self._runs = counter("runs", "Runs that ended.", "team", "state")
        self._created = counter("runs_started", "Runs that were started.")
        self._steps = counter("steps", "Steps that ended.", "state")
        self._attempts = counter("attempts", "Attempts that ended.", "outcome")
        self._dispatched = counter("dispatches", "Attempts that were dispatched.")
        self._events = counter("events", "Events that were applied.")
        self._ignored = counter("events_ignored", "Events that were stale or came twice.")
        self._decided = counter("event_decisions", "Decisions of triggers.", "outcome")
        self._refused = counter("events_refused", "Messages that were refused.", "reason")
        self._rollbacks = counter("batches_rolled_back", "Batches that met a changed row.")
        self._quarantined = counter("runs_quarantined", "Runs that violated an invariant.")
        self._errors = counter("duty_errors", "Duties that raised.", "duty")
        self._redispatched = counter("dispatches_again", "Dispatches that the sweep repeated.")
        self._lost = counter("attempts_lost", "Attempts that the sweep gave up.")
        self._broker_losses = counter("broker_losses", "Times that the broker's data was gone.")
        self._sweeps = counter("sweeps", "Sweeps made.")
        self._advance = histogram("advance_seconds", "Time to apply one batch.", _SECONDS)
        self._batch = histogram("batch_events", "Events in a batch.", _SIZES)
        self._wait = histogram("queue_wait_seconds", "Ready until dispatched.", _LONG, "queue")
        self._ran = histogram("execution_seconds", "Time attempts ran.", _LONG)
        self._leader = Gauge("headway_leader", "1 while this process leads.", registry=registry)
        self._epoch = Gauge("headway_leader_epoch", "The epoch led last.", registry=registry)
        self._open = Gauge("headway_runs_open", "Open runs in memory.", registry=registry)
        self._unclaimed = Gauge(
            "headway_dispatches_overdue", "Dispatches past their claim deadline.", registry=registry
        )
        self._registry_states(registry)

    def _registry_states(self, registry: CollectorRegistry) -> None:
        self._run_states = Gauge(
            "headway_runs_by_state", "Open runs by state.", ["state"], registry=registry
        )
        self._step_states = Gauge(
            "headway_steps_by_state", "Steps of open runs by state.", ["state"], registry=registry
        )
        self._dates = Gauge(
            "headway_backfill_dates",
            "Dates that are waiting or in flight, of backfills in a state.",
            ["state", "backfill"],
            registry=registry,
        )

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Expose a number that another part keeps."""
        Gauge(f"headway_{name}", text, registry=self.registry).set_function(read)

    def batch(self, report: Report, seconds: float) -> None:
        if report.events or report.dispatched or report.steps_ended:
            self._advance.observe(seconds)
            self._batch.observe(report.events)
        self._events.inc(report.events - report.ignored)
        self._ignored.inc(report.ignored)
        self._dispatched.inc(report.dispatched)
        self._created.inc(report.runs_created)
        self._rollbacks.inc(report.rolled_back)
        self._quarantined.inc(len(report.quarantined))
        for run in report.runs_ended:
            self._runs.labels(run.team, str(run.status)).inc()
        for step in report.steps_ended:
            self._steps.labels(str(step.status)).inc()
        for queue, wait in report.queue_waits:
            self._wait.labels(queue).observe(wait.total_seconds())
        for ended in report.attempts_ended:
            self._attempts.labels(ended.outcome).inc()
            if ended.started_at is not None and ended.finished_at is not None:
                self._ran.observe((ended.finished_at - ended.started_at).total_seconds())

    def sweep(self, report: SweepReport) -> None:
        self._sweeps.inc()
        self._redispatched.inc(report.redispatched)
        self._lost.inc(report.lost)
        self._broker_losses.inc(report.broker_losses)
        self._unclaimed.set(report.overdue)

    def leading(self, epoch: int | None, open_runs: int) -> None:
        self._leader.set(epoch is not None)
        self._open.set(open_runs)
        if epoch is not None:
            self._epoch.set(epoch)

    def states(self, counts: dict[str, dict[str, int]]) -> None:
        """Set the gauges by state; states that are gone become 0."""
        for gauge, found in (
            (self._run_states, counts.get("runs", {})),
            (self._step_states, counts.get("steps", {})),
        ):
            gauge.clear()
            for state, count in found.items():
                gauge.labels(state).set(count)
        self._dates.clear()
        for backfill in _BACKFILLS:
            for state, count in counts.get(f"{backfill} backfills", {}).items():
                self._dates.labels(state, backfill).set(count)

    def decided(self, outcome: str) -> None:
        self._decided.labels(outcome).inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason[:60]).inc()

    def failed(self, duty: str) -> None:
        self._errors.labels(duty).inc()

    def serve(self, listen: str) -> tuple[WSGIServer, int]:
        """Start the listener; return it and the port it has.

        Raises:
            UnavailableError: the address is taken or not this machine's.
        """
        try:
            server = serve_registry(self.registry, *host_and_port(listen))
        except (OSError, ValueError) as error:
            raise UnavailableError(
                "address_in_use",
                f"cannot listen for metrics on {listen}: {error}",
                "set HEADWAY_METRICS_LISTEN to a free address",
            ) from error
        return server, server.server_port
