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
    "pipeline.triggers": "What starts runs: schedules, webhooks, events, assets, other pipelines.",
    "pipeline.overlap": "What a new run does while one is active: start, wait, skip, replace.",
    "pipeline.concurrency": "How many runs may be active at once.",
    "pipeline.priority": "From -1000 to 1000; higher goes first.",
    "pipeline.timeout": "How long a whole run may take." + _DURATION,
    "pipeline.notify": "Who is told how runs end.",
    "pipeline.visible_to": "Other teams whose triggers may hear of its runs and assets; `*`: all.",
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
    "step.sql": "One statement to a database; its output `count` is always there.",
    "step.wait": "A time to wait, without holding a worker.",
    "step.needs": "Steps that must have ended before this one starts.",
    "step.when": "By which ends of its `needs` the step runs; otherwise it is skipped.",
    "step.if": "An expression (CEL), without ${{ }}; false skips the step.",
    "step.with": "Keyword arguments of a `python` step; ${{ }} expressions keep their type.",
    "step.outputs": "The outputs by name, with their types.",
    "step.artifacts": "Files to keep: paths or patterns below the step's folder.",
    "step.produces": "Assets (URIs) that are new when the step succeeds; triggers wait for them.",
    "step.inputs": "Artifacts of steps upstream, by the folder of $HEADWAY_INPUTS for them.",
    "step.workdir": "The current directory, relative to the code.",
    "step.foreach": "Run once for each item of a list, or of an expression that gives one.",
    "step.matrix": "Run once for each combination of the values of some axes.",
    "step.max_parallel": "How many items run at once. Default: as many as there is room for.",
    "step.allow_failures": "How many items may fail, as a number or a share such as 10%.",
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
    "sql.url": "SQLAlchemy's URL of the database, best as one secret: secret://warehouse.",
    "sql.query": "One statement; values stand as :name and are bound. ${{ }} is refused here.",
    "sql.params": "The values of :name, by name; ${{ }} expressions keep their type.",
    "sql.to": "A file for the rows, kept as an artifact: NAME.csv or NAME.jsonl.",
    "trigger.name": "The trigger's own name. Default: its kind, numbered where that is taken.",
    "trigger.schedule": "Times: a cron expression, or an interval.",
    "trigger.webhook": "Requests that another system sends to /api/v1/hooks/SOURCE/NAME.",
    "trigger.event": "CloudEvents that are sent to /api/v1/events.",
    "trigger.asset": "Assets that steps of other pipelines produce.",
    "trigger.pipeline": "Ends of another pipeline's runs.",
    "trigger.if": "An expression (CEL), without ${{ }}, over `event` and `run`; false: no run.",
    "trigger.params": "The run's params: values, or ${{ }} expressions over `event` and `run`.",
    "trigger.dedupe": "Events that are the same to this trigger start one run.",
    "trigger.debounce": "Wait until no event has come for so long; the last one counts."
    + _DURATION,
    "trigger.batch": "Several events start one run.",
    "schedule.cron": "Five fields: minute, hour, day of the month, month, day of the week.",
    "schedule.every": "The time between two ticks, counted from `start`, else from 1970."
    + _DURATION,
    "schedule.timezone": "The zone of the cron expression, such as Europe/Paris.",
    "schedule.jitter": "Start up to so much later; the logical date stays the tick." + _DURATION,
    "schedule.start": "No tick before this time, such as 2026-01-31T06:00:00Z.",
    "schedule.end": "No tick after this time.",
    "schedule.missed": "Which missed ticks run when they are found: the latest, all, or none.",
    "webhook.source": "Who sends it: says how the sender is proved and what the events are.",
    "webhook.name": "The last part of the address. Default: the pipeline's name.",
    "webhook.event": "The events that count, such as push; a list, or one. Default: all.",
    "webhook.secret": "What the sender is proved by: secret://NAME; two while one is exchanged.",
    "event.type": "The event's type; a `*` at its end stands for anything.",
    "event.source": "The event's source, exactly. Default: any.",
    "event.subject": "The event's subject; a `*` at its end stands for anything. Default: any.",
    "asset.uri": "One asset: each update starts a run.",
    "asset.any": "Several assets: each update of one of them starts a run.",
    "asset.all": "Several assets: a run starts when each of them was updated.",
    "of_pipeline.name": "Another pipeline of the team.",
    "of_pipeline.on": "How its run ended; a list, or one.",
    "dedupe.key": "Text with ${{ }}: events with the same one are the same.",
    "dedupe.window": "How long the same key starts no second run." + _DURATION,
    "batch.size": "A run starts when so many events have come.",
    "batch.within": "A run starts so long after the first event, however many came." + _DURATION,
    "concurrency.key": "Text with ${{ }} over `params` and `run`: the limit holds for each value.",
    "concurrency.limit": "How many runs may be active at once.",
    "notice.on": "Ends that are told; `recovered` is a success after a failure. A list, or one.",
    "notice.webhook": "The address that gets a POST, or secret://NAME that holds it.",
    "wait.for": "How long to wait." + _DURATION,
    "wait.until": "The time to wait for, with its zone, or an expression that gives one.",
}
DEFAULTS: dict[str, Any] = {
    "pipeline.priority": 0,
    "pipeline.overlap": "allow",
    "step.when": "all_succeeded",
    "step.class": "default",
    "step.allow_failures": 0,
    "step.allow_failure": False,
    "retry.max": 0,
    "retry.backoff": "exponential",
    "retry.delay": "5s",
    "retry.cap": "5m",
    "retry.jitter": True,
    "http.method": "GET",
    "schedule.timezone": "UTC",
    "schedule.jitter": "0s",
    "schedule.missed": "latest",
    "of_pipeline.on": "succeeded",
    "dedupe.window": "1d",
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
