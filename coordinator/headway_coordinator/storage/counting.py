"""Row counts: every conditional write says how many rows it must have found."""

from __future__ import annotations

from headway_coordinator.application.ports import PreconditionFailed


def expect(found: int, wanted: int, what: str) -> None:
    """Return if as many rows were written as were meant.

    Raises:
        PreconditionFailed: another number was; the transaction must not go on.
    """
    if found != wanted:
        raise PreconditionFailed(f"{found} of {wanted} {what} were as expected")
