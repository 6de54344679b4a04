"""Python steps: a function of the team's code, called in a warm interpreter of its choice."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from typing import Any

from headway.protocol.messages import Work
from headway_worker.executors.contract import Context, Done, Failed, Result
from headway_worker.executors.shell import failure
from headway_worker.runner.interpreters import Interpreter, Interpreters, Key
from headway_worker.runner.process import Exit

_MOST_KNOWN = 1000


class PythonExecutor:
    """Performs `python` steps."""

    def __init__(self, interpreters: Interpreters) -> None:
        self._interpreters = interpreters
        self._found: dict[tuple[str, str], str] = {}

    def perform(self, work: Work, context: Context) -> Result:
        """Return Done with the mapping that the function returned, or why it failed."""
        program = str(work.body.get("interpreter") or sys.executable)
        found = self._find(program, context.env.get("PATH", ""))
        if found is None:
            return Failed("cannot_start", f"there is no interpreter {program} on this worker")
        key = Key(work.digest, found, str(context.code))
        reply, ended = self._call(key, work, context)
        if reply is not None and reply.get("stale"):
            reply, ended = self._call(key, work, context)
        if reply is None:
            return failure(ended or Exit(lost=True, problem="it gave no answer"), context)
        return _result(reply)

    def _find(self, program: str, path: str) -> str | None:
        """Return the program's place, asked of the file system once: it takes 0.1 ms a call."""
        known = self._found.get((program, path))
        if known is None:
            known = shutil.which(program, path=path)
            if known is not None and len(self._found) < _MOST_KNOWN:
                self._found[program, path] = known
        return known

    def _call(
        self, key: Key, work: Work, context: Context
    ) -> tuple[dict[str, Any] | None, Exit | None]:
        interpreter = self._interpreters.take(key)
        process = interpreter.process
        if process.identity is not None:
            context.on_started(*process.identity)
        process.on_started = context.on_started
        context.stop.attach(process.stop)
        try:
            reply = interpreter.call(
                _request(work, context),
                context.log,
                deadline=context.deadline,
                on_deadline=context.on_deadline,
            )
        finally:
            context.stop.detach()
            process.on_started = None
            self._let_go(interpreter, context)
        return reply, process.exit

    def _let_go(self, interpreter: Interpreter, context: Context) -> None:
        if not interpreter.is_spent and context.stop.reason is None:
            self._interpreters.give_back(interpreter)
            return
        process = interpreter.process
        if process.exit is None:
            # What the call left running must be dead before the attempt counts as ended.
            process.stop(0)
            process.pump(context.log)
        process.close()


def _request(work: Work, context: Context) -> dict[str, Any]:
    return {
        "call": work.body["python"],
        "with": work.body.get("with") or {},
        "env": dict(context.env),
        "cwd": str(context.cwd),
        "path": str(context.code),
    }


def _result(reply: Mapping[str, Any]) -> Result:
    if "ok" in reply:
        return Done(reply["ok"])
    error = reply["error"]
    return Failed(error["code"], error["message"], error.get("exit"), error.get("traceback"))
