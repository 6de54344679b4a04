"""The table of invariants, and what kind of harm a violation of each one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tests.fault.checker import attempts, ledger, runs
from tests.fault.checker.history import History, Violation

INVARIANTS: Mapping[str, Callable[[History], Iterator[Violation]]] = {
    "I1": attempts.i1,
    "I2": attempts.i2,
    "I3": attempts.i3,
    "I4": ledger.i4,
    "I5": runs.i5,
    "I6": attempts.i6,
    "I7": attempts.i7,
    "I8": attempts.i8,
    "I9": runs.i9,
    "I10": runs.i10,
    "I11": runs.i11,
    "I12": runs.i12,
    "I13": runs.i13,
    "I14": attempts.i14,
    "I15": ledger.i15,
    "I16": ledger.i16,
    "I17": attempts.i17,
    "I18": attempts.i18,
    "I20": ledger.i20,
    "I21": ledger.i21,
    "I22": ledger.i22,
    "I23": ledger.i23,
    "I24": ledger.i24,
}
NOT_APPLICABLE = {"I19": "there are no schedules yet"}

LOST = frozenset({"I9", "I11", "I15"})
DOUBLED = frozenset({"I1", "I2", "I6", "I7", "I8", "I17"})
STUCK = frozenset({"I10", "I16", "I22"})


def check(history: History) -> list[Violation]:
    """Return everything that must not be, in the order of the invariants."""
    return [violation for find in INVARIANTS.values() for violation in find(history)]
