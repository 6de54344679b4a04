"""What a run's page says first, and how times and foreign text are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headway_coordinator.engine.states import AttemptStatus, RunStatus, StepStatus
from headway_coordinator.page.rendering import size_text
from headway_coordinator.page.timeline import Span, segments
from headway_coordinator.page.view import STEPS_SHOWN, run_view
from headway_coordinator.page.words import (
    LOOKS,
    duration,
    moment,
    one_line,
    shown,
    value_text,
    web_address,
)

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def attempt(no: int = 1, state: str = "succeeded", **fields: Any) -> dict[str, Any]:
    given = {
        "id": f"r1-0-{no}",
        "no": no,
        "state": state,
        "worker": "w1",
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
        "exit_code": None,
        "error": None,
        "reason": None,
    }
    return {**given, **fields}


def step(name: str = "extract", state: str = "succeeded", **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "step": name,
        "state": state,
        "reason": None,
        "error": None,
        "outputs": {},
        "artifacts": [],
        "ready_at": None,
        "finished_at": None,
        "due_at": None,
        "attempts": [],
    }
    return {**given, **fields}


def run(state: str = "running", *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "id": "r1",
        "pipeline": "sales",
        "team": "analytics",
        "state": state,
        "params": {},
        "reason": None,
        "quarantine": None,
        "created_at": START,
        "started_at": START,
        "finished_at": at(372) if state in ("succeeded", "failed", "cancelled") else None,
    }
    return {**given, "steps": list(steps), **fields}


def view(shown_run: dict[str, Any], **more: Any) -> Any:
    given: dict[str, Any] = {"now": at(372), "blockers": {}, "tails": {}}
    return run_view(shown_run, **{**given, **more})


def blocker(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "since": None, "subject": None, "message": message}


@pytest.mark.parametrize(
    ("shown_run", "headline", "detail"),
    [
        (run("succeeded", step()), "Succeeded in 6m 12s", None),
        (
            run("succeeded", step(), step("load", "failed")),
            "Succeeded in 6m 12s, 1 failed (allowed)",
            None,
        ),
        (
            run("failed", step(state="failed"), step("load", "upstream_failed")),
            "Failed in 6m 12s: extract",
            "1 step did not run.",
        ),
        (
            run("cancelled", step("load", "cancelled"), reason="wrong day"),
            "Cancelled in 6m 12s",
            "Reason: wrong day. 1 step did not run.",
        ),
        (
            run("cancelling", step(state="running"), step("load", "running")),
            "Cancelling, 2 steps still to stop",
            None,
        ),
        (run("running", step(state="running")), "Running for 6m 12s", None),
        (
            run("running", step(state="failed"), step("load", "running")),
            "Running for 6m 12s, but failed already: extract",
            None,
        ),
        (run("queued"), "Queued for 6m 12s", None),
        (
            run(
                "paused",
                step(state="running"),
                paused={"at": "2026-03-01T06:00:00+00:00", "by": "ann", "reason": "no source"},
            ),
            "Paused by ann since 2026-03-01 06:00Z: no source",
            "What runs goes on; nothing new is started.",
        ),
        (
            run("running", quarantine="an illegal move"),
            "Set aside: an illegal move",
            "Headway does not move it any more. Look at the run's story and the coordinator's log, "
            "then start a new run.",
        ),
    ],
)
def test_the_banner_says_what_is_wrong(
    shown_run: dict[str, Any], headline: str, detail: str | None
) -> None:
    banner = view(shown_run).banner
    assert (banner.headline, banner.detail) == (headline, detail)


def test_a_run_takes_from_its_start_to_its_end() -> None:
    waited = run("succeeded", step(), created_at=at(-60))
    assert view(waited).banner.headline == "Succeeded in 6m 12s"
    never = run("cancelled", step(), created_at=at(-60), started_at=None)
    assert view(never).banner.headline == "Cancelled in 7m 12s"


def test_a_run_that_is_set_aside_never_looks_as_if_it_ran() -> None:
    shown = view(run("running", step(state="running"), quarantine="an illegal move"))
    assert (shown.look.word, shown.banner.look.word, shown.open) == (
        "Set aside",
        "Set aside",
        False,
    )


def test_a_failed_run_says_what_to_do_next() -> None:
    assert view(run("failed", step(state="failed"))).banner.command == "headway runs retry r1"
    assert view(run("succeeded", step())).banner.command is None


def test_what_holds_the_run_stands_in_the_banner_the_worst_first() -> None:
    blockers = {
        "a": [blocker("upstream", "needs b")],
        "b": [blocker("no_worker", "no worker serves analytics.gpu")],
        "c": [blocker("no_leader", "no coordinator leads")],
    }
    banner = view(run("running", step("a", "pending")), blockers=blockers).banner
    assert banner.headline == "Waiting: no coordinator leads"
    assert banner.look.word == "Waiting to retry"


def test_every_state_has_a_symbol_and_a_word_of_its_own() -> None:
    states = {str(s) for kind in (RunStatus, StepStatus, AttemptStatus) for s in kind}
    assert states <= set(LOOKS)
    for state in states:
        assert LOOKS[state].symbol
        assert LOOKS[state].word


def test_counts_begin_with_the_trouble() -> None:
    steps = [step("a"), step("b", "pending"), step("c", "failed"), step("d"), step("e", "odd")]
    counts = [(look.word, count) for look, count in view(run("failed", *steps)).counts]
    assert counts == [("Failed", 1), ("Not reached", 1), ("Succeeded", 2), ("odd", 1)]


def test_of_too_many_steps_those_in_trouble_are_shown() -> None:
    steps = [step(f"s{i}") for i in range(STEPS_SHOWN + 100)]
    steps[-1] = step("late", "failed")
    seen = view(run("failed", *steps))
    assert len(seen.rows) == STEPS_SHOWN
    assert seen.left_out == 100
    assert seen.rows[-1].name == "late"
    assert seen.rows[0].name == "s0"


def test_a_row_tells_why() -> None:
    error = {"code": "exit_status", "message": "exited with status 3\nmore", "detail": "trace"}
    rows = view(
        run(
            "running",
            step("a", "failed", error=error, attempts=[attempt(state="failed")]),
            step("b", "retry_wait", attempts=[attempt(state="failed", error=error)]),
            step("c", "skipped", reason="condition"),
            step("d", "running", attempts=[attempt(state="dispatched")]),
            step("e", "pending"),
        ),
        blockers={"e": [blocker("upstream", "needs a, which is failed")]},
    ).rows
    assert [row.why for row in rows] == [
        ("exited with status 3",),
        ("exited with status 3",),
        ("its condition was false",),
        (),
        ("needs a, which is failed",),
    ]
    assert rows[0].detail == "trace"
    assert rows[3].look.word == "Starting"
    assert rows[4].log is None


def test_of_many_blockers_the_nearest_are_named() -> None:
    blockers = {"e": [blocker("upstream", f"needs s{i}") for i in range(40)]}
    [row] = view(run("running", step("e", "pending")), blockers=blockers).rows
    assert row.why == ("needs s0", "needs s1", "needs s2", "needs s3", "and 36 more")


def test_waiting_is_drawn_apart_from_running() -> None:
    attempts = [
        attempt(1, "failed", queued_at=at(10), started_at=at(20), finished_at=at(40)),
        attempt(2, "running", queued_at=at(60), started_at=at(70)),
    ]
    found = segments(step(state="running", attempts=attempts), Span(START, at(100)))
    assert [(s.kind, s.left, s.width) for s in found] == [
        ("queued", 10, 10),
        ("fail", 20, 20),
        ("retry", 40, 20),
        ("queued", 60, 10),
        ("running", 70, 30),
    ]
    assert found[1].words == "ran, did not succeed 20s"


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        (step(state="pending"), []),
        (step(state="ready", ready_at=at(5)), ["queued"]),
        (step(state="deferred", ready_at=at(5)), ["outside"]),
        (
            step(
                state="succeeded",
                ready_at=at(5),
                attempts=[attempt(queued_at=at(9), started_at=at(10), finished_at=at(20))],
            ),
            ["queued", "queued", "ok"],
        ),
        (
            step(
                state="retry_wait",
                attempts=[
                    attempt(state="lost", queued_at=at(1), started_at=at(2), finished_at=at(3))
                ],
            ),
            ["queued", "fail", "retry"],
        ),
    ],
)
def test_each_state_has_its_segments(given: dict[str, Any], kinds: list[str]) -> None:
    found = segments(given, Span(START, at(100)))
    assert [s.kind for s in found] == kinds
    assert all(s.left >= 0 and s.left + s.width <= 100.001 for s in found)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.41, "0.4s"),
        (38, "38s"),
        (862, "14m 22s"),
        (11_100, "3h 05m"),
        (187_200, "2d 4h"),
        (59.7, "1m 00s"),
        (-3, "0.0s"),
    ],
)
def test_durations_read_like_this(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_foreign_text_is_tamed() -> None:
    assert shown("\x1b[31mred\x1b[0m\x1b]0;title\x07 bell\x07 \u202egnp.exe") == (
        "red bell\u2407 \ufffdgnp.exe"
    )
    assert one_line("\n\n  first\nsecond") == "  first"
    assert one_line("x" * 400).endswith("…")
    assert len(one_line("x" * 400)) == 300
    assert value_text({"a": [1, "é"]}) == '{"a": [1, "é"]}'
    assert value_text("y" * 3000).endswith("… (3,000 characters)")
    assert moment("2026-03-01T06:00:00.000Z") == moment(START) == "Sun 1 Mar 2026, 06:00:00 UTC"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://wiki.example.com/a?b=c", True),
        ("http://wiki", True),
        ("javascript:alert(1)", False),
        ('https://x/"onclick=', False),
        ("data:text/html,x", False),
        (None, False),
    ],
)
def test_only_web_addresses_become_links(text: str | None, kept: bool) -> None:
    assert web_address(text) == (text if kept else None)


def test_sizes_read_like_this() -> None:
    sizes = [0, 812, 14_200, 3_200_000, 5_000_000_000_000]
    assert [size_text(s) for s in sizes] == ["0 B", "812 B", "14 kB", "3.2 MB", "5000 GB"]


def test_the_second_set_of_control_characters_is_made_visible() -> None:
    assert shown("a\x9b31mb\x85c\x80") == "a\ufffd31mb\ufffdc\ufffd"


def spread(
    *children: dict[str, Any], state: str = "running", **fields: Any
) -> list[dict[str, Any]]:
    """Return a step with four items, and those of its children that are shown."""
    given = {"items": 4, "children": {"succeeded": 2, "failed": 1, "running": 1}, **fields}
    return [step("each", state, ready_at=at(10), **given), *children]


def test_items_are_counted_and_a_childs_failure_is_its_parents_to_tell() -> None:
    seen = view(
        run(
            "running",
            *spread(step("each[1]", "failed"), step("each[3]", "running")),
            step("z", "pending"),
        )
    )
    parent, child, *_ = seen.rows
    assert (parent.items, parent.is_child, child.is_child) == ("4 items", False, True)
    assert parent.why == (
        "1 failed, 1 running, 2 succeeded",
        "Not all items are shown here: headway runs show r1 --children",
    )
    assert parent.duration == timedelta(seconds=362)
    assert [(segment.kind, segment.left) for segment in parent.bar] == [("running", 2.69)]
    assert {look.word: count for look, count in seen.counts} == {"Running": 1, "Not reached": 1}
    assert "failed already" not in seen.banner.headline


def test_the_outputs_of_all_items_stand_together() -> None:
    outputs = [{"n": 1}, {"n": 2}]
    done = spread(
        state="succeeded",
        outputs=outputs,
        finished_at=at(20),
        children={"succeeded": 4},
        artifacts=[{"path": "0/f", "sha256": "0" * 64, "size": 1}],
    )
    [row] = view(run("succeeded", *done)).rows
    assert row.outputs == (("of all items", '[{"n": 1}, {"n": 2}]'),)
    assert row.artifacts == ()
    assert [segment.kind for segment in row.bar] == ["ok"]
