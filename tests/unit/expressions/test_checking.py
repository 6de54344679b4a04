"""Faults of expressions, each at its character: `¶` marks it and is no part of the source."""

from __future__ import annotations

import pytest

from headway.expressions import Scope, check, check_type

SCOPE = Scope(
    params={
        "n": "int",
        "ratio": "float",
        "day": "date",
        "at": "datetime",
        "name": "string",
        "d": "duration",
    },
    outputs={"load": {"rows": "int", "parts": "list", "ok": "bool"}, "late": {}, "own": {}},
    upstream=frozenset({"load"}),
    step="own",
)


@pytest.mark.parametrize(
    "source",
    [
        "params.n > 2.5 && params.day < '2026-01-01'",
        "params['n'] == 1",
        "params.d == '90s' && params.d != params.name && params.d in ['1m']",
        "duration(params.d) < duration('2m')",
        "steps.load.outputs.parts.exists(p, has(p.rows) && p.rows > 0)",
        "steps.load.outputs.parts.filter(p, p > 1).map(p, p + 1) == [2]",
        "steps.load.outputs.parts[0].name.startsWith('a')",
        "steps.load.state in ['failed', 'skipped'] ? params.n : 3",
        "run.logical_date > timestamp('2026-01-01T00:00:00Z') - duration('1h')",
        "run.logical_date.getFullYear() == 2026 && params.at != null",
        "double(params.n) * params.ratio + 1.5 > 2.0",
        "-params.n < 0 && !steps.load.outputs.ok",
        "size(steps.load.artifacts) > 0 || 'x' + params.name == 'xy'",
        "1" + " + 1" * 400,
        "{'a': [1, 2]}.a[0] == 1",
    ],
)
def test_sound_expressions_have_no_fault(source: str) -> None:
    assert check(source, SCOPE) == []


@pytest.mark.parametrize(
    ("code", "marked"),
    [
        ("bad_expression", "¶"),
        ("bad_expression", "a ¶+"),
        ("bad_expression", "params.n\n  > ¶)"),
        ("bad_expression", "x" * 2000 + "¶x"),
        ("bad_expression", "!" * 32 + "¶!true"),
        ("bad_expression", "¶99999999999999999999 > 1"),
        ("bad_expression", "[1].map(x, [2].¶map(y, y)) == []"),
        ("bad_expression", "has(¶params)"),
        ("bad_expression", "¶size(1, 2)"),
        ("bad_expression", "[1].exists(¶1, true)"),
        ("bad_expression", "[1].¶exists(x)"),
        ("bad_expression", "¶steps == null"),
        ("bad_expression", "steps[¶run.id].state"),
        ("bad_expression", "¶T{a: 1}"),
        ("bad_expression", "[{}][0].¶in"),
        ("unknown_name", "¶event.data"),
        ("unknown_name", "params.¶m"),
        ("unknown_name", "params[¶'m']"),
        ("unknown_name", "run.¶owner"),
        ("unknown_name", "steps.¶lod.state"),
        ("unknown_name", "steps.load.¶rows"),
        ("unknown_name", "has(steps.load.outputs.¶row)"),
        ("unknown_name", "[1].exists(x, ¶y > 1)"),
        ("not_upstream", "steps.¶late.state"),
        ("not_upstream", "steps.¶own.state"),
        ("unknown_function", "¶len(params.name)"),
        ("unknown_function", "params.name.¶upper()"),
        ("wrong_type", "¶params.day > 3"),
        ("wrong_type", "¶params.n == 'x'"),
        ("wrong_type", "¶run.logical_date > '2026'"),
        ("wrong_type", "¶params.d < '3m'"),
        ("wrong_type", "'3m' == 'x' || ¶'3m' >= params.d"),
        ("bad_value", "params.d == ¶'soon'"),
        ("bad_value", "¶'1.5h' != params.d"),
        ("wrong_type", "true && ¶params.n"),
        ("wrong_type", "!¶params.n"),
        ("wrong_type", "-¶params.name"),
        ("wrong_type", "¶params.n + params.ratio > 1.0"),
        ("wrong_type", "¶params.name + params.n"),
        ("wrong_type", "¶1 in params.n"),
        ("wrong_type", "¶params.n ? 1 : 2"),
        ("wrong_type", "params.n.¶x"),
        ("wrong_type", "params.n.¶exists(x, true)"),
        ("wrong_type", "[1].exists(x, ¶1)"),
        ("wrong_type", "¶[1] < [2]"),
        ("wrong_type", "1 == ¶1 == 1"),
    ],
)
def test_each_fault_has_its_code_and_place(code: str, marked: str) -> None:
    before, _, after = marked.partition("¶")
    assert (len(before), code) in [(f.offset, f.code) for f in check(before + after, SCOPE)]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("n > 1", "did you mean `params.n`?"),
        ("load.state == 'x'", "did you mean `steps.load`?"),
        ("parms.n > 1", "did you mean `params`?"),
        ("steps.load.outputs.row > 1", "did you mean `rows`?"),
        ("steps.load.rows > 1", "did you mean `steps.load.outputs.rows`?"),
        ("steps.late.state == 'x'", "add it to `needs`"),
        ("params.name.startswith('x')", "did you mean `startsWith`?"),
        ("run.logical_date > 'x'", 'write timestamp("…")'),
    ],
)
def test_hints_say_the_mend(source: str, hint: str) -> None:
    assert [fault.hint for fault in check(source, SCOPE)] == [hint]


@pytest.mark.parametrize(
    "source", ["params.n", "'x'", "params.n + 1", "[true]", "null", "size('x')"]
)
def test_a_condition_is_a_boolean(source: str) -> None:
    assert [f.code for f in check(source, SCOPE, condition=True)] == ["not_boolean"]
    assert check(source, SCOPE) == []


@pytest.mark.parametrize("source", ["steps.load.outputs.ok", "true", "has(run.id)", "!true"])
def test_booleans_are_conditions(source: str) -> None:
    assert check(source, SCOPE, condition=True) == []


def test_several_faults_come_at_once_in_order() -> None:
    faults = check("params.m > 1 && steps.late.state == 1", SCOPE)
    found = [(f.offset, f.code) for f in faults]
    assert found == [(7, "unknown_name"), (16, "wrong_type"), (22, "not_upstream")]


EVENTS = Scope(roots=frozenset({"event", "run"}), absent={"params": "they are given here"})


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("event.time", "datetime"),
        ("event.time > run.data_interval_start", "bool"),
        ("event['type'] + '!'", "string"),
        ("event.data.ref", "any"),
        ("event.traceparent", "any"),
        ("event", "object"),
        ("event[event.name]", "any"),
        ("size(event.data.items)", "int"),
        ("run.data_interval_end", "datetime"),
    ],
)
def test_what_is_known_of_an_event(source: str, kind: str) -> None:
    assert check_type(source, EVENTS) == ([], kind)


def test_why_a_root_is_absent_is_told() -> None:
    [fault] = check("params.day == event.data.day", EVENTS)
    assert (fault.code, fault.hint) == ("unknown_name", "they are given here")
    assert [fault.code for fault in check("event.time == 'x'", EVENTS)] == ["wrong_type"]
