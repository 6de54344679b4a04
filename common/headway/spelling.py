"""The known word that somebody probably meant. Pure, and bounded however many words are known."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from itertools import islice

MOST = 300  # a comparison takes some microseconds, and a report asks for a hundred words


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return "did you mean `x`?" for the nearest known word, or None when none is near.

    Among more than 300 known words only those of the same first letter and about the same length
    are looked at, and of these the first 300.
    """
    word = word[:64]
    words = known if isinstance(known, Collection) else list(known)
    near = difflib.get_close_matches(word, _candidates(word, words), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else None


def _candidates(word: str, known: Collection[str]) -> list[str]:
    if len(known) <= MOST:
        return list(known)
    like = (k for k in known if k[:1] == word[:1] and abs(len(k) - len(word)) <= 2)
    return list(islice(like, MOST))
