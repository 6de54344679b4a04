from __future__ import annotations

import re
from typing import Any

import pytest

from headway.portable import DEEPEST, is_deep, unportable


def nested(levels: int) -> Any:
    value: Any = 1
    for number in range(levels):
        value = [value] if number % 2 else {"a": value}
    return value


def test_values_that_every_part_can_hold() -> None:
    value = {"a": [1, 2**63 - 1, -(2**63), 1.5, True, None, "\U0001f600\x01"], "b": {}}
    assert unportable(value) is None
    assert unportable(nested(DEEPEST)) is None
    assert not is_deep(nested(DEEPEST))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([2**63], "64 bits"),
        ([{"a": -(2**63) - 1}], "64 bits"),
        ({"a": float("inf")}, "not finite"),
        ([float("nan")], "not finite"),
        (["a\0"], r"U\+0000"),
        ({"\ud800": 1}, r"U\+D800"),
        (nested(DEEPEST + 1), "100 levels"),
    ],
)
def test_others_are_told_why_not(value: Any, why: str) -> None:
    said = unportable(value)
    assert said is not None
    assert re.search(why, said)


def test_what_is_nested_too_deep_is_found() -> None:
    assert is_deep(nested(DEEPEST + 1))
    assert is_deep([1, [2], nested(900)])
