"""Which executor performs which kind of step."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

import structlog

from headway.outgoing.addresses import Allowed
from headway_worker.executors.contract import Executor
from headway_worker.executors.http import HttpExecutor
from headway_worker.executors.python import PythonExecutor
from headway_worker.executors.shell import ShellExecutor
from headway_worker.executors.sql import SqlExecutor
from headway_worker.runner.interpreters import Interpreters
from headway_worker.runner.spawner import Spawner

GROUP = "headway.executors"
_log = structlog.get_logger()


def executors(
    spawner: Spawner, interpreters: Interpreters, allowed: Allowed
) -> Mapping[str, Executor]:
    """Return the executors by kind: installed plug-ins, and the built-in ones, which they cannot
    replace. `allowed` is what `http` steps may reach besides public addresses."""
    found: dict[str, Executor] = {}
    for point in entry_points(group=GROUP):
        try:
            found[point.name] = point.load()()
        except Exception as error:  # a broken plug-in must not cost the worker its other kinds
            _log.error("executor_not_loaded", kind=point.name, error=str(error))
    return found | {
        "run": ShellExecutor(spawner),
        "python": PythonExecutor(interpreters),
        "http": HttpExecutor(allowed),
        "sql": SqlExecutor(interpreters),
    }
