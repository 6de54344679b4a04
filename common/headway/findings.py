"""What an examination found: one thing each, and where it is wrong, the mend. Pure.

What could not be seen is `unknown`; it is never taken for fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How it stands with one thing. `note`: worth knowing, and nothing is broken by it."""

    FINE = "fine"
    NOTE = "note"
    UNKNOWN = "unknown"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is stable (`broker.eviction`); `subject` says which one, where there are several."""

    check: str
    status: Status
    message: str
    mend: str | None = None
    subject: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "status": str(self.status)}


def fine(check: str, message: str, *, subject: str | None = None) -> Finding:
    return Finding(check, Status.FINE, message, None, subject)


def note(check: str, message: str, mend: str, *, subject: str | None = None) -> Finding:
    return Finding(check, Status.NOTE, message, mend, subject)


def unknown(check: str, message: str, mend: str, *, subject: str | None = None) -> Finding:
    return Finding(check, Status.UNKNOWN, message, mend, subject)


def wrong(check: str, message: str, mend: str, *, subject: str | None = None) -> Finding:
    return Finding(check, Status.WRONG, message, mend, subject)


def read(row: Mapping[str, Any]) -> Finding:
    """Return the finding that `as_dict` wrote; a status that this version does not know is unknown.

    Raises:
        ValueError: it is none.
    """
    check, message = row.get("check"), row.get("message")
    if not isinstance(check, str) or not isinstance(message, str):
        raise ValueError("a finding has a check and a message")
    status = row.get("status")
    known = Status(status) if status in set(Status) else Status.UNKNOWN
    mend, subject = row.get("mend"), row.get("subject")
    return Finding(check, known, message, _text(mend), _text(subject))


def worst(findings: Iterable[Finding]) -> Status:
    """Return the status that matters most; of nothing at all that is `unknown`."""
    order = (Status.WRONG, Status.UNKNOWN, Status.NOTE, Status.FINE)
    found = {finding.status for finding in findings}
    return next((status for status in order if status in found), Status.UNKNOWN)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
