"""What workers put into the store and take out of it: their attempts' logs and artifacts."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from headway.errors import DefinitionError, ForbiddenError
from headway.protocol.messages import ArtifactRef, LogBatch, LogChunk
from headway.protocol.proof import completion_token
from headway_coordinator.application.ports import Storage, Store
from headway_coordinator.application.reading import artifact_key, log_key
from headway_coordinator.application.worker_ports import AttemptHold

LOG_LIMIT_BYTES = 100 * 1024 * 1024
_LOG_ENDING_BYTES = 1024  # room for the worker's own line that says "truncated"
ARTIFACT_LIMIT_BYTES = 5 * 1024**3


def store_logs(storage: Storage, store: Store, team: str, batch: LogBatch) -> int:
    """Store the chunks of attempts that this worker and boot hold; returns how many were taken.

    What comes twice is left as it is, what is foreign or past the limit is dropped.
    """
    wanted = list({chunk.attempt for chunk in batch.chunks})
    holders = storage.workers.holders(wanted, team=team)
    taken = 0
    for chunk in batch.chunks:
        hold = holders.get(chunk.attempt)
        held = (chunk.fence, batch.worker, batch.boot)
        if hold is not None and held == (hold.fence, hold.worker, hold.boot):
            taken += _store_chunk(store, hold, chunk)
    return taken


def _store_chunk(store: Store, hold: AttemptHold, chunk: LogChunk) -> bool:
    if chunk.offset + len(chunk.data) > LOG_LIMIT_BYTES + _LOG_ENDING_BYTES:
        return False
    offset, data = chunk.offset, chunk.data
    while data:
        # A repetition may carry more than the first try: what is stored stays, the rest follows.
        size = store.put(log_key(hold.run, hold.attempt, offset), [data])
        if size <= 0:
            break
        offset, data = offset + size, data[size:]
    return True


def held_attempt(
    storage: Storage, key: bytes, team: str, *, attempt: str, fence: int | None, token: str
) -> AttemptHold:
    """Return the hold of the attempt, if `token` is its completion token.

    Raises ForbiddenError: 404 if the team has no such attempt, 403 for a wrong token or fence.
    """
    hold = storage.workers.holders([attempt], team=team).get(attempt)
    if hold is None:
        raise ForbiddenError("not_found", f"there is no attempt {attempt}", status=404)
    if hold.worker is None or hold.boot is None or fence not in (None, hold.fence):
        raise ForbiddenError("not_held", f"attempt {attempt} is not held by this worker")
    right = completion_token(
        key, attempt=attempt, fence=hold.fence, worker=hold.worker, boot=hold.boot
    )
    if not hmac.compare_digest(right.encode(), token.encode()):
        raise ForbiddenError("wrong_proof", "X-Headway-Token is not this attempt's token")
    return hold


def store_artifact(
    store: Store, hold: AttemptHold, *, path: str, sha256: str, chunks: Iterable[bytes]
) -> ArtifactRef:
    """Store a file by its content. Raises ConflictError if the content is not of `sha256`."""
    if hold.state != "running":
        raise ForbiddenError("not_held", f"attempt {hold.attempt} is {hold.state}")
    check_path(path)
    key = artifact_key(hold.run, sha256)
    size = store.put(key, chunks, sha256=sha256, limit=ARTIFACT_LIMIT_BYTES)
    return ArtifactRef(path=path, sha256=sha256, size=size)


def check_path(path: str) -> None:
    """Raises DefinitionError unless `path` is a plain relative path that stays where it is put."""
    parts = path.split("/")
    if len(path) > 1024 or not path.isprintable() or "\\" in path or {"", ".", ".."} & set(parts):
        message = (
            f"the artifact {path[:200]!a} cannot be stored: its path must be relative, printable,"
            " of at most 1,024 characters, and without `..` and backslashes"
        )
        raise DefinitionError(message, code="bad_path", hint="give the file another name")
