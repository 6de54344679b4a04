"""What was measured: versions of everything, and the settings that decide the figures."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from headway.broker_options import is_redis
from headway_coordinator.bench.cases import MANY_SLOTS, SLOTS
from headway_coordinator.broker.inspecting import inspect_broker

_DISTRIBUTIONS = ("headway", "celery", "kombu", "redis", "psycopg", "sqlalchemy", "uvicorn")
_DATABASE_SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes")


def versions(database: str, broker: str, results: str, rounds: int) -> dict[str, Any]:
    """Return the document's `versions` and `settings`; `results` may be empty.

    Raises:
        UnavailableError: the broker cannot be reached.
    """
    found = {name: _version(name) for name in _DISTRIBUTIONS}
    settings: dict[str, Any] = {
        "slots": SLOTS,
        "slots_W8": MANY_SLOTS,
        "rounds": rounds,
        "cores": len(os.sched_getaffinity(0)),
        "database": database.partition(":")[0].partition("+")[0],
        "broker": "redis" if is_redis(broker) else "rabbitmq",
        "celery_results": "redis",
        "python_steps": "warm interpreters",
    }
    if settings["database"] == "postgresql":
        rows = _database_settings(database)
        found["postgresql"] = rows.pop("server_version")
        settings |= rows
    found["redis_server"] = _server_version(results) if results else None
    if not is_redis(broker):
        found["rabbitmq"] = _server_version(broker)
    return {"versions": {"python": platform.python_version(), **found}, "settings": settings}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _database_settings(url: str) -> dict[str, Any]:
    import psycopg

    with psycopg.connect(url) as connection:
        return {
            name: connection.execute("SELECT current_setting(%s)", (name,)).fetchone()[0]  # type: ignore[index]
            for name in _DATABASE_SETTINGS
        }


def _server_version(url: str) -> str | None:
    """Return the broker's version, reached as Headway's own processes reach it."""
    found = inspect_broker(url).version
    return None if found == "unknown" else found
