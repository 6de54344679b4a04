"""Definitions: every version of every pipeline, and which one is current."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    select,
    update,
)

from headway.crash_points import crash_point
from headway_coordinator.application.ports import StoredDefinition
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import audit, definition, run
from headway_coordinator.storage.schema import pipeline as pipelines
from headway_coordinator.storage.triggers import replace_triggers
from headway_coordinator.storage.upsert import insert

_READ = tuple(
    definition.c[name]
    for name in (
        "digest", "team", "pipeline", "version", "canonical", "source", "created_at", "actor",
    )
)  # fmt: skip
_IS_CURRENT = and_(
    pipelines.c.team == definition.c.team,
    pipelines.c.name == definition.c.pipeline,
    pipelines.c.version == definition.c.version,
)


_LISTED = ("version", "digest", "owner", "created_at", "actor")


def _of(team: str, pipeline: str) -> ColumnElement[bool]:
    mine = definition.c.team == clean_text(team)
    return and_(mine, definition.c.pipeline == clean_text(pipeline))


class StoredDefinitions:
    """Implements `Definitions`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        named = (
            select(*_READ)
            .join(pipelines, _IS_CURRENT)
            .where(definition.c.pipeline == bindparam("pipeline_name", type_=Text()))
            .order_by(definition.c.team)
        )
        of_team = named.where(definition.c.team == bindparam("team_name", type_=Text()))
        self._current = database.prepared(named)
        self._current_of_team = database.prepared(of_team)

    @crash_point("definitions.put")
    def put(
        self,
        *,
        canonical: Mapping[str, Any],
        digest: str,
        source: str,
        actor: str,
        reason: str | None = None,
    ) -> tuple[int, bool]:
        """Store the newest version; the pipeline's row is locked, so that versions are in order."""
        with self._database.transaction() as connection:
            return self._put(
                connection, canonical, digest, source=source, actor=actor, reason=reason
            )

    @crash_point("definitions.put.rows")
    def _put(
        self,
        connection: Connection,
        canonical: Mapping[str, Any],
        digest: str,
        *,
        source: str,
        actor: str,
        reason: str | None,
    ) -> tuple[int, bool]:
        team, name = canonical["team"], canonical["pipeline"]
        key = and_(pipelines.c.team == team, pipelines.c.name == name)
        dialect = self._database.dialect
        connection.execute(
            insert(dialect, pipelines)
            .values(team=team, name=name, version=0, digest="")
            .on_conflict_do_nothing()
        )
        row = connection.execute(select(pipelines).where(key).with_for_update()).one()
        if row.digest == digest:
            return row.version, False
        version = row.version + 1
        connection.execute(
            insert(dialect, definition).values(
                team=team,
                pipeline=name,
                version=version,
                digest=digest,
                owner=canonical.get("owner") or "",
                canonical=canonical,
                source=clean_text(source),
                created_at=self._database.now,
                actor=clean_text(actor),
            )
        )
        connection.execute(update(pipelines).where(key).values(version=version, digest=digest))
        replace_triggers(connection, self._database, canonical)
        if reason is not None:
            moved = {"entity": "pipeline", "id": f"{team}/{name}", "from": row.version}
            connection.execute(
                insert(dialect, audit).values(
                    at=self._database.now,
                    epoch=0,  # no leader did it
                    holder="",
                    actor=clean_text(actor),
                    team=team,
                    run="",
                    transitions=[{**moved, "to": version, "reason": reason}],
                )
            )
        return version, True

    def get(self, digest: str) -> StoredDefinition | None:
        wanted = select(*_READ).where(definition.c.digest == clean_text(digest))
        found = self._read(wanted.order_by(definition.c.created_at.desc()).limit(1))
        return found[0] if found else None

    def current(self, pipeline: str, team: str | None = None) -> list[StoredDefinition]:
        named = {"pipeline_name": clean_text(pipeline)}
        with self._database.reading_line() as line:
            if team is None:
                rows = line.ask(self._current, named).rows
            else:
                of_team = {**named, "team_name": clean_text(team)}
                rows = line.ask(self._current_of_team, of_team).rows
        return [StoredDefinition(*row) for row in rows]

    def version(self, team: str, pipeline: str, version: int) -> StoredDefinition | None:
        found = self._read(
            select(*_READ).where(_of(team, pipeline), definition.c.version == version)
        )
        return found[0] if found else None

    def versions(
        self, team: str, pipeline: str, *, limit: int, before: int | None = None
    ) -> list[dict[str, Any]]:
        columns = [definition.c[name] for name in _LISTED]
        wanted = (
            select(*columns)
            .where(_of(team, pipeline))
            .order_by(definition.c.version.desc())
            .limit(limit)
        )
        if before is not None:
            wanted = wanted.where(definition.c.version < before)
        with self._database.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(wanted)]

    def listing(self, *, teams: Sequence[str] | None) -> list[dict[str, Any]]:
        last = (
            select(run.c.id)
            .where(run.c.team == definition.c.team, run.c.pipeline == definition.c.pipeline)
            .order_by(run.c.created_at.desc(), run.c.id.desc())
            .limit(1)
            .correlate(definition)
            .scalar_subquery()
        )
        wanted = (
            select(
                definition.c.pipeline,
                definition.c.team,
                definition.c.owner,
                definition.c.digest,
                definition.c.version,
                definition.c.created_at,
                run.c.id.label("run"),
                run.c.state,
            )
            .join(pipelines, _IS_CURRENT)
            .outerjoin(run, run.c.id == last)
            .order_by(definition.c.team, definition.c.pipeline)
        )
        if teams is not None:
            wanted = wanted.where(definition.c.team.in_(teams))
        with self._database.reading() as connection:
            return [_listed(dict(row._mapping)) for row in connection.execute(wanted)]

    def _read(self, wanted: Select[Any]) -> list[StoredDefinition]:
        with self._database.reading() as connection:
            return [StoredDefinition(*row) for row in connection.execute(wanted)]


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    id, state = row.pop("run"), row.pop("state")
    return {**row, "last_run": None if id is None else {"id": id, "state": state}}
