"""`headway simulate`: what a run would become, without anything that runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headway.cli.arguments import FileArgument, JsonOption, ParamsOption, parameters
from headway.cli.assumptions import Options, assumed_by
from headway.cli.definitions import Definitions, valid_definitions
from headway.cli.printing import clean, print_document, print_table, state_words
from headway.cli.simulator import simulator, without_collection
from headway.clock import rfc3339
from headway.errors import DefinitionError
from headway.expressions.durations import format_duration
from headway.simulation.parts import DURATION, STUCK, Assumed, Simulated, SimulatedStep, Wait
from headway.spelling import did_you_mean

if TYPE_CHECKING:
    from headway.spec import Spec

_SHOWN = 10  # names of a list in a sentence


def register(app: typer.Typer) -> None:
    app.command("simulate", help="Show what a run would become; nothing runs.")(simulate)


def simulate(
    file: FileArgument,
    param: ParamsOption = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", metavar="NAME", help="Which, of several.")
    ] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            "--outcome",
            metavar="STEP=OUTCOME",
            help="succeeded, failed, skipped, timed_out or lost; STEP#1 for the first attempt.",
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="STEP=JSON", help="Outputs; else examples by type."),
    ] = None,
    duration: Annotated[
        list[str] | None,
        typer.Option("--duration", metavar="STEP=10s", help="How long an attempt takes; else 1s."),
    ] = None,
    slots: Annotated[
        list[str] | None,
        typer.Option("--slots", metavar="CLASS=N", help="Slots of a resource class; else 4."),
    ] = None,
    logical_date: Annotated[
        str | None,
        typer.Option("--logical-date", metavar="TIME", help="The time of the run; else now."),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Run the real engine on a clock that is moved by hand: no server, no worker, no step runs."""
    params = parameters(param or [])
    options = Options(
        params, outcome or [], output or [], duration or [], slots or [], logical_date
    )
    with without_collection():
        spec = _one(file, valid_definitions([file]), pipeline)
        assumed = assumed_by(options, spec)
        simulated = simulator("simulate")(spec.canonical, spec.digest, assumed)
    if json:
        print_document(_document(spec, assumed, simulated))
    else:
        _print(spec, assumed, simulated)
    return 0 if simulated.state == "succeeded" else 1


def _one(file: Path, definitions: Definitions, name: str | None) -> Spec:
    """Return the pipeline that is meant. Raises DefinitionError: it is not there, or not said."""
    names = [spec.pipeline for spec in definitions.specs]
    if name is None and len(names) == 1:
        return definitions.specs[0]
    known = "it defines: " + ", ".join(names[:_SHOWN])
    if name is None:
        message = f"{file} defines {len(names)} pipelines"
        hint = f"say which one by --pipeline NAME; {known}"
        raise DefinitionError(message, code="usage", hint=hint)
    found = [spec for spec in definitions.specs if spec.pipeline == name]
    if not found:
        message = f"--pipeline: {file} defines no `{name}`"
        hint = did_you_mean(name, names) or known
        raise DefinitionError(message, code="usage", hint=hint)
    return found[0]


# --- as JSON -------------------------------------------------------------------------------------


def _document(spec: Spec, assumed: Assumed, simulated: Simulated) -> dict[str, Any]:
    said = {
        "logical_date": rfc3339(assumed.logical_date),
        "params": dict(simulated.params),
        "slots": dict(simulated.slots),
        "duration_s": DURATION.total_seconds(),
        "example_outputs": list(simulated.examples),
    }
    named = {"pipeline": spec.pipeline, "team": spec.team, "digest": spec.digest}
    return {**simulated.as_dict(), **named, "assumed": said}


# --- as text -------------------------------------------------------------------------------------


def _print(spec: Spec, assumed: Assumed, simulated: Simulated) -> None:
    why = f": {simulated.reason}" if simulated.reason else ""
    if simulated.state in STUCK:
        why = ": it can never go on"
    words = f"{state_words(simulated.state)} after {_time(simulated.makespan_s)}{why}"
    print(clean(f"{spec.team}/{spec.pipeline}  {words}\n"))
    titles = ("STEP", "STATE", "REASON", "START", "END", "ATTEMPTS", "WAITED")
    print_table(titles, [_row(step) for step in simulated.steps], empty="no steps")
    print()
    for step in simulated.steps:
        if step.error:
            print(clean(f"{step.name}: {step.error}"))
    print(f"makespan: {_time(simulated.makespan_s)}")
    print("critical path: " + _path(simulated.critical_path))
    print("assumed: " + "; ".join(_assumed(assumed, simulated)))


def _path(steps: Sequence[str]) -> str:
    """Return the path on a line; of a long one, where it begins and where it ends."""
    if len(steps) > 2 * _SHOWN:
        steps = [*steps[:_SHOWN], f"{len(steps) - 2 * _SHOWN} more", *steps[-_SHOWN:]]
    return " -> ".join(steps) or "nothing ran"


def _row(step: SimulatedStep) -> tuple[str, ...]:
    times = (_time(step.started_s), _time(step.finished_s))
    waited = ", ".join(_waited(wait) for wait in step.waits)
    state = state_words(step.state)
    return (step.name, state, step.reason or "-", *times, str(step.attempts), waited)


def _waited(wait: Wait) -> str:
    time = _time(wait.seconds)
    match wait.code:
        case "no_slot":
            return f"{time} for a slot of {wait.subject}"
        case "no_worker":
            return f"{time} for a worker of {wait.subject}"
        case "retry_at":
            return f"{time} between attempts"
        case _:
            return f"{time} for {wait.subject}"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(timedelta(seconds=seconds))


def _assumed(assumed: Assumed, simulated: Simulated) -> Iterator[str]:
    for name, count in simulated.slots.items():
        default = "" if name in assumed.slots else " (default)"
        yield f"{count} slot{'' if count == 1 else 's'} of {name}{default}"
    yield f"an attempt without --duration takes {_time(DURATION.total_seconds())}"
    if simulated.examples:
        some = ", ".join(simulated.examples[:_SHOWN])
        more = ", …" if len(simulated.examples) > _SHOWN else ""
        yield f"example outputs of {some}{more}"
    yield f"logical date {rfc3339(assumed.logical_date)}"
