"""What an expression may cost, and how it says that it failed."""

from __future__ import annotations

MAX_LENGTH = 2000
MAX_DEPTH = 32
MAX_LIST_ITEMS = 10_000
MAX_RESULT_BYTES = 1024 * 1024


class ExpressionError(Exception):
    """An expression has no value; the message says why, and `offset` where, if that is known.

    It is no HeadwayError: it becomes a located problem of a definition or the failure of a step.
    """

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
