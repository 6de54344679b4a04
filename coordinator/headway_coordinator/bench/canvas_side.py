"""Measures Celery canvas: chains and chords, in its default settings, results in Redis."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

from celery import Celery, chain, group

from headway.clock import Clock
from headway.errors import UnavailableError
from headway_coordinator.bench import canvas_app
from headway_coordinator.bench.cases import Case
from headway_coordinator.supervision import Child, Supervisor

Pool = Literal["prefork", "threads"]
POOLS: tuple[Pool, ...] = ("prefork", "threads")
_TIMEOUT_S = 120.0


class CanvasSide:
    """Celery workers of either pool, each with a queue of its own, started when first used."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        broker_url: str,
        results_url: str,
        folder: Path,
        clock: Clock,
    ) -> None:
        self._supervisor = supervisor
        self._broker = broker_url
        self._results = results_url
        self._folder = folder
        self._clock = clock
        self._apps: dict[str, Celery] = {}
        self.pools: dict[str, Pool] = {}

    def choose(self, case: Case) -> Pool:
        """Measure the case on both pools; return the faster, on which `measure` then runs it."""
        seconds = {pool: self._run(case, pool) for pool in POOLS}
        chosen = min(POOLS, key=lambda pool: seconds[pool])
        self.pools[case.name] = chosen
        return chosen

    def measure(self, case: Case) -> float:
        """Run the case; return the seconds from the first publish to the last result."""
        return self._run(case, self.pools[case.name])

    def _run(self, case: Case, pool: Pool) -> float:
        app = self._app(pool, case.slots)
        graphs = [_graph(app, case) for _ in range(case.runs)]
        started = self._clock.monotonic()
        results = [graph.apply_async() for graph in graphs]
        for result in results:
            try:
                result.get(timeout=_TIMEOUT_S, interval=0.01)
            except Exception as error:  # whatever its backend raises
                raise UnavailableError(
                    "canvas_stuck",
                    f"Celery canvas gave no result of `{case.title}` within {_TIMEOUT_S:g} s",
                    "measure again: its result backend is known to lose notices",
                ) from error
        seconds = self._clock.monotonic() - started
        for result in results:
            result.forget()
        return seconds

    def _app(self, pool: Pool, slots: int) -> Celery:
        """Return the pool's application, its worker started and working.

        Raises:
            UnavailableError: it did not answer within a minute.
        """
        queue = f"canvas-{pool}-{slots}"
        if queue in self._apps:
            return self._apps[queue]
        where = (self._broker, self._results, queue)
        app = self._apps[queue] = canvas_app.make_app(*where)
        argv = [sys.executable, "-m", "celery", "-A", canvas_app.__name__, "worker"]
        argv += ["--pool", pool, "-c", str(slots), "-Q", queue, "-l", "WARNING"]
        argv += ["--without-gossip", "--without-mingle", "-n", f"{queue}-{os.getpid()}@%h"]
        log = self._folder / f"{queue}.log"
        self._supervisor.start(Child(queue, argv, canvas_app.environment(*where), log))
        try:
            app.tasks["bench.done"].delay().get(timeout=60)
        except Exception as error:  # whatever its backend raises
            raise UnavailableError(
                "not_ready", f"the Celery worker does not work: {error}"
            ) from error
        return app


def _graph(app: Celery, case: Case) -> Any:
    """Return the graph; Celery makes a chord of a group with a step behind it."""
    layers = [_layer(app, case, width) for width in case.layers]
    return chain(*layers) if len(layers) > 1 else layers[0]


def _layer(app: Celery, case: Case, width: int) -> Any:
    if case.sleep_ms:
        steps = [app.tasks["bench.sleep"].si(case.sleep_ms) for _ in range(width)]
    else:
        steps = [app.tasks["bench.done"].si() for _ in range(width)]
    return steps[0] if width == 1 else group(steps)
