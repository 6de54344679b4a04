"""Progress as a table that is redrawn in place, on a terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headway.cli.printing import clean, moment, span, state_words
from headway.cli.snapshot import Snapshot, StepView
from headway.clock import Clock, rfc3339
from headway.reasons import reason_words

_STYLES = {
    "succeeded": "green",
    "failed": "bold red",
    "running": "bold",
    "retry_wait": "yellow",
    "pending": "dim",
    "skipped": "dim",
    "upstream_failed": "dim red",
}
_MARGIN = 6  # lines of the terminal that are not steps


class LiveProgress:
    """Draws the steps of one run; long graphs show what moves and count the rest."""

    def __init__(self, clock: Clock, console: Console | None = None) -> None:
        self._clock = clock
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, run: Snapshot) -> None:
        shown = self._shown(run)
        caption = self._caption(run, len(run.steps) - len(shown))
        self._live.update(Group(self._table(shown), caption), refresh=True)

    def say(self, sentence: str) -> None:
        self._live.console.print(Text(clean(sentence), style="yellow"))

    def close(self) -> None:
        self._live.stop()

    def _table(self, steps: list[StepView]) -> Table:
        table = Table(box=None, pad_edge=False)
        for title in ("step", "state", "try", "time", "note"):
            table.add_column(title, no_wrap=title != "note")
        for step in steps:
            state = Text(state_words(step.phase), style=_STYLES.get(step.phase, ""))
            seconds = step.seconds(rfc3339(self._clock.now()))
            tries = str(step.tries or "")
            time = span(seconds) if seconds is not None else ""
            table.add_row(Text(step.name), state, tries, time, Text(clean(self._note(step))))
        return table

    def _shown(self, run: Snapshot) -> list[StepView]:
        room = max(self._console.height - _MARGIN, 5)
        if len(run.steps) <= room:
            return list(run.steps)
        order = {"failed": 0, "retry_wait": 1, "running": 2, "dispatched": 3, "ready": 4}
        picked = sorted(run.steps, key=lambda step: order.get(step.phase, 5))[:room]
        names = {step.name for step in picked}
        return [step for step in run.steps if step.name in names]

    def _note(self, step: StepView) -> str:
        due = moment(step.due_at)
        if step.state == "retry_wait" and due is not None:
            left = max((due - self._clock.now()).total_seconds(), 0)
            return f"again in {span(left)}: {step.failure() or ''}".rstrip(": ")
        if step.state == "failed":
            return step.failure() or ""
        if (spread := step.spread()) is not None:
            return spread
        return reason_words(step.state, step.reason) if step.done and step.reason else ""

    def _caption(self, run: Snapshot, hidden: int) -> Text:
        own = [step for step in run.steps if not step.is_child]
        more = f", {hidden} not shown" if hidden else ""
        count = f"{sum(step.done for step in own)} of {len(own)} steps{more}"
        return Text(clean(f"{run.pipeline} {run.id}: {state_words(run.state)}, {count}"))
