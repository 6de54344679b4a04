"""Where problems are gathered while a definition is read; nothing stops at the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from headway.errors import Problem
from headway.spelling import did_you_mean

__all__ = ["MAX_PROBLEMS", "Report", "did_you_mean"]

MAX_PROBLEMS = 100
MAX_MESSAGE = 300

Hint = str | Callable[[], str | None] | None


class Located(Protocol):
    """What has a place in the file."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class Report:
    """The problems of one file, in the order of their places."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._problems: dict[Problem, None] = {}
        self._more = False

    @property
    def full(self) -> bool:
        """Return whether no further problem is taken, so that looking for one is in vain."""
        return len(self._problems) >= MAX_PROBLEMS

    def at(self, line: int, column: int, code: str, message: str, hint: Hint = None) -> None:
        """Note a problem at a line and column, both counted from 1.

        A hint that takes long to find is given as a function: it is called if the problem is taken.
        """
        if self.full:
            self._more = True
            return
        said = hint() if callable(hint) else hint
        problem = Problem(self.file, line, column, code, _short(message), said and _short(said))
        self._problems[problem] = None

    def on(self, node: Located, code: str, message: str, hint: Hint = None) -> None:
        """Note a problem at the start of a node."""
        self.at(node.line, node.column, code, message, hint)

    def problems(self) -> tuple[Problem, ...]:
        """Return every problem once, by line and column."""
        found = sorted(self._problems, key=lambda p: (p.line, p.column))
        if self._more:
            last = found[-1]
            message = f"more than {MAX_PROBLEMS} problems; the others are not shown"
            place = (self.file, last.line, last.column)
            found.append(Problem(*place, "too_many_problems", message, "mend these first"))
        return tuple(found)


def _short(text: str) -> str:
    """A name of a megabyte is told by its beginning."""
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "…"
