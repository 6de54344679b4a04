"""The table of roles; each row is spelled, so that a change of it is seen."""

from __future__ import annotations

import pytest

from headway_coordinator.access.roles import ROLES, Action, Identity, allowed

LOOK = {
    "read_definitions",
    "read_runs",
    "read_logs",
    "read_artifacts",
    "read_queues",
    "read_events",
    "read_teams",
    "make_ticket",
}
RUN = {
    "start_run",
    "cancel_run",
    "retry_run",
    "recover_run",
    "steer_admission",
    "read_audit",
    "read_secrets",
}
RUN |= {"send_events", "steer_triggers"}
WRITE = {"apply", "manage_secrets"}
MANAGE = {"manage_tokens", "manage_teams", "manage_keys"}
EXPECTED = {
    "viewer": LOOK,
    "operator": LOOK | RUN,
    "author": LOOK | RUN | WRITE,
    "admin": LOOK | RUN | WRITE | MANAGE,
    "worker": {"work"},
    "stranger": set(),
}


@pytest.mark.parametrize("role", EXPECTED)
def test_a_role_may_do_exactly_this(role: str) -> None:
    assert {str(action) for action in Action if allowed(role, action)} == EXPECTED[role]


def test_every_role_is_expected() -> None:
    assert set(ROLES) == set(EXPECTED) - {"stranger"}


@pytest.mark.parametrize(
    ("own", "object_of", "covered"),
    [
        (None, "risk", True),
        (None, None, True),
        ("risk", "risk", True),
        ("risk", "risky", False),
        ("risk", "", False),
        ("risk", None, False),
    ],
)
def test_a_scope_is_one_team_or_all(own: str | None, object_of: str | None, covered: bool) -> None:
    identity = Identity("t1", "ann", own, "viewer", "f")
    assert identity.covers(object_of) is covered
    assert identity.teams == (None if own is None else [own])


@pytest.mark.parametrize(
    ("own", "wanted", "shown"),
    [
        (None, None, None),
        (None, "risk", ["risk"]),
        ("risk", None, ["risk"]),
        ("risk", "risk", ["risk"]),
        ("risk", "sales", []),
        ("risk", "", []),
    ],
)
def test_a_list_shows_one_team_or_all_of_the_scope(
    own: str | None, wanted: str | None, shown: list[str] | None
) -> None:
    assert Identity("t1", "ann", own, "viewer", "f").teams_of(wanted) == shown
