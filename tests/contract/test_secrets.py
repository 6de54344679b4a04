"""Contract of sealed secrets: each change expects a version, and leaves a row in the audit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headway_coordinator.access.cipher import SealedSecret
from tests.contract.world import TEAM, World

FIRST = SealedSecret(TEAM, "token", 1, "key1", b"\x00box\xff")


def audited(world: World) -> list[tuple[str, str, Any]]:
    rows, _ = world.storage.queries.audit(run=None, teams=None, limit=100, cursor=None)
    return [(row["actor"], row["team"], row["transitions"]) for row in reversed(rows)]


def test_a_secret_is_put_where_its_version_is_the_expected_one(world: World) -> None:
    secrets = world.storage.secrets
    second = replace(FIRST, version=2, box=b"other")
    assert not secrets.put(second, before=1, actor="ann")
    assert secrets.put(FIRST, before=None, actor="ann")
    assert not secrets.put(replace(FIRST, box=b"late"), before=None, actor="bob")
    assert secrets.find(TEAM, ["token", "other"]) == [FIRST]
    assert secrets.put(second, before=1, actor="bob")
    assert not secrets.put(second, before=1, actor="eve")
    assert secrets.find(TEAM, ["token"]) == [second]
    [info] = secrets.listing([TEAM])
    assert (info.name, info.version, info.changed_by, info.key_id) == ("token", 2, "bob", "key1")
    change = {"entity": "secret", "name": "token"}
    assert audited(world) == [
        ("ann", TEAM, [{**change, "from": None, "to": 1}]),
        ("bob", TEAM, [{**change, "from": 1, "to": 2}]),
    ]


def test_teams_do_not_see_each_other_s(world: World) -> None:
    secrets = world.storage.secrets
    secrets.put(FIRST, before=None, actor="ann")
    secrets.put(replace(FIRST, team="risk"), before=None, actor="bob")
    assert [each.team for each in secrets.find("risk", ["token"])] == ["risk"]
    assert [each.team for each in secrets.listing(["risk"])] == ["risk"]
    assert [each.team for each in secrets.listing(None)] == [TEAM, "risk"]
    assert secrets.listing([]) == []
    assert secrets.find(TEAM, []) == []


def test_a_secret_is_removed_once(world: World) -> None:
    secrets = world.storage.secrets
    secrets.put(FIRST, before=None, actor="ann")
    assert secrets.remove("risk", "token", actor="bob") is None
    assert secrets.remove(TEAM, "token", actor="bob") == 1
    assert secrets.remove(TEAM, "token", actor="bob") is None
    assert secrets.listing(None) == []
    change = {"entity": "secret", "name": "token", "from": 1, "to": None}
    assert audited(world)[1:] == [("bob", TEAM, [change])]


def test_a_secret_is_sealed_anew_unless_it_was_changed_meanwhile(world: World) -> None:
    secrets = world.storage.secrets
    secrets.put(FIRST, before=None, actor="ann")
    assert secrets.sealed_otherwise("key2") == [FIRST]
    anew = replace(FIRST, key_id="key2", box=b"anew")
    assert secrets.reseal(FIRST, anew, actor="bob")
    assert not secrets.reseal(FIRST, anew, actor="eve")
    change = {"entity": "secret", "name": "token", "from": 1, "to": 1, "key": "key2"}
    assert audited(world)[1:] == [("bob", TEAM, [change])]
    assert secrets.sealed_otherwise("key2") == []
    assert secrets.find(TEAM, ["token"]) == [anew]
