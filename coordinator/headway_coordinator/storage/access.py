"""Teams and tokens. Of a token only its SHA-256 is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy import insert as plain_insert

from headway.crash_points import crash_point
from headway.errors import ConflictError
from headway_coordinator.application.access_ports import Token
from headway_coordinator.application.ports import PreconditionFailed
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import team as teams
from headway_coordinator.storage.schema import token as tokens
from headway_coordinator.storage.upsert import insert

_NOTE_EVERY = timedelta(minutes=1)
_READ = tuple(
    tokens.c[name]
    for name in (
        "id", "subject", "team", "role", "created_at", "expires_at", "revoked_at", "last_used_at",
    )
)  # fmt: skip


class StoredAccess:
    """Implements `Access`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._minute_ago = database.later("minute")
        self._unnoted = or_(
            tokens.c.last_used_at.is_(None), tokens.c.last_used_at <= self._minute_ago
        )

    @crash_point("access.add_team")
    def add_team(self, name: str, actor: str) -> bool:
        new = (
            insert(self._database.dialect, teams)
            .values(name=name, created_by=clean_text(actor), created_at=self._database.now)
            .on_conflict_do_nothing()
            .returning(teams.c.name)
        )
        with self._database.prompt() as connection:
            return connection.execute(new).one_or_none() is not None

    def teams(self) -> list[dict[str, Any]]:
        with self._database.reading() as connection:
            rows = connection.execute(select(teams).order_by(teams.c.name))
            return [dict(row._mapping) for row in rows]

    @crash_point("access.add_token")
    def add_token(self, token: Token, sha256: str) -> None:
        """Store a token.

        Raises:
            ConflictError: its id or its hash is there already.
        """
        values = {column.name: getattr(token, column.name) for column in _READ}
        values["subject"] = clean_text(token.subject)
        try:
            with self._database.prompt() as connection:
                connection.execute(plain_insert(tokens).values(**values, sha256=sha256))
        except PreconditionFailed as error:
            raise ConflictError("token_exists", "this token is stored already") from error

    def find_token(self, sha256: str) -> Token | None:
        valid = and_(
            tokens.c.sha256 == sha256,
            tokens.c.revoked_at.is_(None),
            or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > self._database.now),
        )
        with self._database.reading() as connection:
            minute = {"minute": self._database.span(-_NOTE_EVERY)}
            row = connection.execute(
                select(*_READ, self._unnoted.label("unnoted")).where(valid), minute
            ).one_or_none()
        if row is None:
            return None
        if row.unnoted:
            self._note_use(sha256)
        return Token(*row[:-1])

    @crash_point("access.note_use")
    def _note_use(self, sha256: str) -> None:
        noted = update(tokens).where(tokens.c.sha256 == sha256, self._unnoted)
        with self._database.prompt() as connection:
            minute = {"minute": self._database.span(-_NOTE_EVERY)}
            connection.execute(noted.values(last_used_at=self._database.now), minute)

    def tokens(self, team: str | None = None) -> list[Token]:
        wanted = select(*_READ).order_by(tokens.c.created_at, tokens.c.id)
        if team is not None:
            wanted = wanted.where(tokens.c.team == team)
        with self._database.reading() as connection:
            return [Token(*row) for row in connection.execute(wanted)]

    @crash_point("access.revoke_token")
    def revoke_token(self, id: str) -> bool:
        """Return whether this call revoked it."""
        revoked = update(tokens).where(tokens.c.id == clean_text(id), tokens.c.revoked_at.is_(None))
        with self._database.prompt() as connection:
            statement = revoked.values(revoked_at=self._database.now)
            return connection.execute(statement).rowcount == 1
