"""Counts open runs and steps by state now and then, for the metrics."""

from __future__ import annotations

from collections.abc import Callable

from headway_coordinator.application.ports import Queries

_EVERY_S = 5.0
_IDLE_EVERY_S = 30.0


class Counting:
    """A duty of whoever leads: one query a tick."""

    name = "counting"

    def __init__(
        self,
        queries: Queries,
        leads: Callable[[], bool],
        show: Callable[[dict[str, dict[str, int]]], None],
        has_open_runs: Callable[[], bool] = lambda: True,
    ) -> None:
        self._queries = queries
        self._leads = leads
        self._show = show
        self._has_open_runs = has_open_runs

    def tick(self) -> float:
        open_before = self._has_open_runs()
        self._show(self._queries.counts() if self._leads() else {})
        return _EVERY_S if open_before else _IDLE_EVERY_S
