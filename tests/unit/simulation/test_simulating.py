"""Small definitions whose runs were worked out by hand: states, reasons, times and waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headway.errors import DefinitionError
from headway.simulation.parts import LOGICAL_DATE, Assumed, Simulated
from headway.spec import load
from headway.spec.params import TYPES
from headway_coordinator.simulation import simulate

HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"
# Retries whose delays are known without the spread.
RETRY = "retry: {max: 2, backoff: fixed, delay: 10s, jitter: false}"


def simulated(text: str, **assumed: Any) -> Simulated:
    loaded = load(HEAD + text, "f")
    assert loaded.spec is not None, loaded.problems
    seconds = assumed.pop("durations", {})
    durations = {step: timedelta(seconds=each) for step, each in seconds.items()}
    given = {"logical_date": LOGICAL_DATE, **assumed}
    return simulate(
        loaded.spec.canonical, loaded.spec.digest, Assumed(durations=durations, **given)
    )


def told(result: Simulated) -> list[str]:
    """Return each step in a line: name, state, reason, start, end, attempts."""

    def time(seconds: float | None) -> str:
        return "-" if seconds is None else f"{seconds:g}"

    return [
        f"{s.name} {s.state} {s.reason or '-'}"
        f" {time(s.started_s)} {time(s.finished_s)} {s.attempts}"
        for s in result.steps
    ]


CHAIN = "steps: {a: {run: x}, b: {run: x, needs: [a]}, c: {run: x, needs: [b]}}"
OUTPUT = (
    "steps: {a: {run: x, outputs: {n: int}}, b: {run: x, needs: [a], if: steps.a.outputs.n > 5}}"
)
CASES: dict[str, tuple[str, dict[str, Any], str, list[str]]] = {
    "a chain": (
        CHAIN,
        {"durations": {"b": 5}},
        "succeeded 7",
        ["a succeeded - 0 1 1", "b succeeded - 1 6 1", "c succeeded - 6 7 1"],
    ),
    "a failure in a chain, and `finally`": (
        CHAIN + "\nfinally: {z: {run: x}}",
        {"outcomes": {"b": "failed"}},
        "failed 3",
        [
            "a succeeded - 0 1 1",
            "b failed failed 1 2 1",
            "c upstream_failed upstream_failed - 2 0",
            "z succeeded - 2 3 1",
        ],
    ),
    "slots run out": (
        "steps: {a: {run: x}, b: {run: x}, c: {run: x}, d: {run: x, class: big}}",
        {"slots": {"default": 2}, "durations": {"a": 3, "b": 5, "c": 1, "d": 2}},
        "succeeded 5",
        [
            "a succeeded - 0 3 1",
            "b succeeded - 0 5 1",
            "d succeeded - 0 2 1",
            "c succeeded - 3 4 1",
        ],
    ),
    "the first attempt fails": (
        "steps: {a: {run: x, " + RETRY + "}}",
        {"outcomes": {"a#1": "failed"}, "durations": {"a": 2}},
        "succeeded 14",
        ["a succeeded - 0 14 2"],
    ),
    "retries are spent": (
        "steps: {a: {run: x, " + RETRY + "}}",
        {"outcomes": {"a": "failed"}, "durations": {"a": 2}},
        "failed 26",
        ["a failed failed 0 26 3"],
    ),
    "delays double up to their cap": (
        "steps: {a: {run: x, retry: {max: 3, delay: 10s, cap: 15s, jitter: false}}}",
        {"outcomes": {"a": "failed"}},
        "failed 44",
        ["a failed failed 0 44 4"],
    ),
    "lost attempts have a limit of their own": (
        "steps: {a: {run: x}}",
        {"outcomes": {"a": "lost"}},
        "failed 4",
        ["a failed infra_lost 0 4 4"],
    ),
    "one attempt is lost": (
        "steps: {a: {run: x}}",
        {"outcomes": {"a#1": "lost"}},
        "succeeded 2",
        ["a succeeded - 0 2 2"],
    ),
    "longer than its timeout": (
        "steps: {a: {run: x, timeout: 4s}}",
        {"durations": {"a": 9}},
        "failed 4",
        ["a failed timed_out 0 4 1"],
    ),
    "exactly its timeout": (
        "steps: {a: {run: x, timeout: 4s}}",
        {"durations": {"a": 4}},
        "succeeded 4",
        ["a succeeded - 0 4 1"],
    ),
    "times out because it is said": (
        "steps: {a: {run: x, timeout: 4s}}",
        {"outcomes": {"a": "timed_out"}},
        "failed 4",
        ["a failed timed_out 0 4 1"],
    ),
    "a timeout below a second is no failure by itself": (
        "steps: {a: {run: x, timeout: 300ms}}",
        {},
        "succeeded 0.3",
        ["a succeeded - 0 0.3 1"],
    ),
    "the run times out": (
        "timeout: 10s\n" + CHAIN + "\nfinally: {z: {run: x}}",
        {"durations": {"a": 8, "b": 8}},
        "timed_out 11",
        [
            "a succeeded - 0 8 1",
            "b cancelled cancelled 8 10 1",
            "c cancelled cancelled - 10 0",
            "z succeeded - 10 11 1",
        ],
    ),
    "the run times out while attempts wait for slots": (
        "timeout: 10s\nsteps: {a: {run: x}, b: {run: x}}",
        {"durations": {"a": 20, "b": 20}, "slots": {"default": 1}},
        "timed_out 10",
        ["a cancelled cancelled 0 10 1", "b cancelled cancelled - 10 0"],
    ),
    "queue_timeout, dispatched ahead": (
        "steps: {a: {run: x}, b: {run: x, queue_timeout: 500ms}}",
        {"slots": {"default": 1}},
        "failed 1",
        ["a succeeded - 0 1 1", "b failed queue_timeout - 0.5 1"],
    ),
    "what is withdrawn leaves its room to the next": (
        "steps: {a: {run: x}, b: {run: x, queue_timeout: 500ms},"
        " c: {run: x, queue_timeout: 700ms}}",
        {"slots": {"default": 1}},
        "failed 1",
        [
            "a succeeded - 0 1 1",
            "b failed queue_timeout - 0.5 1",
            "c failed queue_timeout - 0.7 1",
        ],
    ),
    "queue_timeout, in line": (
        "steps: {a: {run: x}, b: {run: x, queue_timeout: 3s}}",
        {"slots": {"default": 1}, "durations": {"a": 60, "b": 60}},
        "failed 60",
        ["a succeeded - 0 60 1", "b failed queue_timeout - 3 0"],
    ),
    "a slot that becomes free at the last moment": (
        "steps: {a: {run: x}, b: {run: x, queue_timeout: 1s}}",
        {"slots": {"default": 1}},
        "succeeded 2",
        ["a succeeded - 0 1 1", "b succeeded - 1 2 1"],
    ),
    "a class that nobody serves": (
        "steps: {a: {run: x}, b: {run: x, class: gpu, needs: [a]}, c: {run: x, needs: [b]}}",
        {"slots": {"gpu": 0}},
        "running 1",
        ["a succeeded - 0 1 1", "b ready no_worker - - 0", "c pending upstream - - 0"],
    ),
    "what is not due any more moves no clock": (
        "steps: {a: {run: x, queue_timeout: 1h}, b: {run: x, class: gpu}}",
        {"slots": {"gpu": 0}},
        "running 1",
        ["a succeeded - 0 1 1", "b ready no_worker - - 0"],
    ),
    "what was stopped moves no clock": (
        "timeout: 10s\nsteps: {a: {run: x}}\nfinally: {z: {run: x, class: gpu}}",
        {"slots": {"gpu": 0}, "durations": {"a": 20}},
        "cancelling 10",
        ["a cancelled cancelled 0 10 1", "z ready no_worker - - 0"],
    ),
    "nobody serves it, and its queue_timeout ends it": (
        "steps: {b: {run: x, class: gpu, queue_timeout: 1m}}",
        {"slots": {"gpu": 0}},
        "failed 60",
        ["b failed queue_timeout - 60 0"],
    ),
    "allow_failure": (
        "steps: {a: {run: x, allow_failure: true}, b: {run: x, needs: [a]}}",
        {"outcomes": {"a": "failed"}},
        "succeeded 2",
        ["a failed failed 0 1 1", "b succeeded - 1 2 1"],
    ),
    "`when` skips and calls": (
        "steps: {a: {run: x}, b: {run: x, needs: [a], when: any_failed},"
        " c: {run: x, needs: [a], when: all_done}}",
        {},
        "succeeded 2",
        ["a succeeded - 0 1 1", "b skipped when - 1 0", "c succeeded - 1 2 1"],
    ),
    "an example output is 1": (
        OUTPUT,
        {},
        "succeeded 1",
        ["a succeeded - 0 1 1", "b skipped if - 1 0"],
    ),
    "an output that is given": (
        OUTPUT,
        {"outputs": {"a": {"n": 6}}},
        "succeeded 2",
        ["a succeeded - 0 1 1", "b succeeded - 1 2 1"],
    ),
    "skipped because it is said, with an `if` that is true": (
        "steps: {a: {run: x, if: 1 < 2}, b: {run: x, needs: [a]}}",
        {"outcomes": {"a": "skipped"}},
        "succeeded 0",
        ["a skipped if - 0 0", "b skipped when - 0 0"],
    ),
    "an `if` that fails": (
        "params: {s: {type: string, default: x}}\nsteps: {a: {run: x, if: int(params.s) > 1}}",
        {},
        "failed 0",
        ["a failed expression_error - 0 0"],
    ),
    "an expression that fails at admission lets others go on": (
        "params: {s: {type: string, default: x}}\nsteps:\n"
        '  a: {run: x, env: {N: "${{ int(params.s) }}"}}\n'
        "  b: {run: x, needs: [a], when: all_done}\nfinally: {z: {run: x}}",
        {},
        "failed 2",
        ["a failed expression_error - 0 0", "b succeeded - 0 1 1", "z succeeded - 1 2 1"],
    ),
    "an expression that fails at admission leaves its room to the next": (
        "params: {s: {type: string, default: x}}\nsteps:\n"
        '  a: {run: x, env: {N: "${{ int(params.s) }}"}}\n'
        "  b: {run: x}\n",
        {"slots": {"default": 1}, "durations": {"a": 9, "b": 9}},
        "failed 9",
        ["a failed expression_error - 0 0", "b succeeded - 0 9 1"],
    ),
    "room that was left is taken once": (
        "timeout: 5s\nparams: {s: {type: string, default: x}}\nsteps:\n"
        '  a: {run: x, env: {N: "${{ int(params.s) }}"}}\n'
        "  b: {run: x}\n  c: {run: x}\n  d: {run: x}\n",
        {"slots": {"default": 2}, "durations": {"a": 9, "b": 9, "c": 9, "d": 9}},
        "timed_out 5",
        [
            "a failed expression_error - 0 0",
            "b cancelled cancelled 0 5 1",
            "c cancelled cancelled 0 5 1",
            "d cancelled cancelled - 5 0",
        ],
    ),
    "a step for each item": (
        "steps: {a: {run: x, outputs: {parts: list}},"
        " b: {run: x, needs: [a], foreach: '${{ steps.a.outputs.parts }}', max_parallel: 2},"
        " c: {run: x, needs: [b]}}",
        {"outputs": {"a": {"parts": [7, 8, 9]}}, "durations": {"b": 5}},
        "succeeded 12",
        [
            "a succeeded - 0 1 1",
            "b succeeded - 1 11 1",
            "b[0] succeeded - 1 6 1",
            "b[1] succeeded - 1 6 1",
            "b[2] succeeded - 6 11 1",
            "c succeeded - 11 12 1",
        ],
    ),
    "items that fail": (
        "steps: {b: {run: x, foreach: [7, 8]}}",
        {"outcomes": {"b": "failed"}, "slots": {"default": 1}},
        "failed 2",
        ["b failed foreach_failed 0 2 1", "b[0] failed failed 0 1 1", "b[1] failed failed 1 2 1"],
    ),
    "a condition that is asked for twice": (
        "steps: {a: {wait: 1s}, b: {run: x, needs: [a], when: always, if: 1 < 2}}",
        {"outcomes": {"a": "skipped"}},
        "succeeded 1",
        ["a skipped if - 0 0", "b succeeded - 0 1 1"],
    ),
    "a wait holds no slot": (
        "steps: {w: {wait: 10m}, a: {run: x}, b: {run: x, needs: [w, a]}}",
        {"slots": {"default": 1}},
        "succeeded 601",
        ["w succeeded - 0 600 0", "a succeeded - 0 1 1", "b succeeded - 600 601 1"],
    ),
    "a wait until a time of the run's clock": (
        'steps: {w: {wait: {until: "2026-01-01T01:00:00Z"}}}',
        {},
        "succeeded 3600",
        ["w succeeded - 0 3600 0"],
    ),
    "a turn among runs is the run's own at once": (
        "overlap: queue\nconcurrency: {key: '${{ run.team }}', limit: 1}\ntimeout: 9s\n" + CHAIN,
        {},
        "succeeded 3",
        ["a succeeded - 0 1 1", "b succeeded - 1 2 1", "c succeeded - 2 3 1"],
    ),
    "a key of turns that has no value": (
        "params: {s: {type: string, default: x}}\n"
        "concurrency: {key: '${{ int(params.s) }}', limit: 1}\nsteps: {a: {run: x}}",
        {},
        "failed 0",
        ["a cancelled cancelled - 0 0"],
    ),
    "nothing takes any time": (
        CHAIN,
        {"durations": {"a": 0, "b": 0, "c": 0}, "slots": {"default": 1}},
        "succeeded 0",
        ["a succeeded - 0 0 1", "b succeeded - 0 0 1", "c succeeded - 0 0 1"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_of_a_run(name: str) -> None:
    text, assumed, run, steps = CASES[name]
    result = simulated(text, **assumed)
    assert told(result) == steps
    assert f"{result.state} {result.makespan_s:g}" == run


def test_waits_say_how_long_and_for_what() -> None:
    text = "steps: {a: {run: x, " + RETRY + "}, b: {run: x}, c: {run: x, needs: [a]}}"
    outcomes = {"a#1": "failed"}
    result = simulated(text, outcomes=outcomes, durations={"b": 13}, slots={"default": 1})
    waits = {s.name: [(w.code, w.seconds, w.subject) for w in s.waits] for s in result.steps}
    # a: 0 to 1, b: 1 to 14, a again since 11: 14 to 15, c: 15 to 16
    assert waits == {
        "a": [("retry_at", 10.0, "a"), ("no_slot", 3.0, "t.default")],
        "b": [("no_slot", 1.0, "t.default")],
        "c": [("upstream", 15.0, "a")],
    }
    assert result.makespan_s == 16.0


def test_the_critical_path_follows_what_let_each_step_go_on() -> None:
    text = (
        "steps: {a: {run: x}, b: {run: x, needs: [a]}, c: {run: x, needs: [a]},"
        " d: {run: x, needs: [b, c]}, e: {run: x, needs: [c], when: any_failed}}\n"
        "finally: {z: {run: x}}"
    )
    assert simulated(text, durations={"b": 3}).critical_path == ("a", "b", "d", "z")
    assert simulated(text, durations={"c": 3}).critical_path == ("a", "c", "d", "z")
    failing = simulated(text, durations={"c": 3}, outcomes={"b": "failed", "c": "failed"})
    assert failing.critical_path == ("a", "c", "e", "z")


def test_what_never_started_is_on_no_path() -> None:
    result = simulated(CHAIN + "\nfinally: {z: {run: x}}", outcomes={"b": "failed"})
    assert result.critical_path == ("a", "b", "z")


def test_the_first_of_several_needs_that_is_enough() -> None:
    text = (
        "steps: {a: {run: x}, b: {run: x}, c: {run: x, needs: [a, b], when: any_succeeded},"
        " d: {run: x, needs: [c]}}"
    )
    result = simulated(text, durations={"b": 2, "c": 5})
    assert result.critical_path == ("a", "c", "d")


def test_jitter_is_the_same_every_time_and_within_its_bounds() -> None:
    text = "steps: {a: {run: x, retry: {max: 1, backoff: fixed, delay: 10s}}}"
    first, second = (simulated(text, outcomes={"a#1": "failed"}) for _ in range(2))
    assert first == second
    assert 2.0 < first.makespan_s <= 12.0
    assert first.makespan_s != 12.0


def test_many_steps_that_fail_when_they_are_admitted() -> None:
    """More than one batch takes."""
    broken = "".join(
        f'  a{i}: {{run: x, env: {{N: "${{{{ int(params.s) }}}}"}}}}\n' for i in range(90)
    )
    text = f"params: {{s: {{type: string, default: x}}}}\nsteps:\n{broken}  b: {{run: x}}\n"
    result = simulated(text, slots={"default": 1})
    assert told(result)[-1] == "b succeeded - 0 1 1"
    assert [step.reason for step in result.steps[:-1]] == ["expression_error"] * 90


def test_messages_of_expressions_are_kept() -> None:
    text = "params: {s: {type: string, default: x}}\nsteps: {a: {run: x, if: int(params.s) > 1}}"
    [step] = simulated(text).steps
    assert step.error is not None
    assert step.error.startswith("if: ")


def test_params_and_the_logical_date_are_the_runs_own() -> None:
    text = (
        "params: {day: {type: date, default: '${{ run.logical_date }}'}}\n"
        "steps: {a: {run: x, if: params.day == '2026-05-04'}}"
    )
    may = datetime(2026, 5, 4, 6, tzinfo=UTC)
    assert told(simulated(text, logical_date=may)) == ["a succeeded - 0 1 1"]
    assert told(simulated(text, params={"day": "2026-05-04"})) == ["a succeeded - 0 1 1"]
    assert told(simulated(text)) == ["a skipped if - 0 0"]
    with pytest.raises(DefinitionError, match="no param `dya`"):
        simulated(text, params={"dya": "2026-05-04"})


def test_outputs_by_example_fit_their_types() -> None:
    types = [*TYPES]
    declared = ", ".join(f"o_{kind}: {kind}" for kind in types)
    conditions = [
        "steps.a.outputs.o_string != ''",
        "steps.a.outputs.o_int > 0",
        "steps.a.outputs.o_float > 0.5",
        "steps.a.outputs.o_bool",
        "steps.a.outputs.o_date == '2026-01-01'",
        "steps.a.outputs.o_datetime.getFullYear() == 2026",
        "duration(steps.a.outputs.o_duration) < duration('2s')",
        "size(steps.a.outputs.o_list) > 0",
        "has(steps.a.outputs.o_object.example)",
    ]
    text = (
        f"steps:\n  a: {{run: x, outputs: {{{declared}}}}}\n"
        f'  b: {{run: x, needs: [a], if: "{" && ".join(conditions)}"}}\n'
    )
    result = simulated(text)
    assert [step.error for step in result.steps] == [None, None]
    assert told(result) == ["a succeeded - 0 1 1", "b succeeded - 1 2 1"]
    assert result.examples == ("a",)
    full = {"a": {"o_" + kind: None for kind in types}}
    assert simulated(text, outputs=full, outcomes={"b": "skipped"}).examples == ()


def test_the_status_of_a_request_is_there() -> None:
    text = (
        "steps: {h: {http: {url: 'https://x'}},"
        " b: {run: x, needs: [h], if: steps.h.outputs.status == 200}}"
    )
    assert told(simulated(text))[1] == "b succeeded - 1 2 1"


def test_time_ends_with_the_year_9999() -> None:
    late = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    with pytest.raises(DefinitionError, match="9999"):
        simulated(CHAIN, logical_date=late)


@pytest.mark.parametrize(
    ("needs", "makespan_s"),
    [(lambda i: f"[s{i - 1}]" if i else "[]", 10_000), (lambda i: "[]", 2_500)],
    ids=["a chain", "side by side on four slots"],
)
def test_ten_thousand_steps(needs: Callable[[int], str], makespan_s: int) -> None:
    steps = "".join(f"  s{i}: {{run: x, needs: {needs(i)}}}\n" for i in range(10_000))
    result = simulated(f"steps:\n{steps}")
    assert (result.state, result.makespan_s) == ("succeeded", makespan_s)
    assert len(result.steps) == 10_000
