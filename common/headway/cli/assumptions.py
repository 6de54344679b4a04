"""Options of `headway simulate` as what a simulated run takes for granted.

The readers are those of the key `tests`; each mistake names its option, and the mend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headway.clock import SystemClock
from headway.errors import DefinitionError
from headway.simulation.parts import Assumed

if TYPE_CHECKING:
    from headway.spec import Spec
    from headway.spec.document import Node
    from headway.spec.expectations import Subject
    from headway.spec.report import Report

Reader = Callable[["Node", "Subject", "Report"], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Options:
    """The options as they were given."""

    params: Mapping[str, Any]
    outcomes: Sequence[str]
    outputs: Sequence[str]
    durations: Sequence[str]
    slots: Sequence[str]
    logical_date: str | None


def assumed_by(options: Options, spec: Spec) -> Assumed:
    """Return what the options say of a run of the definition.

    Raises DefinitionError for a step that is not there, and for a value that does not fit.
    """
    from headway.spec import expectations as read

    steps = [*spec.canonical["steps"], *spec.canonical["finally"]]
    subject = read.Subject.of({step["name"]: step for step in steps}, spec.params)

    def of(option: str, shape: str, texts: Sequence[str], reader: Reader) -> dict[str, Any]:
        return _all(_Option(option, shape, reader, subject), texts)

    outcomes = of("--outcome", "STEP=OUTCOME", options.outcomes, read.read_outcomes)
    outputs = of("--output", "STEP='{\"name\": value}'", options.outputs, read.read_outputs)
    seconds = of("--duration", "STEP=10s", options.durations, read.read_durations)
    slots = of("--slots", "CLASS=4", options.slots, read.read_slots)
    return Assumed(
        logical_date=_logical_date(options.logical_date),
        params=options.params,
        outcomes=outcomes,
        outputs=outputs,
        durations={step: timedelta(seconds=s) for step, s in seconds.items()},
        slots=slots,
    )


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    shape: str
    reader: Reader
    subject: Subject


def _all(option: _Option, texts: Sequence[str]) -> dict[str, Any]:
    """Return the values of an option that may be given several times; a later one wins."""
    found: dict[str, Any] = {}
    for text in texts:
        found |= _one(option, text)
    return found


def _one(option: _Option, text: str) -> dict[str, Any]:
    from headway.spec.document import Mapping as MappingNode
    from headway.spec.document import Scalar
    from headway.spec.report import Report
    from headway.spec.values import shown

    name, equals, value = text.partition("=")
    if not equals or not name:
        message = f"{option.name} `{shown(text)}` is not of the form {option.shape}"
        hint = f"write {option.name} {option.shape}"
        raise DefinitionError(message, code="usage", hint=hint)
    report = Report(option.name)
    node = _node(option.name, value, report)
    found: dict[str, Any] = {}
    if node is not None:
        entries = {name: (Scalar(1, 1, name, name), node)}
        found = option.reader(MappingNode(1, 1, entries, 2, 1), option.subject, report)
    if problems := report.problems():
        first = problems[0]
        message = f"{option.name} {shown(text)}: {first.message}"
        raise DefinitionError(message, code="usage", hint=first.hint)
    return found


def _node(option: str, value: str, report: Report) -> Node | None:
    """Return the value as a node: JSON for outputs, a number for slots, else text."""
    from headway.spec.document import Scalar, documents

    if option == "--output":
        roots = documents(value, report)
        if not roots and not report.problems():
            report.at(1, 1, "bad_value", "there is nothing behind the `=`", "such as '{\"n\": 1}'")
        return roots[0] if roots else None
    if option == "--slots" and value.isascii() and value.isdigit():
        return Scalar(1, 1, int(value[:18]), value)
    return Scalar(1, 1, value, value)


def _logical_date(text: str | None) -> datetime:
    from headway.spec.params import coerce

    if text is None:
        return SystemClock().now().replace(microsecond=0)
    try:
        return datetime.fromisoformat(str(coerce(text, "datetime")))
    except ValueError as error:
        hint = "such as --logical-date 2026-01-31T06:00:00Z"
        raise DefinitionError(f"--logical-date: {error}", code="usage", hint=hint) from None
