"""What each key of a definition means, in a line or two: what editors show beside it.

Names are `record.key`. docs/definitions.md tells the same at length.
"""

from __future__ import annotations

from typing import Any

_DURATION = " A duration such as 90s, 5m, 1h30m or 500ms."
DESCRIPTIONS: dict[str, str] = {
    "pipeline.headway": "The version of this format: 1.",
    "pipeline.pipeline": "The pipeline's name, unique in its team: letters, digits and hyphens.",
    "pipeline.team": "The team that owns the pipeline; its workers run the steps.",
    "pipeline.owner": "Who is told when the pipeline fails, such as an address.",
    "pipeline.runbook": "Where it is written what to do when the pipeline fails.",
    "pipeline.description": "What the pipeline is for, in free text.",
    "pipeline.labels": "Free names and values, for finding and grouping.",
    "pipeline.code": "Where scripts and modules lie. Default: the worker's code folder.",
    "pipeline.params": "The values that a run is started with, by name.",
    "pipeline.priority": "From -1000 to 1000; higher goes first.",
    "pipeline.timeout": "How long a whole run may take." + _DURATION,
    "pipeline.defaults": "Values of keys for all steps that do not give them.",
    "pipeline.steps": "The steps by name. A step starts when its `needs` have ended.",
    "pipeline.finally": "Steps that start when all others have ended, however they ended.",
    "code.path": "A folder; a relative one starts at the worker's code folder.",
    "param.type": "The type of the values; text from a command line is read as this type.",
    "param.default": "The value when none is given; such as ${{ run.logical_date }}.",
    "param.enum": "The values that are allowed.",
    "param.required": "Whether a run must give a value. Default: true without a `default`.",
    "param.description": "What the param is for, in free text.",
    "step.run": "A shell command. Values arrive by `env`; ${{ }} is refused here.",
    "step.python": "A function of the team's code, module:function; `with` holds its arguments.",
    "step.http": "One HTTP request; its output `status` is always there.",
    "step.wait": "A time to wait, without holding a worker.",
    "step.needs": "Steps that must have ended before this one starts.",
    "step.when": "By which ends of its `needs` the step runs; otherwise it is skipped.",
    "step.if": "An expression (CEL), without ${{ }}; false skips the step.",
    "step.with": "Keyword arguments of a `python` step; ${{ }} expressions keep their type.",
    "step.outputs": "The outputs by name, with their types.",
    "step.artifacts": "Files to keep: paths or patterns below the step's folder.",
    "step.inputs": "Artifacts of steps upstream, by the folder of $HEADWAY_INPUTS for them.",
    "step.workdir": "The current directory, relative to the code.",
    "step.allow_failure": "The run can succeed although this step failed.",
    "step.class": "The resource class: the step goes to the queue TEAM.CLASS.",
    "step.timeout": "How long one attempt may take." + _DURATION,
    "step.queue_timeout": "How long an attempt may wait for a worker." + _DURATION,
    "step.retry": "How often and when a failed step is tried again; a bare number is `max`.",
    "step.env": "Environment variables; values may hold ${{ }} and secret://NAME.",
    "step.interpreter": "Which Python runs a `python` step. Default: the worker's.",
    "retry.max": "Retries after the first attempt.",
    "retry.backoff": "Whether the delay doubles each time (exponential) or stays (fixed).",
    "retry.delay": "The delay before the first retry." + _DURATION,
    "retry.cap": "The longest delay." + _DURATION,
    "retry.jitter": "Whether delays vary at random, so that steps do not retry all at once.",
    "http.method": "The request's method.",
    "http.url": "The address; begins with http:// or https://, or is one expression.",
    "http.headers": "Headers by name.",
    "http.json": "The body as JSON; excludes `body`.",
    "http.body": "The body as text; excludes `json`.",
    "http.expect": "The statuses that mean success. Default: any 2xx.",
    "http.timeout": "How long the request may take." + _DURATION,
    "wait.for": "How long to wait." + _DURATION,
    "wait.until": "The time to wait for, with its zone, or an expression that gives one.",
}
DEFAULTS: dict[str, Any] = {
    "pipeline.priority": 0,
    "step.when": "all_succeeded",
    "step.class": "default",
    "step.allow_failure": False,
    "retry.max": 0,
    "retry.backoff": "exponential",
    "retry.delay": "5s",
    "retry.cap": "5m",
    "retry.jitter": True,
    "http.method": "GET",
}


def described(record: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a record with description and default beside each schema.

    Raises KeyError for a key that nobody has described.
    """
    result = {}
    for name, held in properties.items():
        key = f"{record}.{name}"
        note: dict[str, Any] = {"description": DESCRIPTIONS[key]}
        if key in DEFAULTS:
            note["default"] = DEFAULTS[key]
        result[name] = {**note, **({} if held is True else held)}
    return result
