"""Who is asking: tokens looked up once in a few seconds, and statements that browsers carry."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from headway.clock import Clock
from headway.errors import ConflictError, DefinitionError, ForbiddenError
from headway.ids import new_id
from headway_coordinator.access import seals, tokens
from headway_coordinator.access.roles import PLATFORM_ADMIN_HINT, ROLES, Action, Identity
from headway_coordinator.application.access_ports import Access, Role, Token

CACHE_SECONDS = 4.0  # a revoked token works no longer than this
_CACHE_LIMIT = 10_000
_FAILURES_ALLOWED = 20
_FAILURE_WINDOW_SECONDS = 60.0

NOT_SIGNED_IN = "Send `Authorization: Bearer hw_…`; set HEADWAY_TOKEN for the command line."


class Identities:
    """Turns a token, a session or a ticket into an identity; safe to use from many threads."""

    def __init__(self, access: Access, key: bytes, clock: Clock) -> None:
        self._access = access
        self._key = key
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Identity]] = OrderedDict()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def cached(self, token: str) -> Identity | None:
        """Return the token's identity if it was looked up a moment ago; asks no database."""
        return self._cached(tokens.fingerprint(token))

    def of_token(self, token: str) -> Identity:
        """Return the token's identity.

        Raises:
            ForbiddenError: it is unknown, revoked or expired (401), or failed too often (429).
        """
        if not tokens.is_token(token):
            raise not_signed_in("this is no access token")
        return self._of_fingerprint(tokens.fingerprint(token))

    def of_session(self, text: str) -> Identity | None:
        """Return whose session the cookie holds, None if it is no good any more."""
        return self._of_statement("session", text)

    def of_ticket(self, text: str) -> Identity | None:
        """Return who was given the ticket, None if it is no good any more."""
        return self._of_statement("ticket", text)

    def session(self, identity: Identity) -> tuple[str, datetime]:
        """Return a session cookie's value and when it ends."""
        return seals.issue(self._key, "session", identity.fingerprint, self._clock.now())

    def ticket(self, identity: Identity) -> tuple[str, datetime]:
        """Return a short-lived ticket that opens a session of the same identity."""
        return seals.issue(self._key, "ticket", identity.fingerprint, self._clock.now())

    def still_valid(self, identity: Identity) -> bool:
        """Say whether the identity's token is neither revoked nor expired by now."""
        try:
            self._of_fingerprint(identity.fingerprint)
        except ForbiddenError:
            return False
        return True

    def forget(self) -> None:
        """Drop what is cached, so that a change of tokens counts at once in this process."""
        with self._lock:
            self._known.clear()

    def _of_statement(self, purpose: seals.Purpose, text: str) -> Identity | None:
        fingerprint = seals.verify(self._key, purpose, text, self._clock.now())
        if fingerprint is None:
            return None
        try:
            identity = self._of_fingerprint(fingerprint)
        except ForbiddenError:
            return None
        return None if identity.may(Action.WORK) else identity

    def _of_fingerprint(self, fingerprint: str) -> Identity:
        known = self._cached(fingerprint)
        if known is not None:
            return known
        asked = self._clock.monotonic()
        self._refuse_if_hopeless(fingerprint, asked)
        token = self._access.find_token(fingerprint)
        if token is None:
            self._note_failure(fingerprint, asked)
            raise not_signed_in("the token is unknown, revoked or expired")
        identity = Identity(
            token.id, token.subject, token.team, token.role, fingerprint, token.expires_at
        )
        with self._lock:
            self._known[fingerprint] = (asked, identity)
            while len(self._known) > _CACHE_LIMIT:
                self._known.popitem(last=False)
        return identity

    def _cached(self, fingerprint: str) -> Identity | None:
        entry = self._known.get(fingerprint)
        if entry is None:
            return None
        asked, identity = entry
        if self._clock.monotonic() - asked >= CACHE_SECONDS:
            return None
        if identity.expires_at is not None and identity.expires_at <= self._clock.now():
            return None
        return identity

    def _refuse_if_hopeless(self, fingerprint: str, now: float) -> None:
        """A worker or script that repeats a dead token must not become load on the database."""
        with self._lock:
            failures = self._failures.get(fingerprint, [])
            recent = [at for at in failures if now - at < _FAILURE_WINDOW_SECONDS]
        if len(recent) >= _FAILURES_ALLOWED:
            hint = "Wait a minute, then use a token that is valid."
            raise ForbiddenError(
                "too_many_failures", "the token failed too often", hint, status=429
            )

    def _note_failure(self, fingerprint: str, now: float) -> None:
        with self._lock:
            failures = self._failures.setdefault(fingerprint, [])
            failures[:] = [at for at in failures if now - at < _FAILURE_WINDOW_SECONDS] + [now]
            self._failures.move_to_end(fingerprint)
            while len(self._failures) > _CACHE_LIMIT:
                self._failures.popitem(last=False)


def not_signed_in(why: str) -> ForbiddenError:
    """Return the error of a request without a valid identity."""
    return ForbiddenError("not_signed_in", f"not signed in: {why}", NOT_SIGNED_IN, status=401)


def require(identity: Identity, action: Action) -> None:
    """Let the identity's role do the action. Raises ForbiddenError otherwise."""
    if not identity.may(action):
        roles = ", ".join(role for role, actions in ROLES.items() if action in actions)
        message = f"the role `{identity.role}` may not {action.replace('_', ' ')}"
        raise ForbiddenError("forbidden", message, f"It needs one of the roles: {roles}.")


def create_token(
    access: Access,
    identity: Identity,
    clock: Clock,
    *,
    subject: str,
    team: str | None,
    role: Role,
    life: timedelta | None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[str, Token]:
    """Return a new token's text, which is shown this once, and what is stored of it.

    Raises:
        ForbiddenError: the identity's scope does not hold the wished one.
        DefinitionError: there is no such team, or a worker's token has none.
    """
    if not identity.covers(team):
        message = f"a token of team `{identity.team}` cannot make one for {team or 'all teams'}"
        raise ForbiddenError("foreign_team", message, PLATFORM_ADMIN_HINT)
    if team is None and role == "worker":
        message = "a worker's token belongs to one team"
        raise DefinitionError(message, code="team_needed", hint=TEAM_IN_BODY)
    if team is not None:
        demand_team(access, team)
    text = tokens.new_token(random_bytes)
    now = clock.now()
    token = Token(new_id(clock), subject, team, role, now, now + life if life else None)
    access.add_token(token, tokens.fingerprint(text))
    return text, token


# The same sentence serves the command line and whoever calls the API.
TEAM_IN_BODY = 'Name the team: --team NAME on the command line, "team": "NAME" in the API\'s body.'
TEAM_IN_QUERY = "Name the team: --team NAME on the command line, ?team=NAME in the API's address."


def demand_team(access: Access, team: str) -> None:
    """Raises DefinitionError, code `unknown_team`, if there is no such team."""
    if all(row["name"] != team for row in access.teams()):
        hint = f"headway team add {team}"
        raise DefinitionError(f"there is no team `{team}`", code="unknown_team", hint=hint)


def revoke_token(access: Access, identity: Identity, id: str) -> Token:
    """Return the token that works no longer.

    Raises:
        ForbiddenError: 404, the identity cannot see such a token.
        ConflictError: it was revoked before.
    """
    for token in access.tokens(identity.team):
        if token.id == id and identity.covers(token.team):
            if not access.revoke_token(id):
                raise ConflictError("already_revoked", f"the token {id} was revoked before")
            return token
    raise ForbiddenError("not_found", f"there is no token {id}", status=404)
