"""Backfills as people see and steer them: started, shown, paused, cancelled, retried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway.clock import Clock
from headway.errors import ConflictError, ForbiddenError
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.backfill_planning import (
    BackfillRequest,
    Plan,
    dedupe_of,
    fingerprint,
    plan_backfill,
)
from headway_coordinator.application.backfill_ports import (
    BackfillFilter,
    BackfillState,
    NewBackfill,
    StoredBackfill,
)
from headway_coordinator.application.intake import wanted_definition
from headway_coordinator.application.ports import PreconditionFailed, Storage
from headway_coordinator.schedule.backfilling import DATE_ENDED


def preview(plan: Plan) -> dict[str, Any]:
    """Return the plan as it is shown: how many dates there are, and which ones would be run."""
    dates = [each.logical_date for each in plan.chosen]
    return {
        **_about(plan.new),
        "dates": len(plan.dates),
        "count": len(dates),
        "first": dates[0] if dates else None,
        "last": dates[-1] if dates else None,
    }


def start_backfill(
    storage: Storage, clock: Clock, identity: Identity, wanted: BackfillRequest
) -> tuple[dict[str, Any], bool]:
    """Store the backfill; return it as it is shown, and whether it is new.

    Raises what `plan_backfill` does, and:
        ConflictError: no date is left to be run, or the key was used for another request.
    """
    earlier = _of_key(storage, identity, wanted)
    if earlier is not None:
        return {**_shown(storage, [earlier])[0], "created": False}, False
    plan = plan_backfill(storage, clock, identity, wanted)
    try:
        stored, created = storage.backfills.create(plan.new, plan.dates)
    except PreconditionFailed as error:
        message = f"none of the {len(plan.dates)} dates is {wanted.only}: there is nothing to run"
        raise ConflictError("nothing_to_do", message, "Ask for all of them.") from error
    _check_same(stored, wanted)
    return {**_shown(storage, [stored])[0], "created": created}, created


def _of_key(storage: Storage, identity: Identity, wanted: BackfillRequest) -> StoredBackfill | None:
    """Return what the same request started before. What it needed then may be gone since."""
    if wanted.key is None:
        return None
    definition = wanted_definition(storage, identity, wanted.pipeline, wanted.team)
    key = dedupe_of(definition, wanted.key)
    found = storage.backfills.of_key(key)
    if found is not None:
        _check_same(found, wanted)
    return found


def _check_same(stored: StoredBackfill, wanted: BackfillRequest) -> None:
    if stored.wanted.request != fingerprint(wanted):
        message = f"the key `{wanted.key}` was used for another backfill of this pipeline"
        raise ConflictError("key_reused", message, "Take a new Idempotency-Key.")


# --- showing -------------------------------------------------------------------------------------


def visible_backfill(storage: Storage, identity: Identity, id: str) -> StoredBackfill:
    """Return the backfill. Raises ForbiddenError (404) if it is not there or another team's."""
    found = storage.backfills.get(id)
    if found is None or not identity.covers(found.wanted.team):
        message = f"backfill {id} does not exist, or your teams may not see it"
        hint = "headway backfill list shows yours."
        raise ForbiddenError("not_found", message, hint, status=404)
    return found


def listed_backfills(
    storage: Storage, wanted: BackfillFilter
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of backfills with their progress, the newest first."""
    found, following = storage.backfills.listing(wanted)
    return _shown(storage, found), following


def shown_backfill(
    storage: Storage, identity: Identity, id: str, *, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Return the backfill with its progress and a page of its dates, in its order."""
    found = visible_backfill(storage, identity, id)
    dates, following = storage.backfills.dates(found, limit, cursor)
    rows = [_date(found, row) for row in dates]
    return {**_shown(storage, [found])[0], "dates": rows, "next": following}


def _shown(storage: Storage, found: list[StoredBackfill]) -> list[dict[str, Any]]:
    counts = storage.backfills.progress([each.id for each in found]) if found else {}
    return [
        {
            "id": each.id,
            **_about(each.wanted),
            "state": each.state,
            "reason": each.reason,
            "actor": each.wanted.actor,
            "created_at": each.created_at,
            "ended_at": each.ended_at,
            "progress": _progress(each, counts[each.id]),
        }
        for each in found
    ]


def _about(new: NewBackfill) -> dict[str, Any]:
    return {
        "pipeline": new.pipeline,
        "team": new.team,
        "trigger": new.trigger,
        "schedule": new.body["schedule"],
        "from": new.from_at,
        "until": new.until_at,
        "params": new.params,
        "order": "newest" if new.newest_first else "oldest",
        "only": new.choice,
        "priority": new.priority,
        "max_in_flight": new.max_in_flight,
    }


def _date(found: StoredBackfill, row: dict[str, Any]) -> dict[str, Any]:
    state = _state(found, row["state"])
    if state == row["state"]:
        return row
    return {**row, "state": state, "reason": "the backfill was cancelled before its turn"}


def _state(found: StoredBackfill, state: str) -> str:
    """Nothing waits in a backfill that was cancelled: no run will be started."""
    return "cancelled" if state == "waiting" and found.state == "cancelled" else state


def _progress(found: StoredBackfill, counts: Mapping[str, int]) -> dict[str, int]:
    """Return how many dates wait, are under way, and how the others ended."""
    kinds = {"succeeded": "succeeded", "cancelled": "cancelled", "filtered": "filtered"}
    kinds |= {"waiting": "waiting"}
    shown = dict.fromkeys(
        ("total", "waiting", "in_flight", "succeeded", "failed", "cancelled", "filtered"), 0
    )
    for kept, count in counts.items():
        state = _state(found, kept)
        kind = kinds.get(state, "failed" if state in DATE_ENDED else "in_flight")
        shown[kind] += count
        shown["total"] += count
    return shown


# --- steering ------------------------------------------------------------------------------------


def pause_backfill(storage: Storage, identity: Identity, id: str) -> dict[str, Any]:
    """Let it start no more runs. Raises ConflictError unless it is running."""
    return _steered(storage, identity, id, before="running", after="paused")


def resume_backfill(storage: Storage, identity: Identity, id: str) -> dict[str, Any]:
    """Let it go on. Raises ConflictError unless it is paused."""
    return _steered(storage, identity, id, before="paused", after="running")


def _steered(
    storage: Storage, identity: Identity, id: str, *, before: BackfillState, after: BackfillState
) -> dict[str, Any]:
    found = visible_backfill(storage, identity, id)
    moved = storage.backfills.steer(found.id, before=before, after=after, actor=identity.subject)
    if not moved:
        raise _unfit(storage, found, f"only one that is {before} can become {after}")
    return {"id": found.id, "state": after}


def cancel_backfill(
    storage: Storage, identity: Identity, id: str, *, reason: str | None, keep_running: bool
) -> dict[str, Any]:
    """Let it start no more, and ask its open runs to stop unless they are to be kept.

    Raises ConflictError if it has ended.
    """
    found = visible_backfill(storage, identity, id)
    asked = storage.backfills.cancel(
        found.id, actor=identity.subject, reason=reason, keep_running=keep_running
    )
    if asked is None:
        raise _unfit(storage, found, "it has ended")
    return {"id": found.id, "state": "cancelled", "cancelled_runs": asked}


def change_backfill(
    storage: Storage, identity: Identity, id: str, *, max_in_flight: int
) -> dict[str, Any]:
    """Change how many of its runs may be under way at a time.

    Raises ConflictError if it has ended.
    """
    found = visible_backfill(storage, identity, id)
    before = storage.backfills.set_lane(
        found.id, max_in_flight=max_in_flight, actor=identity.subject
    )
    if before is None:
        raise _unfit(storage, found, "it starts no more runs")
    changed = before != max_in_flight
    return {"id": found.id, "max_in_flight": max_in_flight, "before": before, "changed": changed}


def retry_backfill(storage: Storage, identity: Identity, id: str) -> dict[str, Any]:
    """Make new runs for the dates whose run did not succeed.

    Raises ConflictError if there is none, or it was cancelled.
    """
    found = visible_backfill(storage, identity, id)
    count = storage.backfills.retry(found.id, actor=identity.subject)
    if count is None:
        raise _unfit(storage, found, "start another one, only for what is missing")
    if count == 0:
        message = f"no date of backfill {found.id} has ended without success"
        raise ConflictError("nothing_to_do", message, "headway backfill show tells its progress.")
    now = storage.backfills.get(found.id)
    return {"id": found.id, "state": (now or found).state, "retried": count}


def _unfit(storage: Storage, found: StoredBackfill, hint: str) -> ConflictError:
    now = storage.backfills.get(found.id) or found
    return ConflictError("backfill_state", f"backfill {found.id} is {now.state}", hint)
