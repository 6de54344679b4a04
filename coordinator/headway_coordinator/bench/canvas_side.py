"""Measures Celery canvas."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from headway.clock import Clock
from headway.errors import UnavailableError
from headway_coordinator.bench.cases import Case
from headway_coordinator.supervision import Child, Supervisor

_TIMEOUT_S = 60.0


class CanvasSide:
    """A Celery worker with the same slots on the same broker, in its default settings."""

    def __init__(self, url: str, slots: int, logs: Path, clock: Clock) -> None:
        os.environ["HEADWAY_BENCH_CANVAS_URL"] = url
        from headway_coordinator.bench.canvas_app import app

        self._app = app
        self._clock = clock
        app.conf.broker_url = app.conf.result_backend = url
        argv = [sys.executable, "-m", "celery", "-A", "headway_coordinator.bench.canvas_app"]
        argv += ["worker", "--pool", "threads", "-c", str(slots), "-Q", "canvas", "-l", "WARNING"]
        argv += ["--without-gossip", "--without-mingle", "-n", f"canvas{os.getpid()}@%h"]
        self._child = Child("canvas", argv, {"HEADWAY_BENCH_CANVAS_URL": url}, logs / "canvas.log")

    def start(self, supervisor: Supervisor) -> None:
        """Start the worker and wait until it works.

        Raises:
            UnavailableError: it did not answer within a minute.
        """
        from headway_coordinator.bench.canvas_app import done

        supervisor.start(self._child)
        try:
            done.delay().get(timeout=60)
        except Exception as error:
            raise UnavailableError(
                "not_ready", f"the Celery worker does not work: {error}"
            ) from error

    def measure(self, case: Case) -> float:
        """Run the case; return the seconds from the first publish to the last result."""
        started = self._clock.monotonic()
        results = [_graph(case).apply_async() for _ in range(case.runs)]
        for result in results:
            try:
                result.get(timeout=_TIMEOUT_S, interval=0.01)
            except Exception as error:
                raise UnavailableError(
                    "canvas_stuck",
                    f"Celery canvas gave no result of `{case.title}` within {_TIMEOUT_S:g} s",
                    "measure again: its result backend is known to lose notices",
                ) from error
        seconds = self._clock.monotonic() - started
        for result in results:
            result.forget()
        return seconds


def _graph(case: Case):  # type: ignore[no-untyped-def]
    from celery import chain, chord, group

    from headway_coordinator.bench.canvas_app import done

    if case.chain:
        return chain(*(done.si() for _ in range(case.chain)))
    return chain(done.si(), chord(group(done.si() for _ in range(case.fan)), done.si()))
