"""From canonical steps to a graph in topological order, in time linear in steps and edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from headway.errors import DefectError
from headway.plan.digest import digest_of
from headway.plan.model import Foreach, Kind, Notify, Overlap, Plan, PlanStep, Retry, When

BODY_KEYS = ("env", "with", "outputs", "artifacts", "inputs", "workdir", "interpreter")


def build(canonical: Mapping[str, Any], digest: str | None = None) -> Plan:
    """Return the plan of a canonical spec: each step after its needs, `finally` steps last.

    Steps that do not wait for each other keep the order of the definition. A stored `digest` is
    taken as it is; without one it is computed. Raises DefectError for a graph that validation
    refuses.
    """
    main = _ordered(canonical["steps"])
    last = _ordered(canonical["finally"])
    steps = tuple(
        _plan_step(step, index, final=index >= len(main))
        for index, step in enumerate([*main, *last])
    )
    steps = _displacing(steps, canonical["steps"])
    code = canonical.get("code")
    return Plan(
        pipeline=canonical["pipeline"],
        team=canonical["team"],
        digest=digest or digest_of(canonical),
        priority=canonical["priority"],
        timeout=_duration(canonical["timeout"]),
        code=code["path"] if code else None,
        steps=steps,
        by_key=MappingProxyType({step.key: step for step in steps}),
        dependents=MappingProxyType(_dependents(steps)),
        param_types={name: param["type"] for name, param in canonical["params"].items()},
        **_turns(canonical),
        owner=canonical.get("owner") or "",
        runbook=canonical.get("runbook"),
        notify=tuple(_notify(each) for each in canonical.get("notify") or ()),
        produces=any(step.produces for step in steps),
        visible_to=tuple(canonical.get("visible_to") or ()),
    )


def _displacing(
    steps: tuple[PlanStep, ...], main: Sequence[Mapping[str, Any]]
) -> tuple[PlanStep, ...]:
    """Return the steps with what each cancels; `all`: the main steps but it and what follows it."""
    wishes = {step["name"]: step["cancels"] for step in main if step.get("cancels")}
    if not wishes:
        return steps
    dependents = _dependents(steps)
    made = []
    for step in steps:
        wish = wishes.get(step.key, ())
        if wish == "all":
            spared = {step.key, *_following(step.key, dependents)}
            wish = [other.key for other in steps if not other.final and other.key not in spared]
        made.append(replace(step, cancels=tuple(wish)))
    return tuple(made)


def _following(key: str, dependents: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    queue = deque(dependents[key])
    while queue:
        name = queue.popleft()
        if name not in found:
            found.add(name)
            queue.extend(dependents[name])
    return found


def _turns(canonical: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many runs may go at once, and what happens to one more."""
    overlap = Overlap(canonical.get("overlap", "allow"))
    concurrency = canonical.get("concurrency") or {}
    one = None if overlap is Overlap.ALLOW else 1
    return {
        "overlap": overlap,
        "limit": concurrency.get("limit", one),
        "group_key": concurrency.get("key"),
    }


def _notify(told: Mapping[str, Any]) -> Notify:
    return Notify(tuple(told["on"]), told["webhook"])


def _ordered(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Kahn's algorithm; the queue begins in the definition's order, which keeps it stable."""
    by_name = {step["name"]: step for step in steps}
    missing = {step["name"]: len(step["needs"]) for step in steps}
    dependents: dict[str, list[str]] = {name: [] for name in by_name}
    for step in steps:
        for need in step["needs"]:
            if need not in by_name:
                raise _broken(f"step `{step['name']}` needs `{need}`, which is not there")
            dependents[need].append(step["name"])
    ready = deque(name for name, count in missing.items() if not count)
    ordered = []
    while ready:
        name = ready.popleft()
        ordered.append(by_name[name])
        for dependent in dependents[name]:
            missing[dependent] -= 1
            if not missing[dependent]:
                ready.append(dependent)
    if len(ordered) != len(steps):
        raise _broken("the steps need each other in a circle")
    return ordered


def _broken(message: str) -> DefectError:
    return DefectError("invalid_plan", f"A definition that was not validated: {message}.")


def _plan_step(step: Mapping[str, Any], index: int, *, final: bool) -> PlanStep:
    kind = Kind(step["kind"])
    return PlanStep(
        key=step["name"],
        index=index,
        kind=kind,
        needs=tuple(step["needs"]),
        when=_when(step["when"]),
        at_least=step["when"]["succeeded"] if isinstance(step["when"], Mapping) else 1,
        condition=step["if"],
        resource_class=step["class"],
        retry=_retry(step["retry"]),
        timeout=_duration(step["timeout"]),
        queue_timeout=_duration(step["queue_timeout"]),
        final=final,
        allow_failure=step["allow_failure"],
        produces=tuple(step.get("produces") or ()),
        foreach=_foreach(step),
        body=_body(kind, step),
    )


def _when(rule: str | Mapping[str, Any]) -> When:
    return When.SOME_SUCCEEDED if isinstance(rule, Mapping) else When(rule)


def _body(kind: Kind, step: Mapping[str, Any]) -> dict[str, Any]:
    body = {kind.value: step[kind.value], **{key: step[key] for key in BODY_KEYS}}
    if kind is Kind.SQL and step["sql"]["to"] is not None:
        body["artifacts"] = [step["sql"]["to"]]  # the rows' file is kept without being named twice
    return body


def _foreach(step: Mapping[str, Any]) -> Foreach | None:
    matrix = step.get("matrix")
    items = step.get("foreach") if matrix is None else matrix
    if items is None:
        return None
    failures, failures_percent = _share(step.get("allow_failures") or 0)
    enough, enough_percent = _share(step.get("enough"))
    return Foreach(
        items,
        is_matrix=matrix is not None,
        max_parallel=step.get("max_parallel"),
        failures=failures or 0,
        failures_percent=failures_percent,
        enough=enough,
        enough_percent=enough_percent,
    )


def _share(given: int | str | None) -> tuple[int | None, float | None]:
    """Return a number of items and None, or None and the percentage that the text names."""
    return (None, float(given[:-1])) if isinstance(given, str) else (given, None)


def _retry(retry: Mapping[str, Any]) -> Retry:
    return Retry(
        max=retry["max"],
        backoff=retry["backoff"],
        delay=timedelta(seconds=retry["delay"]),
        cap=timedelta(seconds=retry["cap"]),
        jitter=retry["jitter"],
    )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _dependents(steps: Sequence[PlanStep]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {step.key: [] for step in steps}
    for step in steps:
        for need in step.needs:
            found[need].append(step.key)
    return {key: tuple(names) for key, names in found.items()}
