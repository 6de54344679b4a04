"""From a step's definition to what a worker is given: every `${{ }}` evaluated, once an attempt.

Expressions see only what they name. Plain paths are followed here; all else goes to the
evaluator, which may fail or be killed without harm to the caller. Never inside a transaction.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson

from headway.clock import rfc3339
from headway.expressions import (
    ExpressionError,
    Names,
    context,
    expressions_in,
    lookup,
    names,
    resolve,
    simple_path,
)
from headway.expressions.durations import parse_duration
from headway.plan.children import child_index, parent_of
from headway.plan.model import Foreach, Kind, Plan, PlanStep
from headway.protocol.messages import ArtifactRef
from headway.spec.secrets import Path, rendered, texts_with_secrets
from headway_coordinator.engine.events import (
    Admitted,
    Decided,
    Deferred,
    Expanded,
    Unresolvable,
)
from headway_coordinator.engine.foreach import NOT_COLLECTED
from headway_coordinator.engine.model import Run, plain_outputs
from headway_coordinator.engine.state import RunState

_CACHE_LIMIT = 10_000
MOST_ITEMS = 10_000
_NO_ITEM: Mapping[str, Any] = {}


class Evaluator(Protocol):
    """Evaluates CEL under a budget."""

    def evaluate(self, source: str, context: Mapping[str, Any]) -> Any:
        """Return a JSON value. Raises ExpressionError, also when the budget is spent."""


class Resolver:
    """Resolves conditions, waits and work of steps."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._constant: dict[tuple[str, int], dict[str, Any] | None] = {}
        self._secret: dict[tuple[str, int], list[tuple[Path, str]]] = {}

    def condition(self, state: RunState, planned: PlanStep) -> Decided | Unresolvable:
        """Return whether the step's `if` lets it run."""
        try:
            value = self._evaluate(state, planned.condition or "true")
        except ExpressionError as error:
            return Unresolvable(planned.key, f"if: {error}")
        if not isinstance(value, bool):
            kind = type(value).__name__
            return Unresolvable(planned.key, f"if: the condition gave a {kind}, not true or false")
        return Decided(planned.key, value)

    def admission(self, state: RunState, key: str, queue: str) -> Admitted | Unresolvable:
        """Return the step's work with every expression resolved."""
        try:
            return Admitted(key, queue, self._work(state, key))
        except ExpressionError as error:
            return Unresolvable(key, str(error))

    def outside(
        self, state: RunState, key: str, now: datetime
    ) -> Expanded | Deferred | Unresolvable:
        """Return what a step that needs no worker now does: see `is_outside`."""
        planned = state.plan.of(key)
        return (
            self._wake(state, planned, now)
            if planned.foreach is None
            else self._items(state, planned, planned.foreach)
        )

    def _items(
        self, state: RunState, planned: PlanStep, foreach: Foreach
    ) -> Expanded | Unresolvable:
        what = "matrix" if foreach.is_matrix else "foreach"
        try:
            found = items_of(self._resolve(state, foreach.items), is_matrix=foreach.is_matrix)
        except (ExpressionError, ValueError) as error:
            return Unresolvable(planned.key, f"{what}: {error}")
        return Expanded(planned.key, tuple(found))

    def _wake(self, state: RunState, planned: PlanStep, now: datetime) -> Deferred | Unresolvable:
        """Return until when a `wait` step waits."""
        try:
            body = self._resolve(state, planned.body["wait"])
            return Deferred(planned.key, wake_time(body, now))
        except (ExpressionError, ValueError, OverflowError) as error:
            return Unresolvable(planned.key, f"wait: {error}")

    def group_key(self, plan: Plan, run: Run) -> str:
        """Return the value of the pipeline's `concurrency.key` for a run, as text.

        Raises ExpressionError: it has none.
        """
        if plan.group_key is None:
            return ""
        # No step has run: an empty state is what the key can see.
        value = self._resolve(RunState(plan, run, {}, {}, 0, 0, {}), plan.group_key)
        return env_text(value)

    def _work(self, state: RunState, key: str) -> dict[str, Any]:
        planned = state.plan.of(key)
        item = _item(state, key)
        body = self._constant_body(state.plan, planned)
        if body is None:
            body = dict(self._resolve(state, planned.body, item))
        secrets = self._place_secrets(state, planned, body, item)
        inputs = {name: _refs(name, value) for name, value in body.pop("inputs", {}).items()}
        body["env"] = {name: env_text(value) for name, value in (body.get("env") or {}).items()}
        plan, run = state.plan, state.run
        work = {
            "run": run.id,
            "pipeline": run.pipeline,
            "team": run.team,
            "step": key,
            "kind": str(planned.kind),
            "body": body,
            "digest": run.digest,
            "code": plan.code,
            "timeout_ms": _milliseconds(planned.timeout),
            "inputs": inputs,
        }
        return work | {"secrets": secrets} if secrets else work

    def _place_secrets(
        self, state: RunState, planned: PlanStep, body: dict[str, Any], item: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Return where the resolved body refers to secrets, as the definition's own text says it.

        The references stay in the body; a claim's answer brings the values. What an expression gave
        is never searched: a parameter that holds `secret://name` stays a text.
        """
        key = (state.plan.digest, planned.index)
        if key not in self._secret:
            if len(self._secret) > _CACHE_LIMIT:
                self._secret.clear()
            self._secret[key] = texts_with_secrets(planned.body)
        uses = []
        for path, text in self._secret[key]:
            shown, own = rendered(text, path, lambda source: self._evaluate(state, source, item))
            if shown != text:
                _put(body, path, shown)
            uses += [{"name": u.name, "at": list(u.at), "start": u.start} for u in own]
        return uses

    def _constant_body(self, plan: Plan, planned: PlanStep) -> dict[str, Any] | None:
        """Return the body if it holds no expression; found out once a plan and step."""
        key = (plan.digest, planned.index)
        if key not in self._constant:
            if len(self._constant) > _CACHE_LIMIT:
                self._constant.clear()
            plain = not expressions_in(planned.body)
            self._constant[key] = dict(planned.body) if plain else None
        body = self._constant[key]
        return None if body is None else dict(body)

    def _resolve(self, state: RunState, value: Any, item: Mapping[str, Any] = _NO_ITEM) -> Any:
        return resolve(value, lambda source: self._evaluate(state, source, item))

    def _evaluate(self, state: RunState, source: str, item: Mapping[str, Any] = _NO_ITEM) -> Any:
        path = simple_path(source)
        named = names(source)
        known = {**_context(state, named), **{n: item[n] for n in item if n in named.roots}}
        if path is not None:
            return lookup(path, known)
        return self._evaluator.evaluate(source, known)


def items_of(value: Any, *, is_matrix: bool) -> list[Any]:
    """Return the items of a `foreach`, or the combinations of a `matrix` in the order of its axes.

    Raises ValueError: it is no list, or there are too many.
    """
    axes = value if is_matrix else {"items": value}
    for name, axis in axes.items():
        if not isinstance(axis, list):
            where = f"`{name}`" if is_matrix else "this"
            raise ValueError(f"a list was expected, and {where} is {_kind(axis)}")
    count = math.prod(len(axis) for axis in axes.values())
    if count > MOST_ITEMS:
        raise ValueError(f"{count:,} items are more than {MOST_ITEMS:,}")
    if not is_matrix:
        return list(value)
    return [dict(zip(axes, each, strict=True)) for each in itertools.product(*axes.values())]


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case _:
            return "an object"


def _item(state: RunState, key: str) -> Mapping[str, Any]:
    """Return what the expressions of a child know besides."""
    index = child_index(key)
    if index is None:
        return _NO_ITEM
    items = state.steps[parent_of(key)].items or ()
    return {"item": items[index], "index": index}


def wake_time(body: Any, now: datetime) -> datetime:
    """Return the time that `{for: seconds}` or `{until: time}` names.

    Raises:
        ValueError: it is neither, or the time has no zone.
    """
    if isinstance(body, Mapping) and body.get("until") is not None:
        until = datetime.fromisoformat(str(body["until"]))
        if until.tzinfo is None:
            raise ValueError(f"{body['until']!r} has no time zone; write it with Z or an offset")
        return until.astimezone(UTC)
    wait = body.get("for") if isinstance(body, Mapping) else body
    if isinstance(wait, int | float) and not isinstance(wait, bool):
        return now + timedelta(seconds=wait)
    return now + parse_duration(str(wait))


def env_text(value: Any) -> str:
    """Return a value as an environment variable holds it: strings bare, all else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # whole numbers over 64 bits
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _put(body: Any, path: Path, text: str) -> None:
    """Put a text in its place of a resolved body, which is a copy: a use of a secret counts
    characters of this very text."""
    for part in path[:-1]:
        body = body[part]
    body[path[-1]] = text


def _refs(name: str, value: Any) -> list[Any]:
    """Return artifact references. They are checked here: a wrong one must not reach a claim."""
    try:
        return [ArtifactRef.model_validate(ref).model_dump() for ref in value]
    except (TypeError, ValueError):
        raise ExpressionError(f"inputs.{name}: expected the artifacts of a step") from None


def _milliseconds(duration: timedelta | None) -> int | None:
    return None if duration is None else max(1, round(duration.total_seconds() * 1000))


def _context(state: RunState, named: Names) -> dict[str, Any]:
    """Return the values that an expression names, typed as declared."""
    plan = state.plan
    seen = {key: _seen(state, key) for key in sorted(named.steps) if key in plan.by_key}
    return context(
        named,
        run=_run(state),
        params=state.run.params,
        param_types=plan.param_types,
        steps=seen,
        output_types={key: plan.by_key[key].body.get("outputs") or {} for key in seen},
    )


def _run(state: RunState) -> dict[str, Any]:
    run = state.run
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "team": run.team,
        "logical_date": rfc3339(run.logical_date),
        "data_interval_start": run.origin.get("data_interval_start") or rfc3339(run.logical_date),
        "data_interval_end": run.origin.get("data_interval_end") or rfc3339(run.logical_date),
    }


def _seen(state: RunState, key: str) -> dict[str, Any]:
    step = state.steps[key]
    if step.error is not None and step.error.get("code") == NOT_COLLECTED:
        hint = "give what is large as artifacts"
        raise ExpressionError(f"steps.{key}: {step.error['message']}; {hint}")
    return {
        "state": str(step.status),
        "outputs": plain_outputs(step),
        "artifacts": [dict(a) for a in step.artifacts],
    }


def is_outside(plan: Plan, key: str) -> bool:
    """Say whether the step, once it is ready, needs no worker: it waits, or has items."""
    planned = plan.of(key)
    return planned.kind is Kind.WAIT or (planned.foreach is not None and key == planned.key)
