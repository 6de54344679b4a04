"""`when: {succeeded: N}`, `cancels` and `enough`: read, refused with their places, built."""

from __future__ import annotations

import pytest

from headway.plan.builder import build
from headway.plan.model import When
from headway.plan.outline import outline, waits_for
from headway.spec.definition import load
from headway.spec.writing import written

HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o@example.com\n"
RACE = """
steps:
  a: {run: x}
  b: {run: x}
  c: {run: x}
  last: {needs: [a, b, c], when: {succeeded: 2}, cancels: [a, b, c], run: x}
  end: {needs: [last], cancels: all, run: x}
  each: {foreach: [1, 2, 3], enough: "60%", run: x}
"""


def test_they_are_read_built_and_written() -> None:
    loaded = load(HEAD + RACE, "f")
    assert loaded.problems == ()
    assert loaded.spec is not None
    plan = build(loaded.spec.canonical)
    last = plan.by_key["last"]
    assert (last.when, last.at_least) == (When.SOME_SUCCEEDED, 2)
    assert last.cancels == ("a", "b", "c")
    assert set(plan.by_key["end"].cancels) == {"a", "b", "c", "last", "each"}
    foreach = plan.by_key["each"].foreach
    assert foreach is not None
    assert (foreach.sufficient(3), foreach.tolerated(3)) == (2, 1)
    again = load(written(loaded.spec.canonical), "f").spec
    assert again is not None
    assert again.digest == loaded.spec.digest
    [told] = [step for step in outline(loaded.spec.canonical) if step.step == "last"]
    assert waits_for(told) == "2 succeeded"


def test_all_spares_what_follows_and_finally() -> None:
    text = "steps:\n  a: {run: x}\n  stop: {cancels: all, run: x}\n  b: {needs: [stop], run: x}\n"
    spec = load(HEAD + text + "finally: {z: {run: x}}\n", "f").spec
    assert spec is not None
    assert build(spec.canonical).by_key["stop"].cancels == ("a",)


@pytest.mark.parametrize(
    ("step", "code", "message"),
    [
        (
            "needs: [a], when: {succeeded: 2}",
            "bad_value",
            "2 steps cannot succeed: it needs 1 step",
        ),
        ("needs: [a], when: {succeeded: 0}", "bad_value", "succeeded must lie between"),
        ("needs: [a], when: {suceeded: 1}", "unknown_key", "suceeded"),
        ("when: some_succeeded", "bad_value", "when cannot be `some_succeeded`"),
        ("cancels: a", "wrong_type", "cancels must be a list of steps, or `all`"),
        ("cancels: [aa]", "unknown_step", "there is no step `aa`"),
        ("cancels: [s]", "bad_value", "step `s` cancels itself"),
        ("cancels: [after]", "bad_value", "`after` follows `s`"),
        ("enough: 2", "conflict", "`enough` is for steps with `foreach` or `matrix`"),
        ("foreach: [1], enough: 0", "bad_value", "enough must lie between"),
        ('foreach: [1], enough: "0%"', "bad_value", "enough cannot be `0%`"),
        ("foreach: [1], enough: 1, allow_failures: 1", "conflict", "`enough` says how many"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(step: str, code: str, message: str) -> None:
    text = f"steps:\n  a: {{run: x}}\n  s: {{{step}, run: x}}\n  after: {{needs: [s], run: x}}\n"
    problems = load(HEAD + text, "f").problems
    assert code in {problem.code for problem in problems}, problems
    [problem] = [each for each in problems if each.code == code]
    assert message in problem.message
    assert problem.line == 7


def test_a_step_of_finally_cancels_nothing() -> None:
    text = "steps: {a: {run: x}}\nfinally: {z: {cancels: all, run: x}}\n"
    [problem] = load(HEAD + text, "f").problems
    assert (problem.code, problem.line) == ("conflict", 6)


def test_only_so_many_steps_may_put_an_end_to_others() -> None:
    steps = "".join(f"  s{n}: {{cancels: all, run: x}}\n" for n in range(102))
    [problem] = load(HEAD + "steps:\n" + steps, "f").problems
    assert (problem.code, problem.line) == ("bad_value", 106)
