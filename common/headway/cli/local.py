"""`headway run FILE --local`: the real engine and real steps in this process, and no server.

Coordinator and worker come by entry point, since this package knows neither. Everything lies in a
temporary folder that is deleted in the end.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from headway.cli.logs import Reader
from headway.cli.printing import clean, print_document
from headway.cli.progress import PlainProgress
from headway.cli.snapshot import Snapshot, terminal
from headway.cli.summary import print_summary
from headway.cli.watching import Explained, Progress, follow, progress_on
from headway.client import Client
from headway.clock import SystemClock
from headway.errors import DefinitionError, HeadwayError
from headway.local_parts import GROUP, LocalCoordinator, LocalWorker
from headway.signals import Handler
from headway.step_queue import StepQueue

if TYPE_CHECKING:
    from headway.cli.definitions import Definitions

INTERRUPTED = 130
SLOTS = 4
_ADDRESS = "http://local"
_LAST_LINES = 100


@dataclass(frozen=True, slots=True)
class LocalRun:
    """What is to be run, and how much of it is shown."""

    definitions: Definitions
    params: dict[str, Any]
    logical_date: str | None
    code: Path
    verbose: bool
    as_json: bool


def run_local(wanted: LocalRun) -> int:
    """Run the one pipeline of the definitions to its end; return the exit status that it means."""
    make_worker, make_coordinator = _parts()
    stopping = _Stopping()
    with _interrupts(stopping), ExitStack() as stack:
        folder = stack.enter_context(_folder())
        queue = StepQueue()
        classes = _classes(wanted.definitions)
        worker: LocalWorker = make_worker(
            folder, queue, code=wanted.code.absolute(), classes=classes, slots=SLOTS
        )
        with ExitStack() as alone:
            alone.callback(worker.close)
            coordinator: LocalCoordinator = make_coordinator(folder, queue)
            stack.callback(coordinator.close)
            stack.push(alone.pop_all())  # the worker ends first: it reports to the coordinator
        coordinator.start()
        team = wanted.definitions.specs[0].team
        worker.start(coordinator.exchange, coordinator.token("worker", team))
        token = coordinator.token("admin", None)
        client = stack.enter_context(Client([_ADDRESS], token, transport=coordinator.transport))
        return _Session(client, wanted, stopping).run()


def _parts() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the makers of worker and coordinator. Raises DefinitionError: an extra is missing."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    try:
        return found["worker"].load(), found["coordinator"].load()
    except (ModuleNotFoundError, KeyError) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else error.args[0]
        message = f"`headway run --local` needs `{missing}`, which is not installed"
        hint = "install the extra: pip install 'headway[coordinator]'"
        raise DefinitionError(message, code="missing_extra", hint=hint) from error


def _classes(definitions: Definitions) -> list[str]:
    steps = [
        step
        for spec in definitions.specs
        for group in ("steps", "finally")
        for step in spec.canonical[group]
    ]
    return sorted({str(step["class"]) for step in steps})


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder of this user's alone, which is gone in the end, whatever steps left in it."""
    folder = Path(mkdtemp(prefix="headway-local-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class _Stopping:
    """How often the user has asked to stop; the second time everything ends at once."""

    asked: int = 0
    event: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def handler(self) -> Iterator[Callable[..., None]]:
        """Give what handles the signals."""
        tell = Handler(self.event.set)

        def ask(*_: Any) -> None:
            self.asked += 1
            tell()
            if self.asked > 1:
                raise KeyboardInterrupt

        try:
            yield ask
        finally:
            tell.close()


@contextmanager
def _interrupts(stopping: _Stopping) -> Iterator[None]:
    """Take Ctrl-C and SIGTERM as a wish to stop while the block lasts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    with stopping.handler() as ask:
        for number in numbers:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Session:
    """One run from its start to the words about its end."""

    def __init__(self, client: Client, wanted: LocalRun, stopping: _Stopping) -> None:
        self._client = client
        self._wanted = wanted
        self._stopping = stopping
        self._cancelled = False

    def run(self) -> int:
        spec = self._wanted.definitions.specs[0]
        self._client.apply(self._wanted.definitions.files)
        started = self._client.start_run(
            spec.pipeline,
            team=spec.team,
            params=self._wanted.params,
            logical_date=self._wanted.logical_date,
        )
        try:
            last = self._watched(str(started["id"]))
        except KeyboardInterrupt:
            if self._wanted.as_json:
                print_document(started)
            return INTERRUPTED
        self._print(started, last)
        if self._stopping.asked:
            return INTERRUPTED
        return 0 if last.state == "succeeded" else 1

    def _watched(self, id: str) -> Snapshot:
        """Return the run once it has ended; progress, and with -v the logs, go to stderr."""
        clock = SystemClock()
        shown: Progress
        if self._wanted.verbose:
            shown = _WithLogs(PlainProgress(sys.stderr, clock), self._client, id)
        else:
            shown = progress_on(clock)
        progress = Explained(shown, lambda: self._client.explain(id), clock)
        try:
            return follow(lambda: self._ask(id, progress), progress, clock, self._pause)
        finally:
            progress.close()

    def _ask(self, id: str, progress: Progress) -> dict[str, Any]:
        if self._stopping.asked and not self._cancelled:
            self._cancelled = True
            progress.say("stopping the run; Ctrl-C again ends everything at once")
            with suppress(HeadwayError):  # it may have ended meanwhile
                self._client.cancel(id, "interrupted")
        return self._client.run(id)

    def _pause(self, seconds: float) -> None:
        if self._cancelled:
            threading.Event().wait(seconds)
        else:
            self._stopping.event.wait(seconds)

    def _print(self, started: dict[str, Any], last: Snapshot) -> None:
        if not self._wanted.verbose:
            self._print_failures(last)
        if self._wanted.as_json:
            print_document({**started, "state": last.state, "steps": last.brief()})
        else:
            print_summary(last, None)
        sys.stdout.flush()

    def _print_failures(self, last: Snapshot) -> None:
        """Print the end of the log of each step that failed."""
        for step in last.steps:
            if step.state != "failed" or not step.tries:
                continue
            pieces = Reader(self._client, last.id, step.name, None).pieces(False, self._pause)
            text = b"".join(pieces).decode("utf-8", "replace")
            for line in text.splitlines()[-_LAST_LINES:]:
                print(clean(f"{step.name} | {line}"), file=sys.stderr)
        if not terminal(last.state):
            print(f"set aside: {last.raw.get('quarantine')}", file=sys.stderr)


class _WithLogs:
    """Progress in lines, and between them what the steps write."""

    def __init__(self, progress: Progress, client: Client, id: str) -> None:
        self._progress = progress
        self._reader = Reader(client, id, None, None)

    def show(self, run: Snapshot) -> None:
        for piece in self._reader.pieces_of(run, last=run.still):
            print(clean(piece.decode("utf-8", "replace")), end="", file=sys.stderr, flush=True)
        self._progress.show(run)

    def say(self, sentence: str) -> None:
        self._progress.say(sentence)

    def close(self) -> None:
        self._progress.close()
