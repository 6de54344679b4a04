"""`headway runs logs` and `headway runs artifacts`: what steps wrote, and the files they kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headway.cli.arguments import JsonOption, RunArgument
from headway.cli.connection import connect, run_id
from headway.cli.printing import print_document, print_table, size
from headway.cli.snapshot import Snapshot, StepView, snapshot
from headway.errors import DefinitionError, ForbiddenError

if TYPE_CHECKING:
    from headway.client import Client

_POLL_S = 0.5
StepArgument = Annotated[str | None, typer.Argument(metavar="STEP", help="Only this step.")]


def register(group: typer.Typer) -> None:
    group.command("logs", help="Print what the steps wrote.")(logs)
    group.command("artifacts", help="List or fetch the files that the steps kept.")(artifacts)


def logs(
    id: RunArgument,
    step: StepArgument = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.")
    ] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="This attempt; the last one otherwise.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Print what the steps wrote, each line behind its step's name unless one step is named."""
    if attempt is not None and step is None:
        raise DefinitionError("--attempt needs a step", code="usage", hint="name the step")
    with connect() as client:
        id = run_id(client, id)
        pieces = Reader(client, id, step, attempt).pieces(follow, Event().wait)
        if json:
            text = b"".join(pieces).decode("utf-8", "replace")
            print_document({"id": id, "step": step, "attempt": attempt, "text": text})
            return 0
        for piece in pieces:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    return 0


class Reader:
    """Reads the logs of a run's steps in order, each from where it stopped."""

    def __init__(self, client: Client, run: str, step: str | None, attempt: int | None) -> None:
        self._client = client
        self._run = run
        self._step = step
        self._attempt = attempt
        self._offsets: dict[tuple[str, int], int] = {}
        self._unfinished: dict[tuple[str, int], bytes] = {}

    def pieces(self, follow: bool, pause: Callable[[float], Any]) -> Iterator[bytes]:
        """Yield what is there; with `follow` also what comes, until the run or step has ended."""
        while True:
            run = snapshot(self._client.run(self._run))
            ended = not follow or self._ended(run)
            yield from self.pieces_of(run, last=ended, every=follow)
            if ended:
                return
            pause(_POLL_S)

    def pieces_of(self, run: Snapshot, *, last: bool, every: bool = True) -> Iterator[bytes]:
        """Yield what is there and was not yielded yet, of `every` attempt or of the newest ones;
        the `last` time also lines that are not ended."""
        for step in self._wanted(run):
            yield from self._of_step(step, every)
        if last:
            yield from self._remains()

    def _wanted(self, run: Snapshot) -> list[StepView]:
        return _chosen(run, self._step)

    def _ended(self, run: Snapshot) -> bool:
        if run.still:
            return True
        return self._step is not None and bool(run.steps) and all(s.done for s in self._wanted(run))

    def _of_step(self, step: StepView, follow: bool) -> Iterator[bytes]:
        # While following, earlier attempts are read to their end too: the failure is in them.
        first = 1 if follow else step.tries
        chosen = [self._attempt] if self._attempt else range(max(first, 1), step.tries + 1)
        for no in chosen:
            yield from self._of_attempt(step.name, no)

    def _of_attempt(self, step: str, no: int) -> Iterator[bytes]:
        key = (step, no)
        while True:
            offset = self._offsets.get(key, 0)
            content, following = self._client.logs(self._run, step=step, attempt=no, offset=offset)
            self._offsets[key] = following
            if not content or following <= offset:
                return
            yield self._prefixed(key, content)

    def _prefixed(self, key: tuple[str, int], content: bytes) -> bytes:
        """Return the whole lines among the bytes, behind the step's name; keep an open line."""
        if self._step is not None:
            return content
        whole, newline, rest = (self._unfinished.pop(key, b"") + content).rpartition(b"\n")
        if rest:
            self._unfinished[key] = rest
        if not newline:
            return b""
        mark = f"{key[0]} | ".encode()
        return b"".join(mark + line + b"\n" for line in whole.split(b"\n"))

    def _remains(self) -> Iterator[bytes]:
        for (step, _), rest in self._unfinished.items():
            yield f"{step} | ".encode() + rest + b"\n"


def _chosen(run: Snapshot, wanted: str | None) -> list[StepView]:
    """Return the wanted step, or all. Raises ForbiddenError (404): the run has no such step."""
    steps = [step for step in run.steps if wanted in (None, step.name)]
    if wanted is not None and run.steps and not steps:
        message = f"run {run.id} has no step `{wanted}`"
        raise ForbiddenError("not_found", message, "see `headway runs show`", status=404)
    return steps


def artifacts(
    id: RunArgument,
    step: StepArgument = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Fetch them into DIR/STEP/.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """List or fetch the files that the steps kept."""
    with connect() as client:
        run = snapshot(client.run(run_id(client, id)))
        found = [
            {"step": s.name, **{key: file.get(key) for key in ("path", "size", "sha256")}}
            for s in _chosen(run, step)
            for file in s.artifacts
        ]
        for row in found if save else []:
            _fetch(client, run.id, row, save or Path())
    if json:
        print_document({"artifacts": found})
    else:
        rows = [(str(row["step"]), str(row["path"]), size(row["size"])) for row in found]
        print_table(("STEP", "FILE", "SIZE"), rows, empty="no artifacts")
    return 0


def _fetch(client: Client, run: str, row: dict[str, Any], folder: Path) -> None:
    """Write one artifact under the folder, whole or not at all."""
    path = PurePosixPath(str(row["path"]))
    if path.is_absolute() or ".." in path.parts:
        message = f"the artifact {path} would leave {folder}"
        raise ForbiddenError("unsafe_path", message, "fetch it through the run's page")
    target = folder / str(row["step"]) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with part.open("wb") as stream:
        for piece in client.artifact(run, str(row["step"]), str(path)):
            stream.write(piece)
    part.replace(target)
