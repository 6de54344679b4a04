"""SQL steps: one statement, in an interpreter of its own that a stop or a timeout can end."""

from __future__ import annotations

import sys
from typing import Any

from headway.protocol.messages import Work
from headway_worker.executors.contract import Context, Result
from headway_worker.executors.python import PythonExecutor
from headway_worker.runner.interpreters import Interpreters

FUNCTION = "headway_worker.runner.sql_call:perform"


class SqlExecutor:
    """Performs `sql` steps in the worker's own Python, where SQLAlchemy and the drivers are."""

    def __init__(self, interpreters: Interpreters) -> None:
        self._python = PythonExecutor(interpreters)

    def perform(self, work: Work, context: Context) -> Result:
        """Return Done with `count`, and `rows` if declared, or why it failed."""
        sql: dict[str, Any] = work.body["sql"]
        given = {
            "url": sql["url"],
            "query": sql["query"],
            "params": sql.get("params") or {},
            "to": sql.get("to"),
            "rows": "rows" in (work.body.get("outputs") or {}),
        }
        body = {**work.body, "python": FUNCTION, "with": given, "interpreter": sys.executable}
        return self._python.perform(work.model_copy(update={"body": body}), context)
