"""Waiting for a run: patience on a manual clock, and both ways to show progress."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from headway.cli.live import LiveProgress
from headway.cli.progress import PlainProgress
from headway.cli.snapshot import Snapshot, snapshot
from headway.cli.watching import Explained, follow
from headway.clock import ManualClock
from headway.errors import UnavailableError
from tests.unit.cli.documents import ID, attempt, run_of, step

START = datetime(2026, 1, 1, tzinfo=UTC)


class Silent:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def show(self, run: Snapshot) -> None:
        return

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def close(self) -> None:
        return


def pause_on(clock: ManualClock) -> Callable[[float], None]:
    return lambda seconds: clock.advance(timedelta(seconds=seconds))


def test_a_minute_of_silence_is_the_end_of_patience() -> None:
    clock = ManualClock(START)
    asked = 0

    def silence() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        raise UnavailableError("unreachable", "nobody")

    progress = Silent()
    with pytest.raises(UnavailableError):
        follow(silence, progress, clock, pause_on(clock))
    assert clock.monotonic() >= 60
    assert asked > 100
    assert progress.said == ["nobody; asking again for up to 60 s"]


def test_each_answer_renews_the_patience() -> None:
    clock = ManualClock(START)
    answers = iter(["silence", "running", "silence", "running", "silence", "succeeded"])
    steps = iter(range(1000))

    def ask() -> dict[str, Any]:
        state = next(answers)
        next(steps)
        clock.advance(timedelta(seconds=40))
        if state == "silence":
            raise UnavailableError("unreachable", "nobody")
        return run_of(state=state)

    progress = Silent()
    assert follow(ask, progress, clock, pause_on(clock)).state == "succeeded"
    assert progress.said.count("it answers again") == 3


UNCLAIMED = step("clean", "running", attempts=[attempt(state="dispatched")])


@pytest.mark.parametrize(
    ("clean", "told"),
    [(step("clean", "ready"), True), (step("clean", "running"), False), (UNCLAIMED, True)],
    ids=["ready", "running", "dispatched"],
)
def test_a_run_that_does_not_move_says_why_once(clean: dict[str, Any], told: bool) -> None:
    clock = ManualClock(START)
    run = run_of(clean, step("report", "pending"), state="running")
    answers = iter([run] * 60)
    blockers = [{"code": "no_worker", "message": "no worker serves demo.large"}]
    behind = [{"code": "upstream", "message": "clean has not ended"}]
    reasons = [{"step": "clean", "blockers": blockers}, {"step": "report", "blockers": behind}]
    silent = Silent()
    progress = Explained(silent, lambda: {"steps": reasons}, clock)
    follow(lambda: next(answers, run_of()), progress, clock, pause_on(clock))
    assert silent.said == (["clean waits: no worker serves demo.large"] if told else [])


def test_plain_progress_is_silent_while_nothing_moves() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, ManualClock(START))
    run = snapshot(run_of(step("a", "running"), step("b", "pending"), state="running"))
    progress.show(run)
    before = stream.getvalue()
    progress.show(run)
    assert stream.getvalue() == before
    assert before.splitlines() == [
        "00:00:00Z  a  ▶ running, attempt 1",
        f"00:00:00Z  run  ▶ running  {ID}",
    ]


def test_a_step_that_no_worker_has_taken_is_not_said_to_run() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, ManualClock(START))
    progress.show(snapshot(run_of(UNCLAIMED, state="running")))
    progress.show(snapshot(run_of(step("clean", "running"), state="running")))
    assert [line.partition("Z  ")[2] for line in stream.getvalue().splitlines()] == [
        "clean  ◷ dispatched",
        f"run  ▶ running  {ID}",
        "clean  ▶ running, attempt 1",
    ]
    drawn, screen = live()
    drawn.show(snapshot(run_of(UNCLAIMED, state="running")))
    drawn.close()
    assert "◷ dispatched" in screen.getvalue()


def live(height: int = 40) -> tuple[LiveProgress, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=100, height=height)
    return LiveProgress(ManualClock(START + timedelta(seconds=3)), console), stream


def test_live_progress_counts_down_to_a_retry() -> None:
    progress, stream = live()
    failed = attempt(1, "failed", error={"message": "exited with 75"})
    waiting = step("fetch", "retry_wait", attempts=[failed], due_at="2026-01-01T00:00:07.500Z")
    progress.show(snapshot(run_of(waiting, step("b", "running"), state="running")))
    progress.say("news")
    progress.close()
    text = stream.getvalue()
    assert "again in 4.5 s: exited with 75" in text
    assert "0 of 2 steps" in text
    assert "news" in text


def test_live_progress_of_a_long_run_shows_the_trouble_and_counts_the_rest() -> None:
    progress, stream = live(height=12)
    steps = [step(f"step_{number}") for number in range(50)]
    steps[49] = step("step_49", "failed", error={"message": "broken"})
    progress.show(snapshot(run_of(*steps, state="running")))
    progress.close()
    assert "step_49" in stream.getvalue()
    assert "44 not shown" in stream.getvalue()
