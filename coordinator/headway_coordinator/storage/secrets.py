"""Sealed secrets. Each change leaves a row in the audit, in the same transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy import insert as plain_insert

from headway.crash_points import crash_point
from headway_coordinator.access.cipher import SealedSecret
from headway_coordinator.application.access_ports import SecretInfo
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import audit, secret
from headway_coordinator.storage.upsert import insert

_SEALED = (secret.c.team, secret.c.name, secret.c.version, secret.c.key_id, secret.c.box)
_INFO = (
    secret.c.team,
    secret.c.name,
    secret.c.version,
    secret.c.changed_at,
    secret.c.changed_by,
    secret.c.key_id,
)


class StoredSecrets:
    """Implements `Secrets`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listing(self, teams: Sequence[str] | None) -> list[SecretInfo]:
        wanted = select(*_INFO).order_by(secret.c.team, secret.c.name)
        if teams is not None:
            wanted = wanted.where(secret.c.team.in_(teams))
        with self._database.reading() as connection:
            return [SecretInfo(*row) for row in connection.execute(wanted)]

    def find(self, team: str, names: Collection[str]) -> list[SealedSecret]:
        wanted = select(*_SEALED).where(secret.c.team == team, secret.c.name.in_(sorted(names)))
        with self._database.reading() as connection:
            return [SealedSecret(*row) for row in connection.execute(wanted)]

    def sealed_otherwise(self, key_id: str) -> list[SealedSecret]:
        wanted = select(*_SEALED).where(secret.c.key_id != key_id).order_by(*_SEALED[:2])
        with self._database.reading() as connection:
            return [SealedSecret(*row) for row in connection.execute(wanted)]

    @crash_point("secrets.put")
    def put(self, new: SealedSecret, *, before: int | None, actor: str) -> bool:
        """Waits for nobody: whoever comes second finds another version and writes nothing."""
        values = {
            "version": new.version,
            "key_id": new.key_id,
            "box": new.box,
            "changed_at": self._database.now,
            "changed_by": clean_text(actor),
        }
        place = (secret.c.team == new.team, secret.c.name == new.name)
        write: Any = update(secret).where(*place, secret.c.version == before).values(**values)
        if before is None:
            added = insert(self._database.dialect, secret)
            write = added.values(team=new.team, name=new.name, **values).on_conflict_do_nothing()
        with self._database.transaction() as connection:
            return self._put(connection, write, new, before, actor)

    @crash_point("secrets.put.rows")
    def _put(
        self,
        connection: Connection,
        write: Any,
        new: SealedSecret,
        before: int | None,
        actor: str,
    ) -> bool:
        if connection.execute(write.returning(secret.c.version)).one_or_none() is None:
            return False
        self._note(connection, new.team, new.name, (before, new.version), actor)
        return True

    @crash_point("secrets.reseal")
    def reseal(self, old: SealedSecret, new: SealedSecret, *, actor: str) -> bool:
        """Waits for nobody: a value that was changed meanwhile is left as it is."""
        write = (
            update(secret)
            .where(secret.c.team == old.team, secret.c.name == old.name)
            .where(secret.c.version == old.version, secret.c.key_id == old.key_id)
            .values(key_id=new.key_id, box=new.box)
        )
        with self._database.transaction() as connection:
            return self._reseal(connection, write, new, actor)

    @crash_point("secrets.reseal.rows")
    def _reseal(self, connection: Connection, write: Any, new: SealedSecret, actor: str) -> bool:
        if connection.execute(write).rowcount != 1:
            return False
        versions = (new.version, new.version)
        self._note(connection, new.team, new.name, versions, actor, key=new.key_id)
        return True

    @crash_point("secrets.remove")
    def remove(self, team: str, name: str, *, actor: str) -> int | None:
        """Deletes the row whatever its version is."""
        with self._database.transaction() as connection:
            return self._remove(connection, team, name, actor)

    @crash_point("secrets.remove.rows")
    def _remove(self, connection: Connection, team: str, name: str, actor: str) -> int | None:
        place = (secret.c.team == team, secret.c.name == name)
        gone = connection.execute(delete(secret).where(*place).returning(secret.c.version))
        version: int | None = gone.scalar_one_or_none()
        if version is not None:
            self._note(connection, team, name, (version, None), actor)
        return version

    def _note(
        self,
        connection: Connection,
        team: str,
        name: str,
        versions: tuple[int | None, int | None],
        actor: str,
        **more: str,
    ) -> None:
        """No leader and no run has to do with it: epoch 0, and no names."""
        before, after = versions
        changed = {"entity": "secret", "name": name, "from": before, "to": after, **more}
        connection.execute(
            plain_insert(audit).values(
                at=self._database.now,
                epoch=0,
                holder="",
                actor=clean_text(actor),
                team=team,
                run="",
                transitions=[changed],
            )
        )
