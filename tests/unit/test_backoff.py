"""How long to wait before the next try."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headway.backoff import exponential, jittered

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (5, 16), (7, 60), (10_000, 60)]
)
def test_the_wait_doubles_up_to_its_cap(attempt: int, seconds: int) -> None:
    assert exponential(attempt, base=SECOND, cap=60 * SECOND) == seconds * SECOND


def test_no_base_and_no_number_of_tries_overflow() -> None:
    year = timedelta(days=365)
    assert exponential(10_000, base=timedelta(days=1), cap=year) == year
    assert exponential(10_000, base=timedelta(), cap=year) == timedelta()
    assert exponential(1, base=year, cap=SECOND) == SECOND


def test_half_of_a_jittered_wait_stays() -> None:
    assert jittered(SECOND, 0.0) == SECOND / 2
    assert SECOND / 2 < jittered(SECOND, 0.5) < SECOND
    assert jittered(SECOND, 0.999) <= SECOND
