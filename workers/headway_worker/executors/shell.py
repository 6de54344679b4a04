"""Shell steps: a script for bash, which stops at its first failing command."""

from __future__ import annotations

import os

from headway.protocol.messages import Work
from headway_worker.executors.contract import Context, Done, Failed, Lost, Result
from headway_worker.outputs import OutputError, read_output_file
from headway_worker.runner.process import Exit, Process
from headway_worker.runner.spawner import Spawner

# The script is one argument, and the kernel refuses arguments from 128 KiB on.
_LONGEST_SCRIPT = 128 * 1024 - 1


def shell_command() -> list[str]:
    """Return the shell and its options; `sh` knows no `pipefail`."""
    if os.access("/bin/bash", os.X_OK):
        return ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    return ["/bin/sh", "-e", "-c"]


class ShellExecutor:
    """Performs `run` steps."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._command = shell_command()

    def perform(self, work: Work, context: Context) -> Result:
        """Return Done with the outputs that the script wrote, or why it failed."""
        script = str(work.body["run"])
        if len(script.encode()) > _LONGEST_SCRIPT:
            return Failed("bad_step", "the script is longer than 128 KiB; put it into a file")
        process = self._spawner.spawn(
            [*self._command, script], env=context.env, cwd=str(context.cwd)
        )
        try:
            ended = _watch(process, context)
        finally:
            process.close()
        return _result(ended, context)


def _watch(process: Process, context: Context) -> Exit:
    process.on_started = context.on_started
    context.stop.attach(process.stop)
    try:
        process.pump(context.log, deadline=context.deadline, on_deadline=context.on_deadline)
    finally:
        context.stop.detach()
    assert process.exit is not None
    return process.exit


def _result(ended: Exit, context: Context) -> Result:
    if ended.code == 0:
        try:
            return Done(read_output_file(context.output), text=True, exit_code=0)
        except OutputError as error:
            return Failed(error.code, str(error), exit_code=0)
    return failure(ended, context)


def failure(ended: Exit, context: Context) -> Result:
    """Return what an unwanted end of a process means."""
    if ended.lost:
        return Lost("process_lost")
    if ended.problem is not None:
        return Failed("cannot_start", ended.problem, exit_code=ended.code)
    last = context.last_line()
    message = ended.describe() + (f": {last}" if last else "")
    # A shell tells a signal's end as 128 and its number.
    code = ended.code if ended.signal is None else 128 + ended.signal
    return Failed("exit_status", message, exit_code=code)
