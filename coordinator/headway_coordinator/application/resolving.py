"""From a step's definition to what a worker is given: every `${{ }}` evaluated, once an attempt.

Expressions see only what they name. Plain paths are followed here; all else goes to the
evaluator, which may fail or be killed without harm to the caller. Never inside a transaction.
"""

from __future__ import annotations

import json
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
from headway.plan.model import Kind, Plan, PlanStep
from headway.protocol.messages import ArtifactRef
from headway.spec.secrets import Path, rendered, texts_with_secrets
from headway_coordinator.engine.events import Admitted, Decided, Deferred, Unresolvable
from headway_coordinator.engine.model import Run, RunState

_CACHE_LIMIT = 10_000


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

    def admission(self, state: RunState, planned: PlanStep, queue: str) -> Admitted | Unresolvable:
        """Return the step's work with every expression resolved."""
        try:
            return Admitted(planned.key, queue, self._work(state, planned))
        except ExpressionError as error:
            return Unresolvable(planned.key, str(error))

    def wake(self, state: RunState, planned: PlanStep, now: datetime) -> Deferred | Unresolvable:
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
        value = self._resolve(RunState(plan, run, {}, {}, 0, 0), plan.group_key)
        return env_text(value)

    def _work(self, state: RunState, planned: PlanStep) -> dict[str, Any]:
        body = self._constant_body(state.plan, planned)
        if body is None:
            body = dict(self._resolve(state, planned.body))
        secrets = self._place_secrets(state, planned, body)
        inputs = {name: _refs(name, value) for name, value in body.pop("inputs", {}).items()}
        body["env"] = {name: env_text(value) for name, value in (body.get("env") or {}).items()}
        plan, run = state.plan, state.run
        work = {
            "run": run.id,
            "pipeline": run.pipeline,
            "team": run.team,
            "step": planned.key,
            "kind": str(planned.kind),
            "body": body,
            "digest": run.digest,
            "code": plan.code,
            "timeout_ms": _milliseconds(planned.timeout),
            "inputs": inputs,
        }
        return work | {"secrets": secrets} if secrets else work

    def _place_secrets(
        self, state: RunState, planned: PlanStep, body: dict[str, Any]
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
            shown, own = rendered(text, path, lambda source: self._evaluate(state, source))
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

    def _resolve(self, state: RunState, value: Any) -> Any:
        return resolve(value, lambda source: self._evaluate(state, source))

    def _evaluate(self, state: RunState, source: str) -> Any:
        path = simple_path(source)
        known = _context(state, names(source))
        if path is not None:
            return lookup(path, known)
        return self._evaluator.evaluate(source, known)


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
    seen = {key: _seen(state, key) for key in sorted(named.steps) if key in state.steps}
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
    return {
        "state": str(step.status),
        "outputs": dict(step.outputs),
        "artifacts": [dict(a) for a in step.artifacts],
    }


def is_outside(planned: PlanStep) -> bool:
    """Say whether the step waits without a worker."""
    return planned.kind is Kind.WAIT
