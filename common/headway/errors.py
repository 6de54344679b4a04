"""The five families of errors, each with a stable code and a sentence that says what to do.

A step's failure is data and never one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a definition: where it is, what it means and the mend."""

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{place} ({self.hint})" if self.hint else place


class HeadwayError(Exception):
    """Base of every error that Headway raises on purpose."""

    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, Any]:
        """Return the body of `{"error": …}` as commands print it with `--json`."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "problems": []}


class DefinitionError(HeadwayError):
    """The user's definition or parameters are wrong; each problem has a place."""

    exit_status = 2
    http_status = 422

    def __init__(
        self,
        message: str,
        problems: Sequence[Problem] = (),
        *,
        code: str = "invalid_definition",
        hint: str | None = None,
    ) -> None:
        super().__init__(code, message, hint)
        self.problems = tuple(problems)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "problems": [p.as_dict() for p in self.problems]}


class ConflictError(HeadwayError):
    """What was asked does not fit the present state."""

    exit_status = 4
    http_status = 409


class UnavailableError(HeadwayError):
    """A server or a network is not there now; the same call may work later."""

    exit_status = 3
    http_status = 503


class ForbiddenError(HeadwayError):
    """Not signed in, not allowed, not to be found, or over a limit; `status` says which."""

    exit_status = 4
    http_status = 403

    def __init__(
        self, code: str, message: str, hint: str | None = None, *, status: int = 403
    ) -> None:
        super().__init__(code, message, hint)
        self.status = status


class DefectError(HeadwayError):
    """Headway itself is wrong; `story` holds what led there."""

    exit_status = 1
    http_status = 500

    def __init__(self, code: str, message: str, story: Mapping[str, Any] | None = None) -> None:
        super().__init__(code, message, "This is a defect of Headway; please report it.")
        self.story = dict(story or {})
