"""The table of roles and actions; what is not in it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PLATFORM_ADMIN_HINT = "Ask an administrator of the whole installation."


class Action(StrEnum):
    """Everything that a request can want; each route names one."""

    READ_DEFINITIONS = "read_definitions"
    READ_RUNS = "read_runs"
    READ_LOGS = "read_logs"
    READ_ARTIFACTS = "read_artifacts"
    READ_QUEUES = "read_queues"
    READ_EVENTS = "read_events"
    READ_TEAMS = "read_teams"
    READ_AUDIT = "read_audit"
    MAKE_TICKET = "make_ticket"
    START_RUN = "start_run"
    CANCEL_RUN = "cancel_run"
    RETRY_RUN = "retry_run"
    RECOVER_RUN = "recover_run"  # clear and mark its steps, pause and resume it
    STEER_ADMISSION = "steer_admission"  # pause and resume pipelines, queues and teams
    SEND_EVENTS = "send_events"
    STEER_TRIGGERS = "steer_triggers"
    APPLY = "apply"
    READ_SECRETS = "read_secrets"  # that they are there; never what they are
    MANAGE_SECRETS = "manage_secrets"
    MANAGE_TOKENS = "manage_tokens"
    MANAGE_KEYS = "manage_keys"
    MANAGE_TEAMS = "manage_teams"
    WORK = "work"


_VIEWER = frozenset(
    {
        Action.READ_DEFINITIONS,
        Action.READ_RUNS,
        Action.READ_LOGS,
        Action.READ_ARTIFACTS,
        Action.READ_QUEUES,
        Action.READ_EVENTS,
        Action.READ_TEAMS,
        Action.MAKE_TICKET,
    }
)
_OPERATOR = _VIEWER | {
    Action.READ_AUDIT,
    Action.READ_SECRETS,
    Action.START_RUN,
    Action.CANCEL_RUN,
    Action.RETRY_RUN,
    Action.RECOVER_RUN,
    Action.STEER_ADMISSION,
    Action.SEND_EVENTS,
    Action.STEER_TRIGGERS,
}
# Whoever may apply a definition can have a step read a secret, so setting one asks for no more.
_AUTHOR = _OPERATOR | {Action.APPLY, Action.MANAGE_SECRETS}
_ADMIN = _AUTHOR | {Action.MANAGE_TOKENS, Action.MANAGE_TEAMS, Action.MANAGE_KEYS}

ROLES: Mapping[str, frozenset[Action]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "author": _AUTHOR,
    "admin": _ADMIN,
    "worker": frozenset({Action.WORK}),
}


def allowed(role: str, action: Action) -> bool:
    """Say whether the role may do the action, within its scope. An unknown role may do nothing."""
    return action in ROLES.get(role, frozenset())


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a token's subject, role and scope. `team` None: every team."""

    token_id: str
    subject: str
    team: str | None
    role: str
    fingerprint: str
    expires_at: datetime | None = None

    def may(self, action: Action) -> bool:
        return allowed(self.role, action)

    def covers(self, team: str | None) -> bool:
        """Say whether what belongs to `team` is within the scope; None belongs to the platform."""
        return self.team is None or self.team == team

    @property
    def teams(self) -> list[str] | None:
        """The teams that a list may show; None: all."""
        return None if self.team is None else [self.team]

    def teams_of(self, wanted: str | None) -> list[str] | None:
        """Return the teams that a list of one team shows, or of all if `wanted` is None.

        None: all; empty: the team is outside the scope, and nothing is shown of it.
        """
        if wanted is None:
            return self.teams
        return [wanted] if self.covers(wanted) else []
