"""Where problems are gathered while a definition is read; nothing stops at the first."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Protocol

from headway.errors import Problem

MAX_PROBLEMS = 100
MAX_MESSAGE = 300


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

    def at(self, line: int, column: int, code: str, message: str, hint: str | None = None) -> None:
        """Note a problem at a line and column, both counted from 1."""
        if len(self._problems) < MAX_PROBLEMS:
            if len(message) > MAX_MESSAGE:  # a name of a megabyte is told by its beginning
                message = message[:MAX_MESSAGE] + "…"
            self._problems[Problem(self.file, line, column, code, message, hint)] = None

    def on(self, node: Located, code: str, message: str, hint: str | None = None) -> None:
        """Note a problem at the start of a node."""
        self.at(node.line, node.column, code, message, hint)

    def problems(self) -> tuple[Problem, ...]:
        """Return every problem once, by line and column."""
        return tuple(sorted(self._problems, key=lambda p: (p.line, p.column)))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return "did you mean `x`?" for the nearest known word, or None when none is near."""
    near = difflib.get_close_matches(word[:64], list(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else None
