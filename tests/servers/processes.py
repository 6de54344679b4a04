"""Child processes of a test: started with a log, waited for, and killed with all they started."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import psutil

from tests.servers import tether
from tests.servers.waiting import NeverHappenedError, wait_until

Answer = TypeVar("Answer")

MARK = "HEADWAY_TEST_MARK"  # An environment variable that descendants inherit and that finds them.
_LOG_TAIL_BYTES = 4_000


class Processes:
    """The processes of one owner (a test, or a session's server); `close` ends them all."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._mark = secrets.token_hex(8)
        self._children: list[Child] = []

    def start(
        self,
        argv: Sequence[str],
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        dies_by: signal.Signals = signal.SIGKILL,
    ) -> Child:
        """Return a started child in a session of its own, its output going to a log file.

        `env` is the whole environment (default: this process's); the kernel sends `dies_by` when
        the thread that called `start` ends, so call it from the main thread.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{len(self._children):02}-{name or Path(argv[0]).name}.log"
        environment = {**(os.environ if env is None else env), MARK: self._mark}
        with log.open("wb") as output:
            popen = subprocess.Popen(
                tether.command(list(argv), dies_by=dies_by, user=user),
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(popen, log)
        self._children.append(child)
        return child

    def leftovers(self) -> list[str]:
        """Return `pid command` of every living process that this owner's children started."""
        return [f"{each.pid} {_describe(each)}" for each in _marked(self._mark)]

    def no_leftovers(self, within: float = 10.0) -> None:
        """Wait until nothing that was started here lives; raises NeverHappenedError naming it."""
        try:
            wait_until(lambda: not self.leftovers(), within=within)
        except NeverHappenedError:
            raise NeverHappenedError(f"still alive: {self.leftovers()}") from None

    def close(self) -> None:
        """Kill every child with its descendants, and wait until they are gone."""
        for child in reversed(self._children):
            child.kill()
        kill_all(_marked(self._mark))
        self.no_leftovers()


class Child:
    """A started process and its log."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.log = log

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """The status once the process has ended (negative: the signal that ended it)."""
        return self._popen.poll()

    @property
    def running(self) -> bool:
        return self.exit_status is None

    def output(self) -> str:
        """Return all that the process wrote so far, standard output and error together."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(
        self,
        condition: Callable[[], Answer | Literal[False] | None],
        *,
        within: float = 30.0,
        what: str = "the condition",
    ) -> Answer:
        """Return the first true answer of `condition` while the process lives.

        Raises NeverHappenedError with the end of the log when it does not come or the process ends.
        """

        def answered_or_ended() -> tuple[Answer | Literal[False] | None, bool] | None:
            ended = not self.running  # Read first: an answer given just before the end counts.
            answer = condition()
            return (answer, ended) if answer or ended else None

        try:
            answer, _ = wait_until(answered_or_ended, within=within, what=what)
        except NeverHappenedError as error:
            raise NeverHappenedError(f"{error}\n{self._tail()}") from None
        if not answer:
            raise NeverHappenedError(f"ended with {self.exit_status} before {what}\n{self._tail()}")
        return answer

    def wait_for_output(self, text: str, *, within: float = 30.0) -> str:
        """Return the output once it holds `text`; raises NeverHappenedError."""
        return self.wait_for(
            lambda: self.output() if text in self.output() else "",
            within=within,
            what=f"output {text!r}",
        )

    def wait(self, *, within: float = 30.0) -> int:
        """Return the exit status once the process has ended; raises NeverHappenedError."""
        wait_until(lambda: not self.running, within=within, what=f"the end of {self.log.stem}")
        return self._popen.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; nothing happens when it has ended."""
        if self.running:
            self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, within: float = 30.0) -> int:
        """Return the exit status after asking the process to end; raises NeverHappenedError."""
        self.send(number)
        return self.wait(within=within)

    def kill(self) -> None:
        """Kill the process and its descendants, and reap it. A second call does nothing."""
        if self.running:
            tree = _descendants(self.pid)
            self._popen.kill()
            kill_all(tree)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def _tail(self) -> str:
        return self.output()[-_LOG_TAIL_BYTES:]


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL to each process that still lives; a number used again is left alone."""
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def listening(process: psutil.Process) -> list[str]:
    """Return the addresses on which a process and those below it listen, without their ports.

    One that ends while we look listens no more.
    """
    found: list[str] = []
    for each in (process, *_descendants(process.pid)):
        with contextlib.suppress(psutil.NoSuchProcess):
            connections = each.net_connections("inet")
            found += [one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN]
    return found


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _marked(mark: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if _carries(each, mark)]


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def _describe(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return "?"
