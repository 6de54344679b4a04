"""What differs between two definitions."""

from __future__ import annotations

from typing import Any

from headway.spec import load
from headway.spec.changes import Change, changes

BASE = """\
headway: 1
pipeline: p
team: t
owner: o
params: {n: {type: int, default: 1}}
steps:
  a: {run: x, retry: 1}
  b: {run: y, needs: [a]}
"""


def canonical(text: str) -> dict[str, Any]:
    spec = load(text, "f").spec
    assert spec is not None
    return spec.canonical


def told(new: str, old: str = BASE) -> list[tuple[str, str, Any, Any]]:
    found = changes(canonical(old), canonical(new))
    return [(c.change, c.path, c.old, c.new) for c in found]


def test_equal_definitions_differ_in_nothing() -> None:
    assert told(BASE.replace("{run: x, retry: 1}", "{retry: {max: 1}, run: x}")) == []


def test_a_changed_key_has_its_path_and_both_values() -> None:
    assert told(BASE.replace("run: x", "run: z")) == [("changed", "steps.a.run", "x", "z")]
    assert told(BASE.replace("retry: 1", "retry: 3")) == [("changed", "steps.a.retry.max", 1, 3)]
    assert told(BASE.replace("default: 1", "default: 2")) == [("changed", "params.n.default", 1, 2)]
    assert told(BASE.replace("owner: o", "owner: q")) == [("changed", "owner", "o", "q")]


def test_a_step_that_is_new_or_gone_is_one_change() -> None:
    with_c = BASE + "  c: {run: z}\n"
    [(change, path, old, new)] = told(with_c)
    assert (change, path, old, new["run"]) == ("added", "steps.c", None, "z")
    [(change, path, old, new)] = told(BASE, with_c)
    assert (change, path, old["run"], new) == ("removed", "steps.c", "z", None)


def test_a_step_that_moves_to_finally_is_gone_and_new() -> None:
    old = BASE + "  c: {run: z}\n"
    assert [row[:2] for row in told(BASE + "finally: {c: {run: z}}\n", old)] == [
        ("removed", "steps.c"),
        ("added", "finally.c"),
    ]


def test_another_kind_is_one_key_gone_and_one_new() -> None:
    paths = [(c, path) for c, path, _, _ in told(BASE.replace("run: y", "wait: 5m"))]
    assert ("removed", "steps.b.run") in paths
    assert ("added", "steps.b.wait") in paths
    assert ("changed", "steps.b.kind") in paths


def test_the_order_of_steps_is_told() -> None:
    first, second = BASE.splitlines()[-2:]
    turned = BASE.replace(f"{first}\n{second}", f"{second}\n{first}")
    assert told(turned) == [("changed", "steps (order)", ["a", "b"], ["b", "a"])]


def test_every_difference_of_digests_is_a_change() -> None:
    for word, other in (("1}}", "2}}"), ("run: x", "run: w"), ("[a]", "[]"), ("t\n", "u\n")):
        assert told(BASE.replace(word, other)), word


def test_numbers_of_other_types_are_different() -> None:
    assert changes({"a": 1}, {"a": True}) == [Change("changed", "a", 1, True)]
    assert changes({"a": 1}, {"a": 1.0}) == [Change("changed", "a", 1, 1.0)]


def test_a_removed_key_comes_where_it_stood() -> None:
    found = changes({"a": 1, "b": 2, "c": 3}, {"a": 4, "c": 5})
    assert [(c.change, c.path) for c in found] == [
        ("changed", "a"),
        ("removed", "b"),
        ("changed", "c"),
    ]
