"""Identifiers: sortable by time of making where they are random, derived where they can be."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from headway.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case

RandomBytes = Callable[[int], bytes]


def new_id(clock: Clock, random_bytes: RandomBytes = secrets.token_bytes) -> str:
    """Return 26 characters: 48 bits of milliseconds, then 80 random bits (the ULID layout)."""
    milliseconds = int(clock.now().timestamp() * 1000)
    value = (milliseconds << 80) | int.from_bytes(random_bytes(10), "big")
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


def made_at(id: str) -> datetime | None:
    """Return when `new_id` made an id, to the millisecond; None for any other text."""
    if len(id) != 26 or not {*id} <= {*_ALPHABET}:
        return None
    value = 0
    for letter in id:
        value = value << 5 | _ALPHABET.index(letter)
    milliseconds = value >> 80
    if milliseconds >> 48:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError):
        return None  # a year that no calendar here has


def attempt_id(run: str, step_index: int, no: int, child: int | None = None) -> str:
    """Return the id of attempt `no` (from 1) of the step at `step_index` of the run's plan, or of
    its child for the item `child`.

    It is derived, so that a decision made twice names the same attempt.
    """
    return f"{run}-{step_index}{'' if child is None else f'.{child}'}-{no}"


def attempted_step(attempt: str) -> tuple[int, int | None]:
    """Return the index of an attempt's step in its run's plan, and its child's item if it has one.

    Raises ValueError for a text that is no attempt's id.
    """
    parts = attempt.rsplit("-", 2)
    if len(parts) != 3:
        raise ValueError(f"{attempt!r} names no attempt")
    index, dot, child = parts[1].partition(".")
    return int(index), int(child) if dot else None
