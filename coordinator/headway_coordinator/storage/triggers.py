"""Triggers: the rows that say what starts each pipeline's newest version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update

from headway.crash_points import crash_point
from headway_coordinator.application.trigger_ports import Glance, TriggerRow
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import (
    DECISION_WAITING,
    EVENT_UNDECIDED,
    TRIGGER_TIMED,
    audit,
    decision,
    trigger,
    upstream,
)
from headway_coordinator.storage.upsert import insert
from headway_coordinator.triggers.matching import subject_of

_READ = tuple(
    trigger.c[name]
    for name in (
        "team", "pipeline", "name", "kind", "subject", "body", "since", "last_at", "next_at",
        "paused_at", "paused_by",
    )
)  # fmt: skip
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def replace_triggers(
    connection: Connection, database: Database, canonical: Mapping[str, Any]
) -> None:
    """Make the rows those of the definition. What is unchanged keeps its times, and every trigger
    of the same name stays paused; the caller holds the pipeline's row."""
    team, pipeline = canonical["team"], canonical["pipeline"]
    mine = and_(trigger.c.team == team, trigger.c.pipeline == pipeline)
    there = {row.name: row for row in connection.execute(select(trigger).where(mine))}
    wanted = {body["name"]: body for body in canonical.get("triggers") or ()}
    gone = sorted(set(there) - set(wanted))
    if gone:
        connection.execute(delete(trigger).where(mine, trigger.c.name.in_(gone)))
    for name, body in wanted.items():
        values = {
            "kind": body["kind"],
            "subject": subject_of(team, pipeline, body),
            "body": body,
        }
        before = there.get(name)
        # Due at once, to be looked at: the leader knows when it ticks.
        due = _LONG_AGO if body["kind"] == "schedule" else None
        if before is None:
            new = insert(database.dialect, trigger).values(
                team=team, pipeline=pipeline, name=name, since=database.now, next_at=due, **values
            )
            connection.execute(new)
        elif before.body != body:
            if before.body.get("schedule") != body.get("schedule"):
                values |= {"since": database.now, "last_at": None, "next_at": due}
            connection.execute(update(trigger).where(mine, trigger.c.name == name).values(**values))


class StoredTriggers:
    """Implements `Triggers`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        soonest = select(trigger.c.next_at).where(TRIGGER_TIMED)
        self._glance = select(
            database.now,
            select(upstream.c.id).where(EVENT_UNDECIDED).exists(),
            select(decision.c.event).where(DECISION_WAITING).exists(),
            select(trigger.c.name).exists(),
            soonest.order_by(trigger.c.next_at).limit(1).scalar_subquery(),
        )

    def listening(self, kind: str, subject: str) -> list[TriggerRow]:
        return self._read(trigger.c.kind == kind, trigger.c.subject == clean_text(subject))

    def of_kind(self, kind: str, team: str | None = None) -> list[TriggerRow]:
        if team is None:
            return self._read(trigger.c.kind == kind)
        return self._read(trigger.c.kind == kind, trigger.c.team == team)

    def teams_of(self, kind: str) -> list[str]:
        wanted = select(trigger.c.team).where(trigger.c.kind == kind).distinct()
        with self._database.reading() as connection:
            return sorted(connection.execute(wanted).scalars())

    def of_pipeline(self, team: str, pipeline: str) -> list[TriggerRow]:
        return self._read(
            trigger.c.team == clean_text(team), trigger.c.pipeline == clean_text(pipeline)
        )

    def listing(self, teams: Sequence[str] | None) -> list[TriggerRow]:
        return self._read() if teams is None else self._read(trigger.c.team.in_(teams))

    def due(self, limit: int) -> list[TriggerRow]:
        wanted = (
            select(*_READ)
            .where(TRIGGER_TIMED, trigger.c.next_at <= self._database.now)
            .order_by(trigger.c.next_at)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [TriggerRow(*row) for row in connection.execute(wanted)]

    def glance(self) -> Glance:
        with self._database.reading() as connection:
            now, undecided, gathering, any_trigger, next_tick = connection.execute(
                self._glance
            ).one()
        return Glance(now, bool(undecided), bool(gathering), bool(any_trigger), next_tick)

    @crash_point("triggers.pause")
    def pause(self, team: str, pipeline: str, name: str, *, actor: str) -> bool:
        values = {"paused_at": self._database.now, "paused_by": clean_text(actor)}
        return self._set(team, pipeline, name, values, actor, was_paused=False)

    @crash_point("triggers.resume")
    def resume(self, team: str, pipeline: str, name: str, *, actor: str) -> bool:
        return self._set(
            team, pipeline, name, {"paused_at": None, "paused_by": None}, actor, was_paused=True
        )

    def _set(
        self,
        team: str,
        pipeline: str,
        name: str,
        values: Mapping[str, Any],
        actor: str,
        *,
        was_paused: bool,
    ) -> bool:
        place = (
            trigger.c.team == clean_text(team),
            trigger.c.pipeline == clean_text(pipeline),
            trigger.c.name == clean_text(name),
        )
        state = trigger.c.paused_at.is_not(None) if was_paused else trigger.c.paused_at.is_(None)
        move = update(trigger).where(*place, state).values(**values)
        to = "active" if was_paused else "paused"
        entry = {"entity": "trigger", "id": f"{team}/{pipeline}/{name}", "to": to}
        with self._database.transaction() as connection:
            return self._steer(connection, move, entry, team=team, actor=actor)

    @crash_point("triggers.steer.rows")
    def _steer(
        self,
        connection: Connection,
        move: Any,
        entry: Mapping[str, Any],
        *,
        team: str,
        actor: str,
    ) -> bool:
        if connection.execute(move).rowcount != 1:
            return False
        connection.execute(
            insert(self._database.dialect, audit).values(
                at=self._database.now,
                epoch=0,  # no leader did it
                holder="",
                actor=clean_text(actor),
                team=team,
                run="",
                transitions=[entry],
            )
        )
        return True

    def _read(self, *conditions: Any) -> list[TriggerRow]:
        wanted = select(*_READ).where(*conditions).order_by(*_READ[:3])
        with self._database.reading() as connection:
            return [TriggerRow(*row) for row in connection.execute(wanted)]
