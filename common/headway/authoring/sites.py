"""Where in the author's source something was said: the call, and which of its arguments.

A site keeps the code object and the instruction; lines and columns are worked out when they are
asked for, so that decorating costs next to nothing in a worker's interpreter.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from inspect import unwrap
from itertools import islice
from types import CodeType
from typing import Any

_OURS = "headway.authoring"

Extent = tuple[int, int, int, int]  # line, end line (from 1), column, end column (bytes, from 0)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A call in a source file."""

    file: str
    line: int
    code: CodeType | None = None
    instruction: int = 0

    def extent(self) -> Extent | None:
        """Return where the call begins and ends; None where the interpreter does not know."""
        return None if self.code is None else _extent(self.code, self.instruction)


@lru_cache(maxsize=10_000)
def _extent(code: CodeType, instruction: int) -> Extent | None:
    found = next(islice(code.co_positions(), instruction // 2, None), None)
    if found is None:
        return None
    line, end_line, column, end_column = found
    if line is None or end_line is None or column is None or end_column is None:
        return None
    return line, end_line, column, end_column


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A value together with where it was given.

    `at` is the keyword or the position of the argument of the call at `site`; None: the call.
    """

    value: Any
    site: Site
    at: str | int | None = None


def caller() -> Site:
    """Return the site of the nearest call outside this package."""
    frame = sys._getframe(1)
    while _is_ours(frame.f_globals.get("__name__")) and frame.f_back is not None:
        frame = frame.f_back
    return Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code, frame.f_lasti)


def of_function(function: Any) -> Site:
    """Return the site of a function's definition: the line of its first decorator, or of `def`."""
    code = getattr(unwrap(function), "__code__", None)
    if code is None:
        return caller()
    return Site(code.co_filename, code.co_firstlineno)


def given(arguments: dict[str, Any], site: Site) -> dict[str, Given]:
    """Return the keyword arguments of one call, each with its place; None means not given."""
    return {
        name: Given(value, site, name) for name, value in arguments.items() if value is not None
    }


def _is_ours(module: Any) -> bool:
    return isinstance(module, str) and (module == _OURS or module.startswith(_OURS + "."))
