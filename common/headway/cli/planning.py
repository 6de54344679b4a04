"""`headway plan`: what a definition would do, and what it would change, before anything happens."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from headway.cli.arguments import FileArgument, JsonOption, ParamsOption, parameters
from headway.cli.connection import connect
from headway.cli.definitions import valid_definitions
from headway.cli.printing import clean, one_line, print_document, rows_of
from headway.cli.shown_triggers import ShownTrigger, shown_triggers, trigger_lines
from headway.cli.stored import change_lines
from headway.clock import SystemClock
from headway.errors import ForbiddenError, UnavailableError

if TYPE_CHECKING:
    from headway.client import Client
    from headway.plan.outline import OutlinedStep
    from headway.spec import Spec
    from headway.spec.changes import Change


@dataclass(frozen=True, slots=True)
class Server:
    """What the installation knows: the stored definition, and the queues. `reason`: why nothing."""

    stored: Mapping[str, Any] | None = None
    queues: Mapping[str, Mapping[str, Any]] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """Everything that the command shows of one pipeline."""

    spec: Spec
    params: Mapping[str, Mapping[str, Any]]
    triggers: Sequence[ShownTrigger]
    steps: Sequence[OutlinedStep]
    server: Server
    changes: Sequence[Change]


def register(app: typer.Typer) -> None:
    app.command("plan", help="Show the graph, the queues, and what would change.")(plan)


def plan(
    file: FileArgument,
    param: ParamsOption = None,
    json: JsonOption = False,
) -> int:
    """Show what the file would do; nothing is stored and nothing runs."""
    given = parameters(param or [])
    specs = valid_definitions([file]).specs
    bound = [_params(spec, given) for spec in specs]
    planned = []
    with connect() as client:
        for spec, params in zip(specs, bound, strict=True):
            planned.append(_planned(spec, params, ask(client, spec)))
    for reason in dict.fromkeys(each.server.reason for each in planned if each.server.reason):
        print(clean(f"compared with nothing: {reason}"), file=sys.stderr)
    if json:
        print_document({"plans": [_document(each) for each in planned]})
    else:
        print("\n\n".join("\n".join(_lines(each)) for each in planned))
    return 0


def _planned(spec: Spec, params: Mapping[str, Mapping[str, Any]], server: Server) -> Planned:
    from headway.plan.outline import outline
    from headway.spec.changes import changes

    before = server.stored.get("definition") if server.stored else None
    found = changes(before, spec.canonical) if isinstance(before, Mapping) else []
    triggers = shown_triggers(spec.canonical, SystemClock().now())
    return Planned(spec, params, triggers, outline(spec.canonical), server, found)


def ask(client: Client, spec: Spec) -> Server:
    """Return what the installation knows; a server that is not there or refuses is no error."""
    try:
        rows = rows_of(client.queues(), "queues")
        queues = {str(row.get("queue")): row for row in rows}
        return Server(_stored(client, spec), queues)
    except (UnavailableError, ForbiddenError) as error:
        return Server(reason=error.message)


def _stored(client: Client, spec: Spec) -> Mapping[str, Any] | None:
    try:
        return client.pipeline(spec.team, spec.pipeline)
    except ForbiddenError as error:
        if error.code == "not_found":
            return None
        raise


def _params(spec: Spec, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each param with the value that a run would have; None where one must be given.

    Raises DefinitionError for a value that does not fit, and for one of no param.
    """
    from headway.spec import bind_params

    declared = spec.canonical["params"]
    known = {n: p for n, p in declared.items() if n in given or not p["required"]}
    if not given.keys() <= declared.keys():
        known = declared  # it will be refused, and the nearest name is to be found
    run = {"id": "the run's id", "pipeline": spec.pipeline, "team": spec.team}
    now = {**run, "logical_date": SystemClock().now()}
    values = bind_params({**spec.canonical, "params": known}, given, now)
    return {name: {**declared[name], "value": values.get(name)} for name in declared}


# --- as JSON -------------------------------------------------------------------------------------


def _document(planned: Planned) -> dict[str, Any]:
    spec, stored = planned.spec, planned.server.stored
    compared = {key: stored.get(key) for key in ("version", "digest")} if stored else None
    return {
        "pipeline": spec.pipeline,
        "team": spec.team,
        "digest": spec.digest,
        "params": planned.params,
        "triggers": [trigger.as_dict() for trigger in planned.triggers],
        "steps": [step.as_dict() for step in planned.steps],
        "queues": [_queue(planned, queue, count) for queue, count in _queues(planned).items()],
        "compared_with": compared,
        "reason": planned.server.reason or (None if stored else "not stored yet"),
        "changed": bool(planned.changes) if stored else None,
        "changes": [change.as_dict() for change in planned.changes],
    }


def _queues(planned: Planned) -> dict[str, int]:
    """Return how many steps go to each queue, in the order in which queues are needed."""
    counts: dict[str, int] = {}
    for step in planned.steps:
        if step.queue is not None:
            counts[step.queue] = counts.get(step.queue, 0) + 1
    return counts


def _queue(planned: Planned, queue: str, steps: int) -> dict[str, Any]:
    known = planned.server.queues
    workers = None if known is None else int(known.get(queue, {}).get("workers") or 0)
    served = None if workers is None else workers > 0
    return {"queue": queue, "steps": steps, "workers": workers, "served": served}


# --- as text -------------------------------------------------------------------------------------


def _lines(planned: Planned) -> list[str]:
    spec = planned.spec
    lines = [f"{spec.team}/{spec.pipeline}, digest {spec.digest[:12]}"]
    lines += _section("params", [_param_line(n, p) for n, p in planned.params.items()])
    lines += _section("triggers", trigger_lines(planned.triggers))
    lines += _section("steps", _step_lines(planned.steps))
    queues = [_queue(planned, queue, count) for queue, count in _queues(planned).items()]
    lines += _section("queues", [_queue_line(queue) for queue in queues])
    return [clean(line) for line in lines + _change_section(planned)]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *lines] if lines else []


def _param_line(name: str, param: Mapping[str, Any]) -> str:
    value = "required" if _is_missing(param) else f"= {one_line(param['value'], 60)}"
    options = f", one of {one_line(param['enum'], 60)}" if param["enum"] is not None else ""
    return f"  {name} ({param['type']}{options}) {value}"


def _is_missing(param: Mapping[str, Any]) -> bool:
    return bool(param["required"]) and param["value"] is None


def _step_lines(steps: Sequence[OutlinedStep]) -> list[str]:
    """A layer's number stands before its first step: steps of one layer run side by side."""
    width = max((len(step.step) for step in steps), default=0)
    queue_width = max((len(step.queue or "-") for step in steps), default=0)
    lines: list[str] = []
    layer = 0
    for step in steps:
        mark = f"{step.layer:>3}" if step.layer != layer else "   "
        layer = step.layer
        columns = f"{step.step:<{width}}  {step.kind:<6}  {step.queue or '-':<{queue_width}}"
        lines.append(f"{mark} {columns}  {_conditions(step)}".rstrip())
    return lines


def _conditions(step: OutlinedStep) -> str:
    from headway.plan.outline import waits_for

    parts = ["finally"] if step.final else []
    if step.needs:
        parts.append("needs " + ", ".join(step.needs))
    if words := waits_for(step):
        parts.append(f"when {words}")
    if step.condition:
        parts.append(f"if {one_line(step.condition, 80)}")
    return "; ".join(parts)


def _queue_line(queue: Mapping[str, Any]) -> str:
    steps = f"{queue['steps']} step{'s' if queue['steps'] > 1 else ''}"
    if queue["workers"] is None:
        return f"  {queue['queue']}: {steps}"
    if not queue["served"]:
        return f"  {queue['queue']}: {steps}, and no live worker serves it"
    plural = "s" if queue["workers"] > 1 else ""
    return f"  {queue['queue']}: {steps}, {queue['workers']} live worker{plural}"


def _change_section(planned: Planned) -> list[str]:
    server = planned.server
    if server.reason:
        return []
    if server.stored is None:
        return ["", "changes: not stored yet; `headway apply` makes it version 1"]
    version = server.stored.get("version")
    if not planned.changes:
        return ["", f"changes: none against version {version}"]
    return _section(f"changes against version {version}", change_lines(list(planned.changes)))
