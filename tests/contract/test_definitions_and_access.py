"""Contract of definitions, teams and tokens."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headway.errors import ConflictError
from headway_coordinator.application.access_ports import Token
from tests.contract.world import MINUTE, TEAM, World, state


def put(world: World, digest: str, team: str = TEAM, pipeline: str = "daily") -> tuple[int, bool]:
    canonical = {"pipeline": pipeline, "team": team, "owner": "ann", "steps": {"z": 1, "a": 2}}
    return world.storage.definitions.put(
        canonical=canonical, digest=digest, source="text: ü", actor="ann"
    )


def test_a_definition_gets_a_version_when_it_changes(world: World) -> None:
    given = [put(world, digest) for digest in ("d1", "d1", "d2", "d1")]
    assert given == [(1, True), (1, False), (2, True), (3, True)]
    [current] = world.storage.definitions.current("daily")
    assert (current.version, current.digest, current.source) == (3, "d1", "text: ü")
    assert list(current.canonical["steps"]) == ["z", "a"]


def test_definitions_are_found_by_digest_and_by_name(world: World) -> None:
    put(world, "d1")
    put(world, "d2", team="growth")
    definitions = world.storage.definitions
    found = definitions.get("d2")
    assert found is not None
    assert (found.team, found.pipeline, found.version) == ("growth", "daily", 1)
    assert definitions.get("d3") is None
    assert [d.digest for d in definitions.current("daily")] == ["d1", "d2"]
    assert [d.digest for d in definitions.current("daily", "growth")] == ["d2"]
    assert definitions.current("nope") == []


def test_the_listing_names_the_last_run(world: World) -> None:
    put(world, "d1")
    put(world, "d2", pipeline="hourly")
    put(world, "d3", team="growth")
    world.create(state("r1"), state("r2"))
    listing = world.storage.definitions.listing(teams=[TEAM])
    assert [(d["pipeline"], d["owner"], d["last_run"]) for d in listing] == [
        ("daily", "ann", {"id": "r2", "state": "running"}),
        ("hourly", "ann", None),
    ]
    assert len(world.storage.definitions.listing(teams=None)) == 3


def test_a_team_is_new_once(world: World) -> None:
    access = world.storage.access
    assert access.add_team("growth", "ann")
    assert not access.add_team("growth", "bob")
    [team] = access.teams()
    assert (team["name"], team["created_by"]) == ("growth", "ann")


def token(world: World, **fields: object) -> Token:
    now = world.storage.sweeps.database_now()
    given = Token("t1", "ann", TEAM, "operator", now)
    return replace(given, **fields)  # type: ignore[arg-type]


def test_a_token_is_found_by_its_hash_until_it_is_revoked(world: World) -> None:
    access, made = world.storage.access, token(world)
    access.add_token(made, "aa")
    assert access.find_token("aa") == made
    assert access.find_token("ab") is None
    assert access.revoke_token("t1")
    assert not access.revoke_token("t1")
    assert access.find_token("aa") is None
    [stored] = access.tokens(TEAM)
    assert stored.revoked_at is not None
    assert access.tokens("growth") == []


def test_an_expired_token_is_not_found(world: World) -> None:
    access = world.storage.access
    now = world.storage.sweeps.database_now()
    access.add_token(token(world, expires_at=now), "aa")
    access.add_token(token(world, id="t2", team=None, expires_at=now + MINUTE), "bb")
    assert access.find_token("aa") is None
    assert access.find_token("bb") is not None


def test_the_use_of_a_token_is_noted_once_a_minute(world: World) -> None:
    access, made = world.storage.access, token(world)
    access.add_token(made, "aa")
    access.find_token("aa")
    first = access.tokens()[0].last_used_at
    assert first is not None
    assert first >= made.created_at
    access.find_token("aa")
    assert access.tokens()[0].last_used_at == first
    old = token(world, id="t2", last_used_at=first - timedelta(minutes=2))
    access.add_token(old, "bb")
    access.find_token("bb")
    assert all(t.last_used_at is not None and t.last_used_at >= first for t in access.tokens())


def test_a_token_is_stored_once(world: World) -> None:
    world.storage.access.add_token(token(world), "aa")
    with pytest.raises(ConflictError):
        world.storage.access.add_token(token(world, id="t2"), "aa")
    with pytest.raises(ConflictError):
        world.storage.access.add_token(token(world), "bb")


def test_versions_stay_as_they_were(world: World) -> None:
    for digest in ("d1", "d2", "d1"):
        put(world, digest)
    put(world, "d9", team="growth")
    definitions = world.storage.definitions
    second = definitions.version(TEAM, "daily", 2)
    assert second is not None
    assert (second.digest, second.version, second.source) == ("d2", 2, "text: ü")
    assert definitions.version(TEAM, "daily", 4) is None
    rows = definitions.versions(TEAM, "daily", limit=2)
    assert [(row["version"], row["digest"], row["actor"]) for row in rows] == [
        (3, "d1", "ann"),
        (2, "d2", "ann"),
    ]
    assert [row["version"] for row in definitions.versions(TEAM, "daily", limit=9, before=2)] == [1]
    assert definitions.versions(TEAM, "nope", limit=9) == []


def test_a_version_with_a_reason_is_audited_once(world: World) -> None:
    put(world, "d1")
    for _ in range(2):
        world.storage.definitions.put(
            canonical={"pipeline": "daily", "team": TEAM},
            digest="d2",
            source="",
            actor="bob",
            reason="rollback to version 7",
        )
    rows, _ = world.storage.queries.audit(run=None, teams=[TEAM], limit=10, cursor=None)
    [row] = [row for row in rows if row["run"] == ""]
    assert (row["actor"], row["team"]) == ("bob", TEAM)
    moved = {"entity": "pipeline", "id": f"{TEAM}/daily", "from": 1, "to": 2}
    assert row["transitions"] == [{**moved, "reason": "rollback to version 7"}]
