"""Given values become typed ones, or problems."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from headway.errors import DefinitionError
from headway.spec import Spec, bind_params, load

RUN = {"id": "r", "pipeline": "p", "team": "t", "logical_date": datetime(2026, 3, 1, 6, tzinfo=UTC)}


def spec(params: str) -> Spec:
    head = "headway: 1\npipeline: p\nteam: t\nowner: o\n"
    text = f"{head}params: {{{params}}}\nsteps: {{a: {{run: x}}}}"
    loaded = load(text, "f")
    assert loaded.spec is not None, loaded.problems
    return loaded.spec


@pytest.mark.parametrize(
    ("kind", "given", "bound"),
    [
        ("string", "12", "12"),
        ("int", "12", 12),
        ("int", -3, -3),
        ("float", "1.5", 1.5),
        ("float", 2, 2.0),
        ("bool", "true", True),
        ("bool", "False", False),
        ("date", "2026-01-31", "2026-01-31"),
        ("date", "2026-01-31T23:30:00-05:00", "2026-02-01"),
        ("datetime", "2026-01-31T01:00:00+01:00", "2026-01-31T00:00:00.000Z"),
        ("duration", " 90s", "90s"),
        ("list", '[1, "a"]', [1, "a"]),
        ("list", [1], [1]),
        ("object", '{"a": null}', {"a": None}),
    ],
)
def test_values_take_the_declared_type(kind: str, given: Any, bound: Any) -> None:
    made = bind_params(spec(f"a: {{type: {kind}}}"), {"a": given}, RUN)["a"]
    assert made == bound
    assert type(made) is type(bound)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("string", 1),
        ("string", "a\0b"),
        ("int", "1.5"),
        ("int", True),
        ("int", 2**63),
        ("float", "inf"),
        ("float", "nan"),
        ("bool", "yes"),
        ("bool", 1),
        ("date", "31.1.2026"),
        ("date", "2026-02-30"),
        ("datetime", "2026-01-31T00:00:00"),
        ("datetime", 5),
        ("duration", "soon"),
        ("duration", "90S"),
        ("duration", 5),
        ("list", "{}"),
        ("list", "[" * 5000),
        ("object", "[NaN"),
        ("object", '{"a": NaN}'),
    ],
)
def test_other_values_are_refused(kind: str, given: Any) -> None:
    with pytest.raises(DefinitionError) as raised:
        bind_params(spec(f"a: {{type: {kind}}}"), {"a": given}, RUN)
    assert raised.value.code == "invalid_params"
    assert [(p.file, p.line, p.column, p.code) for p in raised.value.problems] == [
        ("params", 0, 0, "bad_value")
    ]


def test_defaults_fill_in_and_may_name_the_run() -> None:
    declared = spec(
        'day: {type: date, default: "${{ run.logical_date }}"},'
        ' at: {type: datetime, default: "${{run.logical_date}}"},'
        " n: {type: int, default: 3}, free: {type: list, required: false}"
    )
    expected = {"day": "2026-03-01", "at": "2026-03-01T06:00:00.000Z", "n": 3, "free": None}
    assert bind_params(declared, {}, RUN) == expected
    as_text = {**RUN, "logical_date": "2026-03-01T06:00:00Z"}
    assert bind_params(declared.canonical, {}, as_text) == expected


def test_all_problems_come_at_once() -> None:
    declared = spec("region: {type: string, enum: [eu, us]}, n: {type: int}")
    with pytest.raises(DefinitionError) as raised:
        bind_params(declared, {"region": "mars", "m": 1}, RUN)
    problems = {p.code: p for p in raised.value.problems}
    assert set(problems) == {"unknown_param", "bad_value", "missing_param"}
    assert problems["bad_value"].message == "`region`: `mars` is not one of: eu, us"
    assert problems["missing_param"].hint == "give it a value: -p n=…"


def test_a_duration_stays_as_it_was_written() -> None:
    declared = spec("a: {type: duration, default: 90s}, b: {type: duration, enum: [60m, 1h]}")
    assert declared.params["a"].default == "90s"
    assert bind_params(declared, {"b": "60m"}, RUN) == {"a": "90s", "b": "60m"}


def test_a_default_may_name_the_data_interval() -> None:
    loaded = load(
        "headway: 1\npipeline: p\nteam: t\nowner: o\nparams:\n"
        '  first: {type: date, default: "${{ run.data_interval_start }}"}\n'
        '  last: {type: datetime, default: "${{ run.data_interval_end }}"}\n'
        "steps: {a: {run: x}}\n",
        "f",
    )
    assert loaded.spec is not None
    interval = {
        "data_interval_start": datetime(2026, 2, 28, 6, tzinfo=UTC),
        "data_interval_end": datetime(2026, 3, 1, 6, tzinfo=UTC),
    }
    assert bind_params(loaded.spec, {}, {**RUN, **interval}) == {
        "first": "2026-02-28",
        "last": "2026-03-01T06:00:00.000Z",
    }
    assert bind_params(loaded.spec, {}, RUN) == {
        "first": "2026-03-01",
        "last": "2026-03-01T06:00:00.000Z",
    }


def test_null_is_no_value_of_a_param() -> None:
    with pytest.raises(DefinitionError) as raised:
        bind_params(
            spec("a: {type: date}, n: {type: int, default: 3}"), {"a": None, "n": None}, RUN
        )
    assert [p.message for p in raised.value.problems] == [
        "`a`: null is no date; leave it out, or give it a value",
        "`n`: null is no int; leave it out, or give it a value",
    ]
