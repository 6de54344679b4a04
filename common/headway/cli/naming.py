"""How people name a pipeline to a command: `NAME`, or `TEAM/NAME` as lists write it."""

from __future__ import annotations

import re

from headway.errors import DefinitionError
from headway.protocol.queues import TEAM_PATTERN

_WITH_TEAM = re.compile(rf"{TEAM_PATTERN}/{TEAM_PATTERN}")


def team_and_name(text: str, team: str | None = None) -> tuple[str | None, str]:
    """Return (team, name) of the pipeline that is named; the team is None where nothing says it.

    `team` is what `--team` says. Raises DefinitionError (code `usage`) if the two contradict each
    other, or the text has no such form.
    """
    if "/" not in text:
        return team, text
    if not names_a_team(text):
        hint = "write NAME, or TEAM/NAME where several teams have one of that name"
        raise DefinitionError(f"`{text}` names no pipeline", code="usage", hint=hint)
    said, _, name = text.partition("/")
    if team not in (None, said):
        message = f"`{text}` is a pipeline of team {said}, and --team says {team}"
        raise DefinitionError(message, code="usage", hint="leave --team out")
    return said, name


def team_and_filter(text: str | None, team: str | None = None) -> tuple[str | None, str | None]:
    """Return (team, name) of a list's `--pipeline` and `--team`, either of which may be missing."""
    return (team, None) if text is None else team_and_name(text, team)


def names_a_team(text: str) -> bool:
    """Say whether the text has the form TEAM/NAME."""
    return _WITH_TEAM.fullmatch(text) is not None
