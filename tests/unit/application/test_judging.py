"""Facts about servers as findings: what is wrong, what is only worth knowing, what is unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headway.findings import Finding, Status
from headway.folders import Folder
from headway_coordinator.application.facts import AmqpFacts, DatabaseFacts, RedisFacts
from headway_coordinator.application.judging import judge_broker, judge_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
POSTGRES = DatabaseFacts("postgresql", "17.2", NOW, "0002", "0002", DURABLE, connections=(20, 100))
DISK = Folder(Path("/var/lib/headway"), "ext4", 10, 100, writable=True)
SQLITE = DatabaseFacts(
    "sqlite", "3.45.1", NOW, "0002", "0002", {"journal_mode": "wal"}, folder=DISK
)
REDIS = RedisFacts(
    version="7.4.1",
    is_replica=False,
    append_only=True,
    snapshots=False,
    write_failed=False,
    eviction="noeviction",
    memory_used=10_000_000,
    memory_limit=100_000_000,
    evicted=0,
)
RABBIT = AmqpFacts("RabbitMQ", "3.13.7", blocked=False)


def by_check(findings: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def troubles(findings: Any) -> dict[str, Status]:
    return {each.check: each.status for each in findings if each.status is not Status.FINE}


def test_good_servers_have_no_troubles() -> None:
    assert troubles(judge_database(POSTGRES)) == {}
    assert troubles(judge_broker(REDIS)) == {}
    assert troubles(judge_database(SQLITE)) == {"database.kind": Status.NOTE}


def test_what_amqp_does_not_tell_is_unknown() -> None:
    assert troubles(judge_broker(RABBIT)) == {
        "broker.consumer_timeout": Status.UNKNOWN,
        "broker.persistence": Status.UNKNOWN,
    }


@pytest.mark.parametrize(
    ("facts", "check", "words"),
    [
        (replace(POSTGRES, revision=None), "database.schema", "no tables"),
        (replace(POSTGRES, revision="0001"), "database.schema", "this version has 0002"),
        (replace(POSTGRES, revision="0003"), "database.schema", "this version has 0002"),
        (replace(POSTGRES, version="9.6.24"), "database.version", "older than 14"),
        (replace(POSTGRES, in_recovery=True), "database.primary", "standby"),
        (replace(POSTGRES, connections=(86, 100)), "database.connections", "86 of 100"),
        *(
            (replace(POSTGRES, settings={**DURABLE, name: "off"}), "database.durability", name)
            for name in DURABLE
        ),
        (replace(SQLITE, settings={"journal_mode": "delete"}), "database.durability", "delete"),
        (replace(SQLITE, folder=replace(DISK, filesystem="nfs4")), "database.folder", "locks"),
        (
            replace(SQLITE, folder=replace(DISK, filesystem="fuse.sshfs")),
            "database.folder",
            "sshfs",
        ),
        (replace(SQLITE, folder=replace(DISK, filesystem="tmpfs")), "database.folder", "memory"),
        (replace(SQLITE, folder=replace(DISK, path=Path("/tmp"))), "database.folder", "emptied"),
    ],
)
def test_a_database_with_one_thing_wrong(facts: DatabaseFacts, check: str, words: str) -> None:
    found = by_check(judge_database(facts))
    wrong = [each for each in found.values() if each.status is Status.WRONG]
    assert [each.check for each in wrong] == [check]
    assert words in wrong[0].message
    assert wrong[0].mend


@pytest.mark.parametrize(
    ("facts", "check", "status"),
    [
        (replace(REDIS, version="5.0.7"), "broker.version", Status.WRONG),
        (replace(REDIS, is_replica=True), "broker.primary", Status.WRONG),
        (replace(REDIS, eviction="volatile-lru"), "broker.eviction", Status.WRONG),
        (replace(REDIS, evicted=7), "broker.eviction", Status.NOTE),
        (replace(REDIS, write_failed=True), "broker.persistence", Status.WRONG),
        (replace(REDIS, append_only=False), "broker.persistence", Status.NOTE),
        (replace(REDIS, memory_used=71_000_000), "broker.memory", Status.WRONG),
        (replace(REDIS, version="unknown"), "broker.version", Status.UNKNOWN),
        (replace(REDIS, eviction=None), "broker.eviction", Status.UNKNOWN),
        (replace(REDIS, append_only=None), "broker.persistence", Status.UNKNOWN),
        (replace(REDIS, memory_used=None), "broker.memory", Status.UNKNOWN),
        (replace(RABBIT, version="3.8.9"), "broker.version", Status.WRONG),
        (replace(RABBIT, blocked=True), "broker.memory", Status.WRONG),
    ],
)
def test_a_broker_with_one_thing_amiss(facts: Any, check: str, status: Status) -> None:
    usual = troubles(judge_broker(RABBIT if isinstance(facts, AmqpFacts) else REDIS))
    assert troubles(judge_broker(facts)) == {**usual, check: status}
    assert by_check(judge_broker(facts))[check].mend


@pytest.mark.parametrize(
    ("facts", "check"),
    [
        (replace(POSTGRES, version="a fork"), "database.version"),
        (replace(POSTGRES, settings={"fsync": "on"}), "database.durability"),
        (replace(POSTGRES, connections=None), "database.connections"),
        (replace(SQLITE, folder=replace(DISK, filesystem=None)), "database.folder"),
    ],
)
def test_what_a_database_does_not_tell_is_unknown(facts: DatabaseFacts, check: str) -> None:
    assert by_check(judge_database(facts))[check].status is Status.UNKNOWN


def test_redis_without_a_limit_says_what_it_uses() -> None:
    found = by_check(judge_broker(replace(REDIS, memory_limit=0)))["broker.memory"]
    assert found.status is Status.FINE
    assert found.message == "10 MB are in use, without a limit of its own"
