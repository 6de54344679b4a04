"""Output of running steps on its way to the coordinator, in order and without gaps.

One sender thread for the whole worker: every half second it sends what is new of all attempts in
one request, and again until that is accepted. A repeated offset is a no-op over there.
"""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from headway.backoff import exponential
from headway.crash_points import crash_point
from headway.errors import HeadwayError, UnavailableError
from headway.protocol.messages import LogBatch, LogChunk
from headway_worker.api import Api
from headway_worker.identity import Identity
from headway_worker.redaction import Redactor

LIMIT_BYTES = 100 * 1024 * 1024
TRUNCATED = b"\n[headway] log truncated\n"
_REQUEST_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_BUFFER_BYTES = 32 * 1024 * 1024
_INTERVAL_SECONDS = 0.5
_TAIL_BYTES = 2048
_log = structlog.get_logger()


class AttemptLog:
    """One attempt's output; written by its thread, read by the sender.

    Secrets' values are struck out before anything is kept: offsets, sizes and the limit are those
    of what is left.
    """

    def __init__(
        self, shipper: LogShipper, attempt: str, fence: int, limit: int, redactor: Redactor
    ) -> None:
        self._shipper = shipper
        self.redactor = redactor
        self._clear = redactor.stream()
        self._limit = limit
        self.attempt = attempt
        self.fence = fence
        self.pending = bytearray()
        self._tail = b""
        self.sent = 0
        self.total = 0
        self.truncated = False

    def write(self, data: bytes) -> None:
        """Add output; what is over the limit is dropped, and said to be."""
        self._add(data if self._clear is None or self.truncated else self._clear.feed(data))

    def finish(self) -> None:
        """Add what was held back, as it may have been the beginning of a secret's value."""
        if self._clear is not None:
            self._add(self._clear.finish())

    def _add(self, data: bytes) -> None:
        if not data:
            return
        with self._shipper.changed:
            if self.truncated:
                return
            room = self._limit - self.total
            if len(data) > room:
                data = data[:room] + TRUNCATED
                self.truncated = True
            self.pending += data
            self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
            self.total += len(data)
            if not self._shipper.buffered:
                self._shipper.changed.notify_all()  # it sleeps until there is something
            self._shipper.buffered += len(data)

    def is_full(self) -> bool:
        """Say whether the step should wait, because the coordinator takes no logs."""
        return self._shipper.buffered > _BUFFER_BYTES

    def last_line(self) -> str:
        """Return the last line that is not blank, for an error's text; the output has ended."""
        self.finish()
        lines = self._tail.decode(errors="replace").split("\n")
        return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "")


class LogShipper:
    """The sender; `changed` guards every attempt's log."""

    def __init__(self, api: Api, identity: Identity, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._api = api
        self._identity = identity
        self._limit = limit_bytes
        self.changed = threading.Condition()
        self.buffered = 0
        self._logs: dict[str, AttemptLog] = {}
        self._hurry = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def open(self, attempt: str, fence: int, redactor: Redactor) -> AttemptLog:
        """Return the log of an attempt that begins."""
        log = AttemptLog(self, attempt, fence, self._limit, redactor)
        with self.changed:
            self._logs[attempt] = log
        return log

    def close(self, log: AttemptLog, timeout: float) -> int:
        """Return the log's size after its last bytes were sent, or after `timeout` seconds.

        What was not taken by then is given up: the report of the attempt's end matters more.
        """
        log.finish()
        with self.changed:
            if log.pending:
                self._hurry += 1
                self.changed.notify_all()
                done = self.changed.wait_for(lambda: not log.pending, timeout)
                self._hurry -= 1
                if not done:
                    _log.warning("log_given_up", attempt=log.attempt, size=len(log.pending))
                    self._forget(log)
            self._logs.pop(log.attempt, None)
            return log.total

    def stop(self) -> None:
        with self.changed:
            self._stopping = True
            self.changed.notify_all()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        failures = 0
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.buffered or self._hurry or self._stopping)
                self.changed.wait_for(lambda: self._hurry or self._stopping, _INTERVAL_SECONDS)
                if self._stopping:
                    return
                chunks = self._gather()
            while chunks:
                if self._send(chunks):
                    failures = 0
                else:
                    failures += 1
                    self._pause(failures)
                chunks = self._more()

    def _more(self) -> list[LogChunk]:
        with self.changed:
            return [] if self._stopping else self._gather()

    def _gather(self) -> list[LogChunk]:
        chunks: list[LogChunk] = []
        room = _REQUEST_BYTES
        for log in self._logs.values():
            data = bytes(log.pending[: min(room, _CHUNK_BYTES)])
            if data:
                chunks.append(
                    LogChunk(attempt=log.attempt, fence=log.fence, offset=log.sent, data=data)
                )
                room -= len(data)
            if room <= 0 or len(chunks) == 1000:
                break
        return chunks

    @crash_point("api.logs")
    def _send(self, chunks: list[LogChunk]) -> bool:
        batch = LogBatch(worker=self._identity.worker, boot=self._identity.boot, chunks=chunks)
        try:
            self._api.send("logs", batch.model_dump_json().encode())
        except UnavailableError as error:
            _log.warning("logs_not_taken", code=error.code, error=error.message)
            return False
        except HeadwayError as error:
            if len(chunks) > 1:  # one attempt's refusal must not cost the others their logs
                taken = [self._send([chunk]) for chunk in chunks]
                return all(taken)
            _log.error("log_refused", attempt=chunks[0].attempt, error=error.message)
        with self.changed:
            for chunk in chunks:
                self._sent(chunk)
            self.changed.notify_all()
        return True

    def _sent(self, chunk: LogChunk) -> None:
        log = self._logs.get(chunk.attempt)
        if log is not None and log.sent == chunk.offset:
            size = min(len(chunk.data), len(log.pending))
            del log.pending[:size]
            log.sent += size
            self.buffered -= size

    def _forget(self, log: AttemptLog) -> None:
        self.buffered -= len(log.pending)
        log.pending.clear()

    def _pause(self, failures: int) -> None:
        delay = exponential(failures, base=timedelta(milliseconds=100), cap=timedelta(seconds=2))
        with self.changed:
            self.changed.wait_for(lambda: self._stopping, delay.total_seconds())
