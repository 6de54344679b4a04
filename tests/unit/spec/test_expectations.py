"""`tests` of a definition: canonical, in the digest, written back, compared, and from Python."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from headway import pipeline, shell
from headway.authoring.definition import Definition
from headway.plan import build
from headway.spec import Spec, completed, load
from headway.spec.changes import changes
from headway.spec.writing import written

HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"
BODY = (
    "params: {day: {type: date}, n: {type: int, default: 1}}\n"
    "steps:\n"
    "  load: {run: x, outputs: {rows: int, mean: float}, retry: 2}\n"
    "  settle: {wait: 1h}\n"
    "  big: {run: x, class: large, needs: [load]}\n"
)
TESTS = (
    "tests:\n"
    "  - name: a usual day\n"
    "    params: {day: 2026-01-31}\n"
    "    outcomes: {load#1: failed, big: skipped}\n"
    "    outputs: {load: {rows: 3, mean: 1}}\n"
    "    durations: {load: 1m30s}\n"
    "    slots: {default: 2, large: 0}\n"
    "    logical_date: 2026-01-31T06:00:00+02:00\n"
    "    expect:\n"
    "      state: succeeded\n"
    "      steps: {load: succeeded, settle: {state: succeeded, started_s: 0, finished_s: 1h}}\n"
    "      makespan_at_most: 2h\n"
    "      order: [load, settle]\n"
)


def spec_of(text: str) -> Spec:
    loaded = load(HEAD + text, "f")
    assert loaded.spec is not None, loaded.problems
    return loaded.spec


def test_the_canonical_form_says_what_is_given() -> None:
    assert spec_of(BODY + TESTS).canonical["tests"] == [
        {
            "name": "a usual day",
            "params": {"day": "2026-01-31"},
            "outcomes": {"load#1": "failed", "big": "skipped"},
            "outputs": {"load": {"rows": 3, "mean": 1.0}},
            "durations": {"load": 90.0},
            "slots": {"default": 2, "large": 0},
            "logical_date": "2026-01-31T04:00:00.000Z",
            "expect": {
                "state": "succeeded",
                "steps": {
                    "load": {"state": "succeeded"},
                    "settle": {"state": "succeeded", "started_s": 0.0, "finished_s": 3600.0},
                },
                "makespan_at_most": 7200.0,
                "order": ["load", "settle"],
            },
        }
    ]


def test_a_definition_without_tests_keeps_its_digest() -> None:
    bare, none = spec_of(BODY), spec_of(BODY + "tests: []\n")
    assert "tests" not in bare.canonical
    # Computed before the key was there: stored versions and runs are pinned by it.
    assert bare.digest == "f9a679fa1f355171e4314fb257fdf9090dd42a4ac5ef893a20ac651f3e0d543a"
    assert none.digest == bare.digest
    assert completed(bare.canonical)["tests"] == []


def test_tests_are_part_of_the_digest_and_of_no_plan() -> None:
    bare, tested = spec_of(BODY), spec_of(BODY + TESTS)
    assert tested.digest != bare.digest
    assert build(tested.canonical, "d") == build(bare.canonical, "d")


def test_they_are_written_back_as_people_write_them() -> None:
    spec = spec_of(BODY + TESTS)
    text = written(spec.canonical)
    assert load(text, "f").spec == spec
    _, _, tail = text.partition("tests:\n")
    assert "durations:\n      load: 1m30s\n" in tail
    assert "        load: succeeded\n" in tail
    assert "makespan_at_most: 2h\n" in tail


def test_each_test_that_differs_is_a_change_of_its_own() -> None:
    other = TESTS.replace("state: succeeded\n", "state: failed\n").replace("2h", "1h")
    added = BODY + other + "  - {name: another, params: {day: 2026-02-01}, expect: {state: failed}}"
    found = changes(spec_of(BODY + TESTS).canonical, spec_of(added).canonical)
    assert [(change.change, change.path) for change in found] == [
        ("changed", "tests.a usual day.expect.state"),
        ("changed", "tests.a usual day.expect.makespan_at_most"),
        ("added", "tests.another"),
    ]
    gone = changes(spec_of(BODY + TESTS).canonical, spec_of(BODY).canonical)
    assert [(change.change, change.path) for change in gone] == [("removed", "tests.a usual day")]


def test_objects_and_yaml_are_one() -> None:
    again = Definition.from_yaml(HEAD + TESTS + BODY)
    assert again.to_yaml().index("steps:") < again.to_yaml().index("tests:")
    assert again.spec().digest == spec_of(BODY + TESTS).digest


def test_tests_of_a_pipeline_in_python() -> None:
    tests: list[dict[str, Any]] = [
        {
            "name": "a slow load",
            "params": {"day": date(2026, 1, 31)},
            "durations": {"load": timedelta(seconds=90)},
            "outcomes": {"load#1": "failed"},
            "expect": {"state": "failed", "steps": {"load": "failed"}},
        }
    ]

    @pipeline(team="t", owner="o", name="p", tests=tests)
    def made(day: date) -> None:
        shell("x", name="load")

    spec = made.build().spec()
    text = (
        "params: {day: {type: date}}\nsteps: {load: {run: x}}\ntests:\n"
        "  - {name: a slow load, params: {day: 2026-01-31}, durations: {load: 1m30s},"
        " outcomes: {load#1: failed}, expect: {state: failed, steps: {load: failed}}}\n"
    )
    assert spec.canonical["tests"] == spec_of(text).canonical["tests"]
    assert spec.digest == spec_of(text).digest


@pytest.mark.parametrize(
    ("test", "hint"),
    [
        ("outcomes: {laod: failed}", "did you mean `load`?"),
        ("outcomes: {load: faild}", "did you mean `failed`?"),
        ("outcomes: {load#1: skipped}", "write load: skipped"),
        ("outcomes: {load#7: failed}", "its retries allow 3, and 3 more when attempts are lost"),
        ("outputs: {load: {row: 1}}", "did you mean `rows`?"),
        ("outputs: {load: {rows: many}}", "give it a value of type int"),
        ("durations: {load: 90}", "write 90s if seconds are meant"),
        ("durations: {settle: 90s}", "leave it out"),
        ("slots: {larg: 1}", "did you mean `large`?"),
        ("expect: {state: suceeded}", "did you mean `succeeded`?"),
        ("expect: {}", "such as {state: succeeded}"),
        ("expect: {steps: {laod: failed}}", "did you mean `load`?"),
        ("expect: {steps: {load: timed_out}}", "write {state: failed, reason: timed_out}"),
        ("expect: {steps: {load: {reason: iff}}}", "did you mean `if`?"),
        ("expect: {order: [laod]}", "did you mean `load`?"),
        ("outcome: {}", "did you mean `outcomes`?"),
    ],
)
def test_hints_say_the_mend(test: str, hint: str) -> None:
    expect = "" if test.startswith("expect") else ", expect: {state: failed}"
    text = f"{HEAD}{BODY}tests: [{{name: x, params: {{day: 2026-01-31}}, {test}{expect}}}]"
    assert hint in [problem.hint for problem in load(text, "f").problems]


def test_what_is_wrong_elsewhere_is_told_once() -> None:
    text = HEAD + (
        "params: {n: {type: integer}}\n"
        "steps: {load: {rum: x}, b: {run: x}}\n"
        "tests:\n"
        "  - {name: x, params: {n: 1}, outputs: {load: {rows: 1}}, slots: {gpu: 1},"
        " expect: {steps: {load: failed}}}\n"
    )
    assert [p.line for p in load(text, "f").problems if p.line > 6] == []
    assert load(text, "f").problems
