"""`${{ }}` found, split and replaced."""

from __future__ import annotations

from typing import Any

import pytest

from headway.expressions import (
    ExpressionError,
    Names,
    Template,
    expressions_in,
    names,
    resolve,
    simple_path,
    template,
)

VALUES: dict[str, Any] = {
    "n": 3,
    "s": "x",
    "t": True,
    "z": None,
    "l": [1, "é"],
    "{'a': {'b': 1}}": {"a": {"b": 1}},
    "'}}'": "}}",
    "'it\\'s }}'": "it's }}",
}


@pytest.mark.parametrize("value", ["", "text", "$ {{ x }}", "{{ x }}", 1, None, [1], "}}"])
def test_what_holds_no_expression_is_itself(value: Any) -> None:
    assert template(value) is value
    assert resolve(value, VALUES.__getitem__) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ n }}", 3),
        ("${{n}}", 3),
        ("\n${{ l }}\n", [1, "é"]),
        ("${{ z }}", None),
        ("${{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("${{ {'a': {'b': 1}}}}", {"a": {"b": 1}}),
        ("${{ '}}' }}", "}}"),
        ("${{ 'it\\'s }}' }}", "it's }}"),
        ("n=${{ n }}", "n=3"),
        ("${{ s }}${{ n }}", "x3"),
        ("${{ s }} ${{ s }}", "x x"),
        ("${{ t }}, ${{ z }}, ${{ l }}", 'true, null, [1,"é"]'),
        ("a }} ${{ s }} }}", "a }} x }}"),
    ],
)
def test_a_whole_expression_keeps_its_type_and_others_become_text(text: str, value: Any) -> None:
    assert resolve(text, VALUES.__getitem__) == value


def test_values_are_resolved_wherever_they_stand_and_keys_are_not() -> None:
    value = {"a": ["${{ n }}", {"${{ n }}": "v${{ s }}"}], "b": 1}
    assert resolve(value, VALUES.__getitem__) == {"a": [3, {"${{ n }}": "vx"}], "b": 1}
    assert expressions_in(value) == [("n", ("a", 0)), ("s", ("a", 1, "${{ n }}"))]


def test_what_a_value_holds_is_not_resolved_again() -> None:
    assert resolve("${{ a }}-", {"a": "${{ b }}"}.__getitem__) == "${{ b }}-"


def test_parts_know_where_their_source_begins() -> None:
    parsed = template("ab ${{  n }}${{s}}")
    assert isinstance(parsed, Template)
    assert [(part.source, part.offset) for part in parsed.expressions] == [("n", 8), ("s", 15)]
    assert parsed.whole is None


@pytest.mark.parametrize(
    ("text", "offset"), [("${{ n }", 0), ("a ${{ '}}", 2), ("${{ {'a': 1 }}", 0)]
)
def test_an_open_end_is_an_error_with_its_place(text: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as raised:
        template(text)
    assert raised.value.offset == offset


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("params.day", ("params", "day")),
        (" steps.a.outputs.n ", ("steps", "a", "outputs", "n")),
        ("run.logical_date", ("run", "logical_date")),
        ("params", ("params",)),
        ("params.day + 1", None),
        ("params['day']", None),
        ("other.day", None),
        ("params.in", None),
        ("params.", None),
        ("true", None),
        ("steps.a.size()", None),
    ],
)
def test_plain_paths_are_told_from_the_rest(source: str, path: tuple[str, ...] | None) -> None:
    assert simple_path(source) == path


@pytest.mark.parametrize(
    ("source", "steps", "params", "roots"),
    [
        ("params.day", "", "day", "params"),
        ("steps.a.state == 'x' && steps['b'].outputs.n > params.m", "a b", "m", "params steps"),
        ("steps.a.outputs.l.exists(p, p.x > params.n)", "a", "n", "params steps"),
        ("[1].map(steps, steps.q)", "", "", ""),
        ("[1].map(x, steps.a.state) == [run.id]", "a", "", "run steps"),
        ("size('params.x')", "", "", ""),
        ("has(steps.a.outputs.x) ? {'k': params.y} : {}", "a", "y", "params steps"),
    ],
)
def test_names_are_those_read_outside(source: str, steps: str, params: str, roots: str) -> None:
    expected = Names(*(frozenset(words.split()) for words in (steps, params, roots)))
    assert names(source) == expected
