"""From facts about database and broker to findings. Pure: the same facts give the same findings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import assert_never

from headway.findings import Finding, fine, note, unknown, wrong
from headway_coordinator.application.facts import (
    AmqpFacts,
    BrokerFacts,
    DatabaseFacts,
    RedisFacts,
)

_OLDEST_POSTGRES = 14
_OLDEST_REDIS = (6, 2)
_OLDEST_RABBITMQ = (3, 10)
_CROWDED = 0.85
_FULL = 0.7
_TEMPORARY = (PurePath("/tmp"), PurePath("/var/tmp"), PurePath("/dev/shm"))
_NO_POWER_CUT = ("fsync", "full_page_writes")


# --- the database ------------------------------------------------------------------------------


def judge_database(facts: DatabaseFacts) -> Iterator[Finding]:
    """Yield what is to be said of a database that answers."""
    yield fine("database.reachable", f"{facts.dialect} {facts.version} answers")
    yield _schema(facts)
    if facts.dialect == "postgresql":
        yield _postgres_version(facts)
        yield _postgres_durability(facts)
        yield _primary(facts)
        yield _room_for_connections(facts)
    else:
        yield _sqlite_durability(facts)
        yield from _sqlite_folder(facts)


def _schema(facts: DatabaseFacts) -> Finding:
    check = "database.schema"
    if facts.revision == facts.newest_revision:
        return fine(check, f"the schema is at revision {facts.revision}, this version's own")
    if facts.revision is None:
        return wrong(check, "the database has no tables yet", "headway db upgrade")
    newest = facts.newest_revision
    message = f"the schema is at revision {facts.revision}; this version has {newest}"
    if facts.revision < newest:
        return wrong(check, message, "stop all coordinators, then: headway db upgrade")
    return wrong(check, message, "install the newer version of Headway that upgraded it")


def _postgres_version(facts: DatabaseFacts) -> Finding:
    check, major = "database.version", _numbers(facts.version)[:1]
    if not major:
        return unknown(check, f"the server calls itself {facts.version}", "look at it by hand")
    if major[0] < _OLDEST_POSTGRES:
        message = f"PostgreSQL {facts.version} is older than {_OLDEST_POSTGRES}"
        return wrong(check, message, "upgrade the server")
    return fine(check, f"PostgreSQL {facts.version}")


def _postgres_durability(facts: DatabaseFacts) -> Finding:
    """An accepted run must be on the disk: nobody else has it, since the broker may forget."""
    check = "database.durability"
    risky = [f"{name} = off" for name in _NO_POWER_CUT if facts.settings.get(name) == "off"]
    if facts.settings.get("synchronous_commit") == "off":
        risky.append("synchronous_commit = off")
    if risky:
        message = f"{', '.join(risky)}: a crash of the server loses what was accepted"
        return wrong(check, message, "set it to on in postgresql.conf and restart the server")
    unseen = [n for n in (*_NO_POWER_CUT, "synchronous_commit") if n not in facts.settings]
    if unseen:
        return unknown(check, f"the server does not tell {', '.join(unseen)}", "ask its operator")
    commit = facts.settings["synchronous_commit"]
    return fine(check, f"commits are synced to the disk (synchronous_commit = {commit})")


def _primary(facts: DatabaseFacts) -> Finding:
    if facts.in_recovery:
        mend = "let HEADWAY_DATABASE_URL lead to the primary (target_session_attrs=read-write)"
        return wrong("database.primary", "the server is a standby: it takes no writes", mend)
    return fine("database.primary", "the server takes writes")


def _room_for_connections(facts: DatabaseFacts) -> Finding:
    check = "database.connections"
    if facts.connections is None:
        return unknown(check, "the server does not tell its connections", "ask its operator")
    used, most = facts.connections
    message = f"{used} of {most} connections are in use"
    if used > _CROWDED * most:
        return wrong(check, message, "raise max_connections: a coordinator takes up to 42")
    return fine(check, message)


def _sqlite_durability(facts: DatabaseFacts) -> Finding:
    journal = facts.settings.get("journal_mode")
    if journal != "wal":
        mend = "start Headway's own processes on it; they set it"
        return wrong("database.durability", f"the journal is {journal}, not wal", mend)
    return fine("database.durability", "the journal is wal, and each commit is synced")


def _sqlite_folder(facts: DatabaseFacts) -> Iterator[Finding]:
    check, folder = "database.folder", facts.folder
    if folder is None:
        return
    move = "move the database to a folder of a local disk, or use PostgreSQL"
    if folder.over_network:
        message = f"{folder.path} lies on {folder.filesystem}, where SQLite's locks do not hold"
        yield wrong(check, message, move)
    elif folder.in_memory:
        message = f"{folder.path} is in memory ({folder.filesystem}): a restart loses every run"
        yield wrong(check, message, move)
    elif any(folder.path.is_relative_to(place) for place in _TEMPORARY):
        yield wrong(check, f"{folder.path} is emptied now and then", move)
    elif folder.filesystem is None:
        yield unknown(check, f"it cannot be seen what disk {folder.path} is on", move)
    else:
        yield fine(check, f"{folder.path} lies on a local disk ({folder.filesystem})")
    mend = "one machine's database serves one coordinator; for several, use PostgreSQL"
    yield note("database.kind", "SQLite is for one machine", mend)


# --- the broker --------------------------------------------------------------------------------


def judge_broker(facts: BrokerFacts) -> Iterator[Finding]:
    """Yield what is to be said of a broker that answers."""
    match facts:
        case RedisFacts():
            yield from _judge_redis(facts)
        case AmqpFacts():
            yield from _judge_amqp(facts)
        case _:
            assert_never(facts)


def _judge_redis(facts: RedisFacts) -> Iterator[Finding]:
    yield fine("broker.reachable", f"Redis {facts.version} answers")
    yield _version("broker.version", "Redis", facts.version, _OLDEST_REDIS)
    if facts.is_replica:
        mend = "let HEADWAY_BROKER_URL lead to the master, or name the sentinels in it"
        yield wrong("broker.primary", "the server is a replica: it takes no writes", mend)
    yield _eviction(facts)
    yield _persistence(facts)
    yield _memory(facts)


def _eviction(facts: RedisFacts) -> Finding:
    check, mend = "broker.eviction", "set maxmemory-policy noeviction"
    if facts.eviction is None:
        return unknown(check, "the server does not tell its eviction policy", mend)
    if facts.eviction != "noeviction":
        return wrong(check, f"the policy is {facts.eviction}: full, it throws queues away", mend)
    if facts.evicted:
        message = f"{facts.evicted} keys were evicted before the policy was noeviction"
        return note(check, message, "nothing is lost: what was in them has been sent again")
    return fine(check, "the policy is noeviction")


def _persistence(facts: RedisFacts) -> Finding:
    check = "broker.persistence"
    if facts.append_only is None:
        mend = "set appendonly yes, appendfsync everysec"
        return unknown(check, "the server does not tell whether it persists", mend)
    if facts.write_failed:
        message = "its last write to the disk failed; it may refuse everything soon"
        return wrong(check, message, "look at its log and at the disk's room")
    if not facts.append_only:
        kept = "only snapshots are kept" if facts.snapshots else "nothing is kept"
        message = f"{kept}: after a restart every waiting step is sent anew"
        return note(check, message, "set appendonly yes, appendfsync everysec")
    return fine(check, "what is in the queues is appended to its disk")


def _memory(facts: RedisFacts) -> Finding:
    check = "broker.memory"
    if facts.memory_used is None or facts.memory_limit is None:
        return unknown(check, "the server does not tell its memory", "watch used_memory yourself")
    used = f"{facts.memory_used / 1e6:.0f} MB"
    if not facts.memory_limit:
        return fine(check, f"{used} are in use, without a limit of its own")
    message = f"{used} of {facts.memory_limit / 1e6:.0f} MB are in use"
    if facts.memory_used > _FULL * facts.memory_limit:
        mend = "raise maxmemory, or find what else lives there: Headway needs little"
        return wrong(check, message, mend)
    return fine(check, message)


def _judge_amqp(facts: AmqpFacts) -> Iterator[Finding]:
    yield fine("broker.reachable", f"{facts.product} {facts.version} answers")
    yield _version("broker.version", facts.product, facts.version, _OLDEST_RABBITMQ)
    if facts.blocked:
        message = "it takes no messages: an alarm of memory or disk is up"
        yield wrong("broker.memory", message, "rabbitmq-diagnostics alarms; give it room")
    else:
        yield fine("broker.memory", "it took a message: no alarm of memory or disk is up")
    mend = "rabbitmqctl environment | grep consumer_timeout; no step is lost by it"
    yield unknown("broker.consumer_timeout", "AMQP alone does not tell consumer_timeout", mend)
    mend = "rabbitmqctl list_queues name type durable"
    yield unknown("broker.persistence", "AMQP alone does not tell what is on its disk", mend)


def _version(check: str, product: str, version: str, oldest: tuple[int, ...]) -> Finding:
    numbers = _numbers(version)
    if not numbers:
        return unknown(check, f"the server calls itself {version}", "look at it by hand")
    if numbers < oldest:
        wanted = ".".join(map(str, oldest))
        return wrong(check, f"{product} {version} is older than {wanted}", "upgrade the server")
    return fine(check, f"{product} {version}")


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
