"""Wishes for a run that went wrong, taken in: clear steps, mark them, pause the run, resume it.

Each is looked at as the run stands now, so that whoever asks is answered at once; the leader looks
again when it takes the wish, and what it then refuses is shown with the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headway import ids
from headway.clock import Clock
from headway.errors import ConflictError, DefectError, DefinitionError, Problem
from headway.plan.children import parent_of
from headway.plan.model import Kind, PlanStep
from headway.portable import DEEPEST, is_deep
from headway.spec.params import coerce
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.intake import demand_not_set_aside
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.ports import InboxEntry, Storage
from headway_coordinator.application.reading import step_of, visible_run
from headway_coordinator.application.requests import recovery_event
from headway_coordinator.engine.byhand import live_attempts
from headway_coordinator.engine.recovery import reach, refusal
from headway_coordinator.engine.state import RunState

Verb = Literal["clear", "mark", "pause", "resume"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a run. `body` is the inbox row's: steps, state, outputs, force, reason."""

    verb: Verb
    body: Mapping[str, Any]


def clearing(
    storage: Storage, identity: Identity, run: str, steps: Sequence[str], *, only: bool
) -> list[dict[str, Any]]:
    """Return {step, state, running} of what clearing these steps would clear, in order."""
    state = _state(storage, identity, run, steps)
    reached = reach(state, steps, downstream=not only)
    return [
        {
            "step": key,
            "state": str(state.steps[key].status),
            "running": bool(live_attempts(state, key)),
        }
        for key in reached
    ]


def ask(
    storage: Storage, clock: Clock, identity: Identity, run: str, wish: Wish, *, key: str | None
) -> InboxEntry:
    """Record the wish.

    Raises:
        ForbiddenError: there is no such run or step within the identity's scope (404).
        ConflictError: the run is set aside, or in no state for it.
        DefinitionError: the outputs do not fit the step.
    """
    steps: Sequence[str] = wish.body.get("steps") or ()
    state = _state(storage, identity, run, steps)
    body = dict(wish.body)
    if wish.verb == "mark":
        body["outputs"] = _outputs([state.plan.by_key[name] for name in steps], body)
    event = recovery_event(wish.verb, identity.subject, body)
    if event is None:
        raise DefectError("malformed_wish", f"{wish.verb} cannot be read back: {body}")
    if (why := refusal(state, event)) is not None:
        hint = f"headway runs show {run}"
        raise ConflictError("not_now", why, hint)
    entry, _ = storage.inbox.add(
        run=run,
        kind=wish.verb,
        dedupe=f"{wish.verb}:{run}:{key or ids.new_id(clock)}",
        actor=identity.subject,
        body=body,
    )
    return entry


def _state(storage: Storage, identity: Identity, run: str, steps: Sequence[str]) -> RunState:
    """Return the run as its rows say it is."""
    row = visible_run(storage, identity, run)
    demand_not_set_aside(row)
    stored = storage.runs.load([run])
    if not stored:
        raise ConflictError("not_now", f"the run is {row['state']}: it has not begun")
    plan = Plans(storage.definitions).get(stored[0].run.digest)
    for name in steps:
        parent = plan.by_key.get(parent_of(name))
        if parent is not None and parent.foreach is not None and name != parent.key:
            message = f"{name} is an item of {parent.key}, which is cleared and marked as a whole"
            hint = f"headway runs retry {run} does those items again that failed."
            raise ConflictError("not_now", message, hint)
        step_of(row, name)
    return RunState.of(plan, stored[0].run, stored[0].steps)


def _outputs(steps: Sequence[PlanStep], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs that a marked step gets, as they would have to be if it had run.

    Only a step that succeeded has outputs. One without declared outputs takes none, unless it is a
    Python step, whose result is what it is.
    """
    given = body.get("outputs")
    if body["state"] != "succeeded":
        if given is not None:
            raise _unfit("outputs", "only a step that is marked as succeeded has outputs")
        return {}
    mapped = [step.key for step in steps if step.foreach is not None]
    if mapped and given is not None:
        message = f"{mapped[0]} runs for each item: its outputs are theirs, and none can be given"
        raise _unfit("outputs", message)
    declared = {step.key: _declared(step) for step in steps}
    if len(steps) > 1:
        needing = [key for key, types in declared.items() if types]
        if given is not None or needing:
            name = needing[0] if needing else steps[0].key
            raise _unfit("outputs", f"{name} has outputs of its own: mark one step at a time")
        return {}
    return _checked(steps[0], declared[steps[0].key], given or {})


def _declared(step: PlanStep) -> dict[str, str]:
    if step.foreach is not None:
        return {}
    implied = {"status": "int"} if step.kind is Kind.HTTP else {}
    return {**implied, **(step.body.get("outputs") or {})}


def _checked(step: PlanStep, types: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    if is_deep(given):
        raise _unfit("outputs", f"the outputs are nested deeper than {DEEPEST} levels")
    if step.kind is Kind.PYTHON and not types:
        return dict(given)
    for name in given:
        if name not in types:
            raise _unfit(name, f"{step.key} declares no output `{name}`")
    checked = {}
    for name, kind in types.items():
        if name not in given:
            raise _unfit(name, f"{step.key} declares the output `{name}`, which has no value")
        try:
            checked[name] = coerce(given[name], kind, from_text=False)
        except ValueError as error:
            raise _unfit(name, f"output `{name}` must be of type {kind}: {error}") from error
    return checked


def _unfit(name: str, message: str) -> DefinitionError:
    hint = "give all of the step's outputs: --output '{\"NAME\": VALUE}'"
    problem = Problem("outputs", 0, 0, "bad_output", f"`{name}`: {message}", hint)
    return DefinitionError(message, [problem], code="bad_output", hint=hint)
