"""What other languages write where CEL writes something else."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORDS = (
    (re.compile(r"\band\b", re.I), "write && for and"),
    (re.compile(r"\bor\b", re.I), "write || for or"),
    (re.compile(r"\bnot\b", re.I), "write ! for not"),
    (re.compile(r"===|!=="), "write == and !="),
    (re.compile(r"(?<![=!<>])=(?!=)"), "write == to compare"),
    (re.compile(r"\|(?!\|)[^|]"), "there are no filters; CEL has functions and methods"),
    (re.compile(r"\?\?|\?\."), "ask has(…) first"),
)


def mend_of(source: str) -> str:
    """Return the mend for an expression that does not parse."""
    bare = _QUOTED.sub("''", source[:2000])
    for pattern, mend in _WORDS:
        if pattern.search(bare):
            return mend
    return "expressions are CEL, such as params.n > 1 && steps.load.state == 'succeeded'"
