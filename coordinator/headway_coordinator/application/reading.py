"""What people may look at: runs within their scope, logs, artifacts, the story of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from headway.errors import ForbiddenError
from headway.plan.children import parent_of
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.ports import Storage, Store

if TYPE_CHECKING:
    from headway_coordinator.application.services import Services

SET_ASIDE_HINT = "Look at the run's story and the coordinator's log, then start a new run."


def visible_run(
    storage: Storage,
    identity: Identity,
    id: str,
    *,
    step: str | None = None,
    all_children: bool = False,
) -> dict[str, Any]:
    """Return the run, the `step` in any case among its steps.

    Raises ForbiddenError (404) if it is not there or another team's.
    """
    row = storage.queries.run(id, child=step, all_children=all_children)
    if row is None or not identity.covers(row["team"]):
        message = f"run {id} does not exist, or your teams may not see it"
        raise ForbiddenError("not_found", message, "headway runs list shows yours.", status=404)
    return row


def step_of(run: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the run's step of that name. Raises ForbiddenError (404)."""
    for step in run["steps"]:
        if step["step"] == name:
            found: Mapping[str, Any] = step
            return found
    names = ", ".join(step["step"] for step in run["steps"][:20])
    message = f"run {run['id']} has no step `{name}`"
    raise ForbiddenError("not_found", message, f"It has: {names}." if names else None, status=404)


def attempt_of(step: Mapping[str, Any], no: int | None) -> Mapping[str, Any] | None:
    """Return attempt `no` of the step, or its newest one; None if it has none yet.

    Raises ForbiddenError (404) if an attempt of that number was never made.
    """
    attempts: Sequence[Mapping[str, Any]] = step["attempts"]
    if no is None:
        return max(attempts, key=lambda a: int(a["no"]), default=None)
    for attempt in attempts:
        if attempt["no"] == no:
            return attempt
    message = f"step `{step['step']}` has no attempt {no}"
    raise ForbiddenError("not_found", message, status=404)


def explained(services: Services, id: str) -> dict[str, Any]:
    """Return {"steps": [{"step", "blockers"}]}: what each step that does not run waits for."""
    from headway_coordinator.application.explaining import explain_run

    return explain_run(
        services.storage,
        id,
        live_within=services.live_within,
        broker_answers=services.broker_answers,
    )


# --- logs --------------------------------------------------------------------------------------


def log_folder(run: str, attempt: str) -> str:
    """Return the prefix of the keys of an attempt's log chunks."""
    return f"logs/{run}/{attempt}"


def log_key(run: str, attempt: str, offset: int) -> str:
    """Return the key of the chunk that begins at `offset`."""
    return f"{log_folder(run, attempt)}/{offset:020}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stored chunk: where it begins in the log, and how much of its head is skipped."""

    key: str
    skip: int
    size: int


@dataclass(frozen=True, slots=True)
class LogPart:
    """An attempt's log from an offset on; `end` is where the next read begins."""

    store: Store
    pieces: tuple[Piece, ...]
    end: int

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            left, skip = piece.size, piece.skip
            for block in self.store.get(piece.key):
                taken = block[skip : skip + left]
                skip = max(0, skip - len(block))
                left -= len(taken)
                if taken:
                    yield taken


def read_log(store: Store, run: str, attempt: str, offset: int = 0) -> LogPart:
    """Return the log's bytes from `offset` on, as far as they are there without a gap."""
    pieces, at = [], 0
    for key, size in store.list(log_folder(run, attempt)):
        start = int(key.rsplit("/", 1)[1])
        end = start + size
        if start > at:
            break  # a chunk in between is on its way; nothing after it is shown before it
        if end > at:
            first = max(at, offset)
            if end > first:
                pieces.append(Piece(key, first - start, end - first))
            at = end
    return LogPart(store, tuple(pieces), max(at, offset))


def tail(store: Store, run: str, attempt: str, *, lines: int, limit: int = 16_384) -> list[str]:
    """Return the last lines of an attempt's log, from at most its last `limit` bytes."""
    end = read_log(store, run, attempt).end
    part = read_log(store, run, attempt, max(0, end - limit))
    text = b"".join(part).decode("utf-8", "replace")
    return text.splitlines()[-lines:]


def whole_log(store: Store, run: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield every step's newest log in the plan's order, each line behind `step | `."""
    for step in run["steps"]:
        attempt = attempt_of(step, None)
        if attempt is not None:
            prefix = f"{step['step']} | ".encode()
            yield from prefixed(read_log(store, run["id"], attempt["id"]), prefix)


def prefixed(blocks: Iterable[bytes], prefix: bytes) -> Iterator[bytes]:
    """Yield the blocks with `prefix` before each line; the last line is ended if it was not."""
    fresh = True
    for block in blocks:
        # Only a line feed ends a line here: a bare carriage return is a progress bar's.
        for line in BytesIO(block):
            yield prefix + line if fresh else line
            fresh = line.endswith(b"\n")
    if not fresh:
        yield b"\n"


# --- artifacts ---------------------------------------------------------------------------------


def artifact_key(run: str, sha256: str) -> str:
    """Return where a run's file of this content lies; access is checked by the run in it."""
    return f"artifacts/{run}/{sha256}"


def artifacts_of(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return {step, path, sha256, size} of every file that the run's steps left.

    Those of children are named once: by their parent, once it has ended.
    """
    named = {step["step"] for step in run["steps"] if step.get("artifacts")}
    return [
        {"step": step["step"], **{key: ref[key] for key in ("path", "sha256", "size")}}
        for step in run["steps"]
        if step["step"] == parent_of(step["step"]) or parent_of(step["step"]) not in named
        for ref in step.get("artifacts") or ()
    ]


def artifact(run: Mapping[str, Any], step: str, path: str) -> dict[str, Any]:
    """Return the artifact of that step and path. Raises ForbiddenError (404)."""
    for ref in step_of(run, step).get("artifacts") or ():
        if ref["path"] == path:
            return {"step": step, **{key: ref[key] for key in ("path", "sha256", "size")}}
    message = f"step `{step}` left no artifact `{path}`"
    raise ForbiddenError("not_found", message, status=404)
