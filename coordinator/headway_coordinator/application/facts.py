"""What adapters read of the servers, as plain facts. None: the server does not tell this caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headway.folders import Folder


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """`settings` are the server's own words, such as `{"fsync": "on"}`; `revision` None: no tables.
    `connections` are those in use and those that the server allows."""

    dialect: Literal["postgresql", "sqlite"]
    version: str
    now: datetime
    revision: str | None
    newest_revision: str
    settings: Mapping[str, str]
    in_recovery: bool = False
    connections: tuple[int, int] | None = None
    folder: Folder | None = None


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """`memory_limit` 0: none was set."""

    version: str
    is_replica: bool
    append_only: bool | None
    snapshots: bool | None
    write_failed: bool | None
    eviction: str | None
    memory_used: int | None
    memory_limit: int | None
    evicted: int | None


@dataclass(frozen=True, slots=True)
class AmqpFacts:
    """`blocked`: the broker refused a probe's publish for want of memory or disk."""

    product: str
    version: str
    blocked: bool


BrokerFacts = RedisFacts | AmqpFacts
