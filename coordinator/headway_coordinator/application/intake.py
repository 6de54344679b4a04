"""What wants to move a run: checked, made a row of the inbox, and answered before it is applied.

Any coordinator may take it in; the leader applies it. Every entry has a key that makes a repetition
harmless. Whoever calls must nudge the leader afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headway import ids
from headway.clock import Clock, rfc3339
from headway.errors import ConflictError, DefinitionError, ForbiddenError, Problem
from headway.spec import Spec, bind_params, load_all
from headway.spec.report import MAX_PROBLEMS
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.application.identity import TEAM_IN_BODY, demand_team
from headway_coordinator.application.ports import InboxEntry, Storage, StoredDefinition
from headway_coordinator.application.reading import SET_ASIDE_HINT, visible_run
from headway_coordinator.engine.states import RUN_REOPENED, RUN_TERMINAL, RunStatus

INTERVAL = ("data_interval_start", "data_interval_end")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A wish to run a pipeline. `key` makes its repetition return the same run."""

    pipeline: str
    team: str | None
    params: Mapping[str, Any]
    key: str | None = None
    logical_date: datetime | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AcceptedRun:
    """A run that is recorded; `created` is false for the answer to a repeated request."""

    id: str
    pipeline: str
    team: str
    state: str
    created: bool


def accept_run(
    storage: Storage,
    clock: Clock,
    identity: Identity,
    wanted: RunRequest,
    definition: StoredDefinition | None = None,
) -> AcceptedRun:
    """Record a run of a definition, or of the pipeline's newest one, with its parameters bound.

    Raises:
        ForbiddenError: no such pipeline is within the identity's scope (404).
        DefinitionError: the parameters do not fit, or the pipeline's name needs its team.
        ConflictError: the key was used for another request.
    """
    if definition is None:
        definition = wanted_definition(storage, identity, wanted.pipeline, wanted.team)
    run = ids.new_id(clock)
    logical_date = wanted.logical_date or clock.now()
    entry, created = storage.inbox.add(
        run=run,
        kind="run",
        dedupe=f"run:{definition.team}:{definition.pipeline}:{wanted.key or run}",
        actor=identity.subject,
        body=run_body(definition, wanted, run, logical_date),
    )
    if not created and entry.body.get("request") != _fingerprint(wanted):
        message = f"the key `{wanted.key}` was used for another request of this pipeline"
        raise ConflictError("key_reused", message, "Take a new Idempotency-Key.")
    state = "queued" if created else _state_of(storage, entry.run)
    return AcceptedRun(entry.run, definition.pipeline, definition.team, state, created)


def wanted_definition(
    storage: Storage, identity: Identity, pipeline: str, named: str | None
) -> StoredDefinition:
    """Return the newest version of a pipeline, of the team that is named, if one is.

    Raises:
        ForbiddenError: no such pipeline is within the identity's scope (404).
        DefinitionError: several teams have such a pipeline.
    """
    # A foreign team's pipeline does not exist for this identity, named or not.
    team = named if identity.team is None else identity.team
    found = storage.definitions.current(pipeline, team)
    if identity.team is not None and named not in (None, identity.team):
        found = []
    if not found:
        hint = "headway pipelines list shows what there is; headway apply adds one."
        message = f"there is no pipeline `{pipeline}`"
        raise ForbiddenError("not_found", message, hint, status=404)
    if len(found) > 1:
        teams = ", ".join(sorted(d.team for d in found))
        message = f"several teams have a pipeline `{pipeline}`: {teams}"
        raise DefinitionError(message, code="team_needed", hint=TEAM_IN_BODY)
    return found[0]


def run_body(
    definition: StoredDefinition, wanted: RunRequest, run: str, logical_date: datetime
) -> dict[str, Any]:
    """Return the inbox entry's body for a new run, its parameters bound.

    Raises DefinitionError: the parameters do not fit.
    """
    canonical = definition.canonical
    named = {
        "id": run,
        "pipeline": definition.pipeline,
        "team": definition.team,
        "logical_date": logical_date,
        **dict.fromkeys(("data_interval_start", "data_interval_end"), logical_date),
        **{k: datetime.fromisoformat(v) for k, v in wanted.origin.items() if k in INTERVAL},
    }
    body = {
        "team": definition.team,
        "pipeline": definition.pipeline,
        "digest": definition.digest,
        "params": bind_params(canonical, wanted.params, named),
        "priority": canonical.get("priority", 0),
        "logical_date": rfc3339(logical_date),
        "timeout_s": canonical.get("timeout"),
        "request": _fingerprint(wanted),
    }
    return body | {"origin": dict(wanted.origin)} if wanted.origin else body


def _fingerprint(wanted: RunRequest) -> str:
    """What the caller said, not what became of it: defaults may differ from call to call."""
    date = None if wanted.logical_date is None else rfc3339(wanted.logical_date)
    said = {"params": dict(wanted.params), "logical_date": date}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _state_of(storage: Storage, run: str) -> str:
    row = storage.queries.run(run)
    return str(row["state"]) if row else "queued"


def cancel_run(
    storage: Storage,
    clock: Clock,
    identity: Identity,
    run: str,
    *,
    reason: str | None,
    force: bool = False,
    grace_s: float | None = None,
    key: str | None = None,
) -> InboxEntry:
    """Record the wish to cancel. Raises ConflictError if the run has ended or is set aside.

    With `force` what runs is killed at once and `finally` left out; otherwise what runs has
    `grace_s` to end by itself, or as long as workers give.
    """
    row = visible_run(storage, identity, run)
    demand_not_set_aside(row)
    if RunStatus(row["state"]) in RUN_TERMINAL:
        raise ConflictError("run_ended", f"the run has ended as {row['state']}; nothing to cancel")
    dedupe = f"cancel:{run}:{key or ids.new_id(clock)}"
    body: dict[str, Any] = {"reason": reason}
    body |= {"force": True} if force else {}
    body |= {} if grace_s is None else {"grace_s": grace_s}
    entry, _ = storage.inbox.add(
        run=run, kind="cancel", dedupe=dedupe, actor=identity.subject, body=body
    )
    return entry


def retry_run(
    storage: Storage,
    clock: Clock,
    identity: Identity,
    run: str,
    *,
    reason: str | None = None,
    key: str | None = None,
) -> InboxEntry:
    """Record the wish to go on with what did not succeed.

    Raises ConflictError unless the run ended, did not succeed and is not set aside.
    """
    row = visible_run(storage, identity, run)
    demand_not_set_aside(row)
    if RunStatus(row["state"]) not in RUN_REOPENED:
        message = f"the run is {row['state']}; only a failed, cancelled or timed out run is retried"
        raise ConflictError("not_retryable", message)
    dedupe = f"retry:{run}:{key or ids.new_id(clock)}"
    entry, _ = storage.inbox.add(
        run=run, kind="retry", dedupe=dedupe, actor=identity.subject, body={"reason": reason}
    )
    return entry


def demand_not_set_aside(row: Mapping[str, Any]) -> None:
    """Nobody advances such a run: a wish for it would lie in the inbox unheard."""
    if row["quarantine"]:
        message = f"the run is set aside and does not move: {row['quarantine']}"
        raise ConflictError("quarantined", message, SET_ASIDE_HINT)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A definition file as the caller named it."""

    name: str
    text: str


def apply_definitions(
    storage: Storage, identity: Identity, files: Sequence[SourceFile]
) -> list[dict[str, Any]]:
    """Store every pipeline of the files as its newest version; all of them or none.

    Returns {pipeline, team, digest, version, changed} for each.

    Raises:
        DefinitionError: with every problem of every file, each with its place.
        ForbiddenError: a pipeline belongs to a team outside the identity's scope.
    """
    specs = _specs(files)
    for _, spec in specs:
        if not identity.covers(spec.team):
            message = f"`{spec.pipeline}` belongs to team `{spec.team}`; you act for another team"
            raise ForbiddenError("foreign_team", message, f"Use a token of team {spec.team}.")
    _provide_teams(storage, identity, {spec.team for _, spec in specs})
    applied = []
    for file, spec in specs:
        version, changed = storage.definitions.put(
            canonical=spec.canonical, digest=spec.digest, source=file.text, actor=identity.subject
        )
        row = {"pipeline": spec.pipeline, "team": spec.team, "digest": spec.digest}
        applied.append({**row, "version": version, "changed": changed})
    return applied


def _specs(files: Sequence[SourceFile]) -> list[tuple[SourceFile, Spec]]:
    specs: dict[tuple[str, str], tuple[SourceFile, Spec]] = {}
    problems: list[Problem] = []
    for file in files:
        if len(problems) >= MAX_PROBLEMS or any(p.code == "too_large" for p in problems):
            break  # nobody reads on, and five hundred such files cost no more than one
        for loaded in load_all(file.text, file.name):
            problems.extend(loaded.problems)
            if loaded.spec is None:
                continue
            key = (loaded.spec.team, loaded.spec.pipeline)
            if key in specs:
                message = f"pipeline `{key[1]}` is also in {specs[key][0].name}"
                problems.append(Problem(file.name, 1, 1, "duplicate_pipeline", message))
            specs[key] = (file, loaded.spec)
    if problems:
        message = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in the definition"
        raise DefinitionError(message, problems, hint="Nothing was applied.")
    return list(specs.values())


def _provide_teams(storage: Storage, identity: Identity, wanted: set[str]) -> None:
    """An administrator of the platform may add teams, so applying for a new one adds it."""
    may_add = identity.team is None and identity.may(Action.MANAGE_TEAMS)
    for team in sorted(wanted):
        if may_add:
            storage.access.add_team(team, identity.subject)
        else:
            demand_team(storage.access, team)
