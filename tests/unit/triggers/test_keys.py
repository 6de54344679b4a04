"""Keys of events: short enough for any index, and different for different events."""

from __future__ import annotations

import pytest

from headway_coordinator.triggers.keys import LONGEST_BYTES, short


@pytest.mark.parametrize("text", ["", "main", "é" * 200, "a" * LONGEST_BYTES])
def test_a_short_text_is_its_own_key(text: str) -> None:
    assert short(text) == text


@pytest.mark.parametrize("text", ["a" * 401, "é" * 201, "\U00020000" * 101, "a\x00", "a\ud800"])
def test_a_key_fits_into_an_index_whatever_the_text(text: str) -> None:
    key = short(text)
    assert len(key.encode()) <= LONGEST_BYTES
    assert key == short(text)
    assert key != short(text + "b")
