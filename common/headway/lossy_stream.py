"""A stream for logs that never raises: a line that cannot be written is dropped.

A full disk or a reader that is gone must cost log lines. Raised where an event is logged, the error
would end the thread that renews a lease or drains a worker.
"""

from __future__ import annotations

from typing import Protocol


class Writable(Protocol):
    """What a log needs of a text stream."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


class LossyStream:
    """Passes text on to another stream, as long as that takes it; counts what it did not take."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self.failures = 0

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except (OSError, ValueError):  # ValueError: it was closed
            self.failures += 1
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.failures += 1
