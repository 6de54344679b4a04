"""Values of expressions, and what has none."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headway.expressions import (
    ExpressionError,
    context,
    evaluate,
    evaluate_condition,
    lookup,
    names,
)

RUN = {"id": "r1", "pipeline": "p", "team": "t", "logical_date": "2026-03-01T06:00:00Z"}
STEPS = {
    "a": {"state": "succeeded", "outputs": {"rows": 3, "share": 1, "at": "2026-01-01T00:00:00Z"}},
    "b": {"state": "failed", "outputs": {}},
    "c": {"state": "succeeded", "outputs": {"parts": [{"rows": 2}, {}]}},
}
TYPES = {"a": {"rows": "int", "share": "float", "at": "datetime"}, "c": {"parts": "list"}}


def around(source: str) -> dict[str, Any]:
    return context(
        names(source),
        run=RUN,
        params={"n": 3, "day": "2026-03-01", "at": "2026-03-01T00:00:00Z", "half": 0.5},
        param_types={"n": "int", "day": "date", "at": "datetime", "half": "float"},
        steps={name: {**step, "artifacts": []} for name, step in STEPS.items()},
        output_types=TYPES,
    )


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("params.n", 3),
        ("params.n + 1", 4),
        ("params.day + '!'", "2026-03-01!"),
        ("params.at", "2026-03-01T00:00:00.000Z"),
        ("params.at == timestamp('2026-03-01T00:00:00Z')", True),
        ("run.logical_date", "2026-03-01T06:00:00.000Z"),
        ("run.logical_date - duration('1h')", "2026-03-01T05:00:00.000Z"),
        ("run.logical_date - params.at", "6h"),
        ("params.at - run.logical_date", "-6h"),
        ("run.logical_date.getMonth()", 2),
        ("steps.a.outputs.share + params.half", 1.5),
        ("steps.a.outputs.at < run.logical_date", True),
        ("steps.b.state", "failed"),
        ("has(steps.b.outputs.rows)", False),
        ("has(steps.a.outputs.rows) && steps.a.outputs.rows == 3", True),
        ("steps.c.outputs.parts.exists(p, has(p.rows) && p.rows > 1)", True),
        ("steps.c.outputs.parts.filter(p, has(p.rows)).map(p, p.rows)", [2]),
        ("[1, 'é', null, {'a': [true]}]", [1, "é", None, {"a": [True]}]),
        ("{'a': params.at}", {"a": "2026-03-01T00:00:00.000Z"}),
        ("1" + " + 1" * 400, 401),
    ],
)
def test_values(source: str, value: Any) -> None:
    assert evaluate(source, around(source)) == value


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("params.m", "`params` has no `m`"),
        ("params.m + 1", "there is no `m`"),
        ("steps.b.outputs.rows", "`steps.b.outputs` has no `rows`"),
        ("steps.b.outputs.rows > 1", "there is no `rows`"),
        ("steps.zz.state == 'x'", "there is no `zz`"),
        ("event.data", "there is no `event`"),
        ("params.n.x", "`params.n` has no `x`"),
        ("1 / 0", "zero"),
        ("[1][5]", "out of bounds"),
        ("params.n + 'x'", "No such overload"),
        ("9223372036854775807 + params.n", "overflow"),
        ("1.0 / 0.0", "not a finite number"),
        ("b'x'", "bytes"),
        ("{1: 2}", "not text"),
        ("nothing(1)", "nothing"),
        ("1 +", "not CEL"),
        ("[1].map(x, [1].map(y, y))", "not allowed"),
        ("(" * 40 + "1" + ")" * 40, "nested deeper"),
        ("x" * 2001, "longer than"),
        ("params.day.matches('[')", "not a valid regex"),
    ],
    ids=range(20),
)
def test_what_has_no_value_says_why(source: str, said: str) -> None:
    try:
        wanted = around(source)
    except ExpressionError:
        wanted = {}
    with pytest.raises(ExpressionError) as raised:
        evaluate(source, wanted)
    assert said in raised.value.message
    assert "\n" not in raised.value.message


def test_the_context_holds_only_what_is_named() -> None:
    assert around("steps.b.state == 'x' && params.n > 1") == {
        "steps": {"b": {"state": "failed", "outputs": {}, "artifacts": []}},
        "params": {"n": 3},
    }
    assert around("1 > 2") == {}


def test_a_result_of_more_than_a_mebibyte_is_refused() -> None:
    source = "params.s + params.s"
    half = "x" * (600 * 1024)
    with pytest.raises(ExpressionError, match="1 MiB"):
        evaluate(source, {"params": {"s": half}})
    with pytest.raises(ExpressionError, match="1 MiB"):
        evaluate("[params.l, params.l]", {"params": {"l": [[[]] * 100] * 3000}})
    assert evaluate("size(params.s + params.s)", {"params": {"s": half}}) == 2 * len(half)


def test_a_list_of_more_than_ten_thousand_items_is_refused() -> None:
    made = {"params": {"l": [1] * 10_001}}
    with pytest.raises(ExpressionError, match="10,001 items"):
        evaluate("size(params.l)", made)
    made["params"]["l"].pop()
    assert evaluate("size(params.l)", made) == 10_000


@pytest.mark.parametrize("source", ["params.n", "'true'", "null", "1 + 1"])
def test_a_condition_is_never_truthy(source: str) -> None:
    with pytest.raises(ExpressionError, match="true or false"):
        evaluate_condition(source, around(source))


def test_a_condition_decides() -> None:
    assert evaluate_condition("params.n > 2", around("params.n > 2")) is True
    assert evaluate_condition("params.n > 3", around("params.n > 3")) is False


def test_plain_paths_need_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel", None)
    assert evaluate("params.n", {"params": {"n": 1}}) == 1
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert lookup(("run", "at"), {"run": {"at": moment}}) == "2026-01-01T00:00:00.000Z"
    assert lookup(("run", "d"), {"run": {"d": timedelta(minutes=90)}}) == "1h30m"


def test_the_data_interval_is_made_of_timestamps() -> None:
    interval = {
        "data_interval_start": "2026-02-28T06:00:00Z",
        "data_interval_end": "2026-03-01T06:00:00Z",
    }
    source = "run.data_interval_end - run.data_interval_start"
    nothing: dict[str, Any] = {"params": {}, "param_types": {}, "steps": {}, "output_types": {}}
    given = context(names(source), run={**RUN, **interval}, **nothing)
    assert evaluate(source, given) == "1d"
    assert evaluate("run.data_interval_start", given) == "2026-02-28T06:00:00.000Z"
    # A run that no schedule started is about its logical date.
    for run in (RUN, {**RUN, "data_interval_start": None}):
        given = context(names(source), run=run, **nothing)
        assert evaluate(source, given) == "0s"
        assert evaluate("run.data_interval_end", given) == "2026-03-01T06:00:00.000Z"
