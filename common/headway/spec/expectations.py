"""`tests`: what a simulated run of the pipeline is to become, and what is assumed for it.

The readers of outcomes, outputs, durations and slots serve the options of `headway simulate`, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as Named
from dataclasses import dataclass
from functools import partial
from typing import Any

from headway.plan.model import Kind
from headway.portable import unportable
from headway.simulation.parts import OUTCOMES, REASONS, RUN_STATES, STEP_STATES, split_attempt
from headway.spec import values
from headway.spec.document import Mapping, Node, Scalar, Sequence, plain
from headway.spec.params import Param, coerce, read_value
from headway.spec.references import IMPLIED_OUTPUTS
from headway.spec.report import Report, did_you_mean
from headway.spec.values import Key

MAX_SLOTS = 100_000
MAX_TESTS = 500
# A lost attempt is tried again so often, whatever `retry` says.
_LOSSES = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """What a test can name. `broken` are params that could not be read; so may a step be: `{}`.

    `required` are the params without a default; `classes` those of steps that go to a worker, None
    where a step could not be read.
    """

    params: Named[str, Param]
    steps: Named[str, Named[str, Any]]
    broken: frozenset[str]
    required: tuple[str, ...]
    classes: tuple[str, ...] | None

    @classmethod
    def of(
        cls,
        steps: Named[str, Named[str, Any]],
        params: Named[str, Param],
        broken: frozenset[str] = frozenset(),
    ) -> Subject:
        """Return what tests of a definition with these steps and params can name."""
        required = tuple(param.name for param in params.values() if param.required)
        queued = (step for step in steps.values() if step and step["kind"] != Kind.WAIT)
        classes = tuple(sorted({str(step["class"]) for step in queued}))
        return cls(params, steps, broken, required, classes if all(steps.values()) else None)


def read_tests(node: Node, subject: Subject, report: Report) -> list[Any]:
    """Return the tests with what they say; each has a name of its own."""
    if isinstance(node, Sequence) and len(node.items) > MAX_TESTS:
        message = f"more than {MAX_TESTS} tests"
        report.on(node, "bad_value", message, "keep those that tell something new")
        return []
    read = values.sequence_of("tests", partial(_test, subject=subject))(node, report) or []
    seen: set[str] = set()
    for test, item in zip(read, getattr(node, "items", ()), strict=False):
        name = test.get("name")
        if name is not None and name in seen and isinstance(item, Mapping):
            place = item.entries["name"][1]
            message = f"there is a test `{values.shown(name)}` already"
            report.on(place, "duplicate_test", message, "give it another name")
        seen.add(name)
    return read


def _test(node: Node, report: Report, *, subject: Subject) -> dict[str, Any]:
    def of_subject(read: Callable[[Node, Subject, Report], Any]) -> Key:
        return Key(lambda node, report: read(node, subject, report))

    keys = {
        "name": Key(values.text("name"), required=True),
        "params": of_subject(_params),
        "outcomes": of_subject(read_outcomes),
        "outputs": of_subject(read_outputs),
        "durations": of_subject(read_durations),
        "slots": of_subject(read_slots),
        "logical_date": Key(_moment),
        "expect": Key(lambda node, report: _expect(node, subject, report), required=True),
    }
    test = values.record(node, report, keys, what="a test")
    if isinstance(node, Mapping):
        _missing_params(node, subject, report)
    return _said(test)


def _said(read: Named[str, Any]) -> dict[str, Any]:
    """Return what is given: so tests keep their digests when later versions add keys."""
    return {key: value for key, value in read.items() if value is not None and value != {}}


# --- what is assumed -----------------------------------------------------------------------------


def _params(node: Node, subject: Subject, report: Report) -> dict[str, Any]:
    found = {}
    for name, (key, value) in (values.mapping(node, report, "params") or {}).items():
        param = subject.params.get(name)
        if param is not None:
            found[name] = read_value(value, param, report)
        elif name not in subject.broken:
            known = ", ".join(subject.params)
            hint = did_you_mean(name, subject.params) or (f"it has: {known}" if known else None)
            message = f"the pipeline has no param `{values.shown(name)}`"
            report.on(key, "unknown_param", message, hint or "it has no params")
    return found


def _missing_params(node: Mapping, subject: Subject, report: Report) -> None:
    entry = node.entries.get("params")
    given = entry[1].entries if entry and isinstance(entry[1], Mapping) else {}
    for name in subject.required:
        if name not in given:
            message = f"the test gives no value to `{name}`, which has no default"
            report.on(node, "missing_param", message, f"add params: {{{name}: …}}")


def read_outcomes(node: Node, subject: Subject, report: Report) -> dict[str, Any]:
    """Return how steps end, by `step`, or by `step#2` for one attempt."""
    found = {}
    for name, (key, value) in (values.mapping(node, report, "outcomes") or {}).items():
        outcome = values.choice("an outcome", OUTCOMES)(value, report)
        try:
            step, no = split_attempt(name)
        except ValueError as error:
            report.on(key, "bad_value", str(error), "such as load#1 for the first attempt")
            continue
        if _known(step, key, subject, report):
            _check_outcome(step, no, outcome, (key, value), subject, report)
        found[name] = outcome
    return found


def _check_outcome(
    step: str,
    no: int | None,
    outcome: str | None,
    places: tuple[Scalar, Node],
    subject: Subject,
    report: Report,
) -> None:
    key, value = places
    body = subject.steps[step]
    if outcome == "skipped" and no is not None:
        message = f"an attempt cannot be skipped, only the step `{step}`"
        report.on(value, "bad_value", message, f"write {step}: skipped")
    elif body.get("kind") == Kind.WAIT and outcome not in ("skipped", "succeeded", None):
        message = f"`{step}` is a `wait` step, which has no attempts that could end otherwise"
        report.on(value, "wrong_kind", message, "skipped is possible; leave it out otherwise")
    most = ((body.get("retry") or {}).get("max") or 0) + 1 + _LOSSES
    if no is not None and no > most:
        message = f"`{step}` never has an attempt {no}"
        hint = f"its retries allow {most - _LOSSES}, and {_LOSSES} more when attempts are lost"
        report.on(key, "bad_value", message, hint)


def read_outputs(node: Node, subject: Subject, report: Report) -> dict[str, Any]:
    """Return outputs by step, of the types that the steps declare."""
    return {
        step: _outputs_of(step, value, subject, report)
        for step, value in _by_step(node, "outputs", subject, report)
    }


def _outputs_of(step: str, node: Node, subject: Subject, report: Report) -> dict[str, Any]:
    body = subject.steps[step]
    declared = {**IMPLIED_OUTPUTS.get(body.get("kind", ""), {}), **(body.get("outputs") or {})}
    found = {}
    given = values.mapping(node, report, f"the outputs of `{step}`") or {}
    for name, (key, value) in given.items() if body else ():
        if name not in declared:
            known = ", ".join(declared)
            hint = did_you_mean(name, declared) or (f"it has: {known}" if known else None)
            message = f"step `{step}` declares no output `{values.shown(name)}`"
            report.on(key, "unknown_name", message, hint or "declare it: outputs: {name: type}")
            continue
        try:
            found[name] = _coerced(value, declared[name])
        except ValueError as error:
            kind = declared[name]
            message = f"the output `{name}` of `{step}` must be of type {kind}: {error}"
            report.on(value, "wrong_type", message, f"give it a value of type {kind}")
    return found


def _coerced(node: Node, kind: str) -> Any:
    value = coerce(plain(node), kind)
    if (why := unportable(value)) is not None:
        raise ValueError(why)
    return value


def read_durations(node: Node, subject: Subject, report: Report) -> dict[str, Any]:
    """Return seconds that each attempt takes, by step."""
    found = {}
    for step, value in _by_step(node, "durations", subject, report):
        found[step] = values.seconds("a duration", zero=True)(value, report)
        if subject.steps[step].get("kind") == Kind.WAIT:
            message = f"`{step}` is a `wait` step: it takes the time that it says"
            report.on(value, "wrong_kind", message, "leave it out")
    return found


def read_slots(node: Node, subject: Subject, report: Report) -> dict[str, Any]:
    """Return the number of slots by resource class; 0 is a class that no worker serves."""
    found = {}
    known = subject.classes
    for name, (key, value) in (values.mapping(node, report, "slots") or {}).items():
        found[name] = values.integer("slots", 0, MAX_SLOTS)(value, report)
        if known is not None and name not in known:
            message = f"no step is of the class `{values.shown(name)}`"
            hint = did_you_mean(name, known) or "the classes are: " + (", ".join(known) or "none")
            report.on(key, "unknown_name", message, hint)
    return found


def _moment(node: Node, report: Report) -> str | None:
    try:
        return str(coerce(values.anything(node, report), "datetime"))
    except ValueError as error:
        report.on(node, "wrong_type", f"logical_date: {error}", "such as 2026-01-31T06:00:00Z")
        return None


# --- what is expected ----------------------------------------------------------------------------


def _expect(node: Node, subject: Subject, report: Report) -> dict[str, Any]:
    keys = {
        "state": Key(values.choice("the state of a run", RUN_STATES)),
        "steps": Key(lambda node, report: _steps(node, subject, report)),
        "makespan_at_most": Key(values.seconds("makespan_at_most", zero=True)),
        "order": Key(lambda node, report: _order(node, subject, report)),
    }
    expect = _said(values.record(node, report, keys, what="an expectation"))
    if isinstance(node, Mapping) and not node.entries:
        report.on(node, "bad_value", "nothing is expected", "such as {state: succeeded}")
    return expect


def _steps(node: Node, subject: Subject, report: Report) -> dict[str, Any]:
    return {step: _step(value, report) for step, value in _by_step(node, "steps", subject, report)}


def _step(node: Node, report: Report) -> dict[str, Any]:
    if isinstance(node, Scalar):
        return {"state": _state(node, report)}
    return _said(values.record(node, report, _STEP, what="the expectation of a step"))


def _state(node: Node, report: Report) -> str | None:
    if isinstance(node, Scalar) and node.value in ("timed_out", "lost"):
        reason = {"timed_out": "timed_out", "lost": "infra_lost"}[str(node.value)]
        message = f"`{node.value}` is how an attempt ends; the step is `failed` then"
        report.on(node, "bad_value", message, f"write {{state: failed, reason: {reason}}}")
        return None
    found: str | None = values.choice("the state of a step", STEP_STATES)(node, report)
    return found


def _order(node: Node, subject: Subject, report: Report) -> list[Any] | None:
    def step(node: Node, report: Report) -> str | None:
        name: str | None = values.text("a step")(node, report)
        if name is not None and isinstance(node, Scalar):
            _known(name, node, subject, report)
        return name

    found: list[Any] | None = values.sequence_of("order", step)(node, report)
    return found or None


def _seconds(node: Node, report: Report) -> float | None:
    """A moment of the run: a duration since its start, or a number of seconds."""
    if isinstance(node, Scalar) and type(node.value) in (int, float):
        number = float(node.value)  # type: ignore[arg-type]
        if number < 0:
            report.on(node, "bad_value", "nothing happens before the run's start", "such as 10s")
        return number
    found: float | None = values.seconds("a time", zero=True)(node, report)
    return found


_STEP: dict[str, Key] = {
    "state": Key(_state),
    "reason": Key(values.choice("a reason", REASONS)),
    "attempts": Key(values.integer("attempts", 0, 2000)),
    "started_s": Key(_seconds),
    "finished_s": Key(_seconds),
}


def _by_step(node: Node, what: str, subject: Subject, report: Report) -> Iterator[tuple[str, Node]]:
    """Yield the entries of a mapping whose keys are steps of the pipeline."""
    for name, (key, value) in (values.mapping(node, report, what) or {}).items():
        if _known(name, key, subject, report):
            yield name, value


def _known(name: str, place: Scalar, subject: Subject, report: Report) -> bool:
    if name in subject.steps:
        return True
    message = f"there is no step `{values.shown(name)}`"
    report.on(place, "unknown_step", message, partial(_meant, name, subject))
    return False


def _meant(name: str, subject: Subject) -> str:
    known = list(subject.steps)
    some = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
    return did_you_mean(name, known) or f"the steps are: {some}"
