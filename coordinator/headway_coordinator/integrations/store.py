"""The artifact and log store, on a folder or an S3 bucket.

Content comes whole or not at all: it is gathered beside the store, its digest and size are checked,
and only then does it get its key. Small content is created by one conditional write; large content
has its digest for a key, so that writing it twice changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, S3Store

from headway.crash_points import crash_point
from headway.errors import ConflictError, DefinitionError, ForbiddenError, UnavailableError

_KEY = re.compile(r"[A-Za-z0-9._:-]+(/[A-Za-z0-9._:-]+)*")
_IN_MEMORY_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024


def open_store(url: str) -> ObjectStore:
    """Return the store at `file:///folder` (made if need be), `s3://bucket/prefix` or `memory:`.

    S3 takes its credentials, region and endpoint from the usual AWS_ variables.

    Raises:
        DefinitionError: the address is of no known kind.
        UnavailableError: the folder cannot be made.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return _folder(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        prefix = parts.path.strip("/") or None
        return ObjectStore(S3Store(parts.netloc, prefix=prefix), None)
    if url == "memory:":
        return ObjectStore(MemoryStore(), None)
    hint = "HEADWAY_STORE_URL is file:///folder or s3://bucket/prefix."
    raise DefinitionError(f"{parts.scheme or url!r} is no kind of store", code="bad_url", hint=hint)


def _folder(path: Path) -> ObjectStore:
    incoming = path / ".incoming"
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        return ObjectStore(LocalStore(path), incoming)
    except (OSError, BaseError) as error:
        raise _unavailable(error) from error


class ObjectStore:
    """Implements `application.ports.Store`; safe to use from many threads."""

    def __init__(self, store: Any, incoming: Path | None) -> None:
        self._store = store
        self._folder = None if incoming is None else str(incoming)

    @crash_point("store.put")
    def put(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        sha256: str | None = None,
        limit: int | None = None,
    ) -> int:
        """Write once, whole or not at all; returns the size of what lies under the key then.

        Raises:
            ConflictError: the content is not of `sha256`.
            ForbiddenError: it is over `limit` bytes (413).
            UnavailableError: the store does not answer or is full.
        """
        _check(key)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=self._folder) as gathered:
            try:
                size = _gather(gathered, chunks, sha256, limit)
                gathered.seek(0)
                return self._write(key, gathered, size)
            except (OSError, BaseError) as error:
                raise _unavailable(error) from error

    def _write(self, key: str, content: IO[bytes], size: int) -> int:
        if size > _IN_MEMORY_BYTES:
            there = self._size(key)
            if there is not None:
                return there
            obstore.put(self._store, key, content, use_multipart=True)
            return size
        try:
            obstore.put(self._store, key, content.read(), mode="create")
        except AlreadyExistsError:
            there = self._size(key)
            return size if there is None else there
        return size

    def _size(self, key: str) -> int | None:
        try:
            return int(obstore.head(self._store, key)["size"])
        except (FileNotFoundError, NotFoundError):
            return None

    def get(self, key: str) -> Iterator[bytes]:
        """Return the content in blocks. Raises ForbiddenError (404) if the key is not there."""
        _check(key)
        try:
            stream = obstore.get(self._store, key).stream(min_chunk_size=_BLOCK_BYTES)
        except (FileNotFoundError, NotFoundError) as error:
            message = "the file is not in the store"
            raise ForbiddenError("not_found", message, status=404) from error
        except (OSError, BaseError) as error:
            raise _unavailable(error) from error
        return (bytes(block) for block in stream)

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """Return (key, size) of what lies in the folder `prefix`, sorted by key."""
        _check(prefix)
        try:
            batches = obstore.list(self._store, prefix)
            return sorted((row["path"], row["size"]) for batch in batches for row in batch)
        except (OSError, BaseError) as error:
            raise _unavailable(error) from error


def _check(key: str) -> None:
    """Keys are made by the coordinator; this holds even if one of its parts came from outside."""
    if not _KEY.fullmatch(key) or {".", ".."} & set(key.split("/")):
        raise ForbiddenError("not_found", "there is no such file", status=404)


def _gather(into: IO[bytes], chunks: Iterable[bytes], sha256: str | None, limit: int | None) -> int:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        if limit is not None and size > limit:
            message = f"the content is over the limit of {limit} bytes"
            raise ForbiddenError("too_large", message, status=413)
        digest.update(chunk)
        into.write(chunk)
    if sha256 is not None and digest.hexdigest() != sha256:
        message = f"the content has the SHA-256 {digest.hexdigest()}, not {sha256}"
        raise ConflictError("wrong_digest", message, "Send the file again.")
    return size


def _unavailable(error: Exception) -> UnavailableError:
    hint = "Check HEADWAY_STORE_URL, the rights of its folder or bucket, and its free space."
    return UnavailableError("store_unavailable", f"the store does not answer: {error}", hint)
