"""How long to wait before try number n."""

from __future__ import annotations

from datetime import timedelta


def exponential(attempt: int, *, base: timedelta, cap: timedelta) -> timedelta:
    """Return `base` doubled for every attempt after the first (counted from 1), at most `cap`."""
    doublings = min(max(attempt, 1) - 1, 30)
    # Compared before it is multiplied: the product of a long base and many tries has no timedelta.
    if base > timedelta() and cap / base <= 1 << doublings:
        return cap
    return min(cap, base * (1 << doublings))


def jittered(delay: timedelta, fraction: float) -> timedelta:
    """Return between half of `delay` and all of it; `fraction` in [0, 1) chooses where.

    Half stays fixed, so that a retry is never immediate; the other half is spread.
    """
    return delay * (0.5 + fraction / 2)
