"""A run as its page shows it: what is wrong, why and what next, before anything else. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from headway.plan.children import parent_of
from headway.reasons import reason_words
from headway_coordinator.application.reading import SET_ASIDE_HINT
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus
from headway_coordinator.page.timeline import Segment, Span, segments
from headway_coordinator.page.words import (
    PRECEDENCE,
    SET_ASIDE,
    Look,
    duration,
    look,
    one_line,
    value_text,
)

STEPS_SHOWN = 500
_BLOCKERS_SHOWN = 4
_CALM = {"succeeded", "skipped", "pending"}
_STUCK = ("no_leader", "broker_down", "no_worker", "approval", "paused")
_NOT_RUN = ("pending", "skipped", "upstream_failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Banner:
    look: Look
    headline: str
    detail: str | None
    command: str | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. `why`: what it waits for or what went wrong, one line each. `items`: how many a
    step with items has, in words."""

    name: str
    look: Look
    attempts: int
    duration: timedelta | None
    why: tuple[str, ...]
    detail: str | None
    outputs: tuple[tuple[str, str], ...]
    artifacts: tuple[tuple[str, str, int], ...]
    bar: tuple[Segment, ...]
    log: str | None
    tail: tuple[str, ...]
    worker: str | None
    items: str | None = None
    is_child: bool = False


@dataclass(frozen=True, slots=True)
class RunView:
    run: Mapping[str, Any]
    look: Look
    open: bool
    banner: Banner
    counts: tuple[tuple[Look, int], ...]
    rows: tuple[StepRow, ...]
    left_out: int
    params: tuple[tuple[str, str], ...]
    duration: timedelta


def run_view(
    run: Mapping[str, Any],
    *,
    now: datetime,
    blockers: Mapping[str, Sequence[Mapping[str, Any]]],
    tails: Mapping[str, Sequence[str]],
    allowed: Set[str] = frozenset(),
) -> RunView:
    """Return what the page shows of the run at `now`; the steps in `allowed` may fail."""
    steps = run["steps"]
    ended = RunStatus(run["state"]) in RUN_TERMINAL
    end = run["finished_at"] or now
    took = end - (run["started_at"] or run["created_at"])
    span = Span(run["created_at"], max(end, run["created_at"] + timedelta(milliseconds=1)))
    shown = _shown(steps)
    return RunView(
        run=run,
        look=run_look(run),
        open=not ended and not run["quarantine"],
        banner=_banner(run, blockers, took, allowed),
        counts=_counts(_own(steps)),
        rows=tuple(_row(run, step, span, blockers, tails, allowed) for step in shown),
        left_out=len(steps) - len(shown),
        params=_texts(run["params"] or {}),
        duration=took,
    )


def run_look(run: Mapping[str, Any]) -> Look:
    """Return how the run is shown: by its state, unless it is set aside and its state is stale."""
    return SET_ASIDE if run["quarantine"] else look(run["state"])


def failed_steps(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the steps that failed by themselves; a child's failure is its parent's to say."""
    return [step for step in _own(run["steps"]) if step["state"] == "failed"]


def _own(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the steps of the plan, without children."""
    return [step for step in steps if parent_of(step["step"]) == step["step"]]


def _shown(steps: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """All steps, or, of too many, those that are not fine first; in the plan's order."""
    if len(steps) <= STEPS_SHOWN:
        return steps
    ranked = sorted(range(len(steps)), key=lambda i: (steps[i]["state"] in _CALM, i))
    return [steps[i] for i in sorted(ranked[:STEPS_SHOWN])]


def _counts(steps: Sequence[Mapping[str, Any]]) -> tuple[tuple[Look, int], ...]:
    totals: dict[str, int] = {}
    for step in steps:
        totals[step["state"]] = totals.get(step["state"], 0) + 1
    known = [state for state in PRECEDENCE if state in totals]
    others = sorted(set(totals) - set(known))
    return tuple((look(state), totals[state]) for state in [*known, *others])


# --- the banner --------------------------------------------------------------------------------


def _banner(
    run: Mapping[str, Any],
    blockers: Mapping[str, Sequence[Mapping[str, Any]]],
    length: timedelta,
    allowed: Set[str],
) -> Banner:
    seen, took = look(run["state"]), duration(length)
    failed = [step for step in failed_steps(run) if step["step"] not in allowed]
    if run.get("quarantine"):
        headline = f"Set aside: {one_line(run['quarantine'])}"
        detail = f"Headway does not move it any more. {SET_ASIDE_HINT}"
        return Banner(SET_ASIDE, headline, detail, f"headway runs show {run['id']}")
    match run["state"]:
        case "failed" | "timed_out" | "cancelled":
            headline, why = _ended_badly(run, failed, seen.word, took)
            return Banner(seen, headline, why, f"headway runs retry {run['id']}")
        case "succeeded":
            return Banner(seen, _succeeded(run, took), None, None)
        case "cancelling":
            still = sum(step["state"] == "running" and "items" not in step for step in run["steps"])
            return Banner(seen, f"Cancelling, {_steps(still)} still to stop", _reason(run), None)
        case "paused" if run.get("paused"):
            headline = f"Paused {_by(run['paused'])}"
            resume = f"headway runs resume {run['id']}"
            return Banner(seen, headline, "What runs goes on; nothing new is started.", resume)
        case _:
            return _open(failed, blockers, seen, took)


def _by(held: Mapping[str, Any]) -> str:
    """Return who holds something back, since when, and why."""
    because = f": {one_line(held['reason'])}" if held.get("reason") else ""
    return f"by {one_line(held['by'], 60)} since {held['at'][:16].replace('T', ' ')}Z{because}"


def _ended_badly(
    run: Mapping[str, Any], failed: Sequence[Mapping[str, Any]], word: str, took: str
) -> tuple[str, str | None]:
    headline = f"{word} in {took}"
    if failed:
        names = ", ".join(one_line(step["step"], 64) for step in failed[:3])
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        headline += f": {names}{more}"
    behind = sum(step["state"] in _NOT_RUN for step in _own(run["steps"]))
    parts = [_reason(run), f"{_steps(behind)} did not run." if behind else None]
    return headline, " ".join(part for part in parts if part) or None


def _succeeded(run: Mapping[str, Any], took: str) -> str:
    """No state may lie: a failure that was allowed is named."""
    failed = len(failed_steps(run))
    return f"Succeeded in {took}" + (f", {failed} failed (allowed)" if failed else "")


def _open(
    failed: Sequence[Mapping[str, Any]],
    blockers: Mapping[str, Sequence[Mapping[str, Any]]],
    seen: Look,
    took: str,
) -> Banner:
    every = [blocker for listed in blockers.values() for blocker in listed]
    for code in _STUCK:
        for blocker in every:
            if blocker["code"] == code:
                headline = f"Waiting: {one_line(blocker['message'])}"
                return Banner(look("retry_wait"), headline, f"{seen.word} for {took}.", None)
    if failed:
        names = ", ".join(one_line(step["step"], 64) for step in failed[:3])
        headline = f"{seen.word} for {took}, but failed already: {names}"
        return Banner(look("failed"), headline, None, None)
    return Banner(seen, f"{seen.word} for {took}", None, None)


def _reason(run: Mapping[str, Any]) -> str | None:
    return f"Reason: {one_line(run['reason'])}." if run.get("reason") else None


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


# --- the rows ----------------------------------------------------------------------------------


def _row(
    run: Mapping[str, Any],
    step: Mapping[str, Any],
    span: Span,
    blockers: Mapping[str, Sequence[Mapping[str, Any]]],
    tails: Mapping[str, Sequence[str]],
    allowed: Set[str],
) -> StepRow:
    name = str(step["step"])
    may_fail = name in allowed
    last = max(step["attempts"], key=lambda a: int(a["no"]), default=None)
    return StepRow(
        name=name,
        look=_look(step, last),
        attempts=len(step["attempts"]),
        duration=_duration(step, last, span.end),
        why=(*_spread(run, step), *_why(step, last, blockers.get(name, ()), may_fail)),
        detail=_detail(step, last),
        outputs=_outputs(step),
        artifacts=_artifacts(run, step),
        bar=tuple(segments(step, span)),
        log=_log_address(run, name) if last is not None else None,
        tail=tuple(tails.get(name, ())),
        worker=last["worker"] if last else None,
        items=_items(step["items"]) if "items" in step else None,
        is_child=parent_of(name) != name,
    )


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _spread(run: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[str]:
    """Yield how far the items of a step have come, and where those are that are not shown."""
    if "items" not in step:
        return
    counts = step["children"]
    known = [state for state in PRECEDENCE if counts.get(state)]
    if known:
        yield ", ".join(f"{counts[state]} {look(state).word.lower()}" for state in known)
    shown = sum(parent_of(each["step"]) == step["step"] for each in run["steps"]) - 1
    if shown < sum(counts.values()):
        yield f"Not all items are shown here: headway runs show {run['id']} --children"


def _outputs(step: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    outputs = step["outputs"] or {}
    if isinstance(outputs, Mapping):
        return _texts(outputs)
    return (("of all items", value_text(outputs)),) if any(outputs) else ()


def _look(step: Mapping[str, Any], last: Mapping[str, Any] | None) -> Look:
    if step["state"] == "running" and last is not None and last["state"] == "dispatched":
        return look("dispatched")
    if step["state"] == "failed" and step.get("reason") == "timed_out":
        return look("timed_out")
    return look(step["state"])


def _duration(
    step: Mapping[str, Any], last: Mapping[str, Any] | None, now: datetime
) -> timedelta | None:
    if "items" in step and step["ready_at"] is not None:
        took: timedelta = (step["finished_at"] or now) - step["ready_at"]
        return took
    if last is None or last["started_at"] is None:
        return None
    end = last["finished_at"] or (now if step["state"] == "running" else None)
    return None if end is None else end - last["started_at"]


def _why(
    step: Mapping[str, Any],
    last: Mapping[str, Any] | None,
    blockers: Sequence[Mapping[str, Any]],
    may_fail: bool,
) -> tuple[str, ...]:
    lines = [one_line(blocker["message"]) for blocker in blockers[:_BLOCKERS_SHOWN]]
    if len(blockers) > _BLOCKERS_SHOWN:
        lines.append(f"and {len(blockers) - _BLOCKERS_SHOWN} more")
    error = step.get("error") or (last or {}).get("error")
    if error and step["state"] in ("failed", "retry_wait", "running", "cancelled"):
        lines.append(one_line(error.get("message") or error.get("code") or ""))
    elif step["state"] in ("failed", "cancelled", "skipped", "upstream_failed"):
        lines.append(one_line(reason_words(step["state"], step.get("reason") or "")))
    if may_fail and step["state"] == "failed":
        lines.append("its failure is allowed")
    return tuple(line for line in lines if line)


def _detail(step: Mapping[str, Any], last: Mapping[str, Any] | None) -> str | None:
    error = step.get("error") or (last or {}).get("error") or {}
    detail = error.get("detail") if step["state"] == "failed" else None
    return value_text(detail, 4000) if detail else None


def _texts(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((one_line(name, 80), value_text(value)) for name, value in values.items())


def _artifacts(run: Mapping[str, Any], step: Mapping[str, Any]) -> tuple[tuple[str, str, int], ...]:
    base = f"/api/v1/artifacts/{quote(run['id'], safe='')}/{quote(step['step'], safe='')}"
    refs = list(step.get("artifacts") or ()) if "items" not in step else []
    return tuple(
        (value_text(ref["path"], 200), f"{base}?path={quote(ref['path'], safe='')}", ref["size"])
        for ref in refs  # a parent's are those of its children, which have their own rows
    )


def _log_address(run: Mapping[str, Any], step: str) -> str:
    return f"/api/v1/runs/{quote(run['id'], safe='')}/logs?step={quote(step, safe='')}"
