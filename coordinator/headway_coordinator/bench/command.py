"""The command: private servers, both sides in turn, one document of figures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.broker_options import is_redis
from headway.clock import SystemClock
from headway.errors import DefinitionError
from headway_coordinator.bench import idle, printing, servers
from headway_coordinator.bench.canvas_side import CanvasSide
from headway_coordinator.bench.headway_side import HeadwaySide
from headway_coordinator.bench.measuring import Measuring
from headway_coordinator.bench.versions import versions
from headway_coordinator.logging import set_up_logging
from headway_coordinator.supervision import Supervisor

BROKERS = ("redis", "rabbitmq")
CASES = ("W1", "W3", "W4", "W5", "W6", "W7", "W8", "W9")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command was asked to do."""

    cases: tuple[str, ...] = CASES
    rounds: int = 5
    quick: bool = False
    idle: bool = False
    against_celery: bool = True
    broker: str = "redis"
    database_url: str | None = None
    broker_url: str | None = None
    results_url: str | None = None


def run_bench(wanted: Wanted, *, as_json: bool) -> int:
    """Measure and print; returns 0. A ratio above 1 says that Headway was faster.

    Raises:
        DefinitionError: no such case or broker, or a server that is needed is not installed.
        UnavailableError: a server or one of the sides did not start, or got stuck.
    """
    _check(wanted)
    set_up_logging("warning")
    with (
        tempfile.TemporaryDirectory(prefix="headway-bench-") as name,
        _sides(wanted, Path(name)) as (ours, theirs, document),
    ):
        if wanted.idle:
            statements = idle.Statements(ours.database_url, Path(name) / "postgresql.log")
            document |= idle.measure(ours, statements, quick=wanted.quick)
        else:
            measuring = Measuring(ours, theirs, rounds=wanted.rounds, quick=wanted.quick)
            document |= measuring.all(wanted.cases)
            document["settings"]["celery_pools"] = dict(theirs.pools) if theirs else {}
    if as_json:
        from headway.cli.printing import print_document

        print_document(document)
    else:
        printing.print_tables(document)
    return 0


def chosen_cases(names: Sequence[str]) -> tuple[str, ...]:
    """Return the cases that `W4,w5` or several such words name; all if none are named."""
    named = [part.strip().upper() for word in names for part in word.split(",") if part.strip()]
    unknown = [name for name in named if name not in CASES]
    if unknown:
        raise DefinitionError(
            f"there is no case {unknown[0]}", code="wrong_use", hint=f"one of {', '.join(CASES)}"
        )
    return tuple(name for name in CASES if not named or name in named)


def _check(wanted: Wanted) -> None:
    if wanted.broker not in BROKERS:
        raise DefinitionError(
            f"there is no broker {wanted.broker}", code="wrong_use", hint="redis or rabbitmq"
        )
    if wanted.idle and wanted.database_url:
        raise DefinitionError(
            "--idle counts the statements of a PostgreSQL of its own",
            code="wrong_use",
            hint="leave --database-url out",
        )
    if wanted.broker_url and is_redis(wanted.broker_url) != (wanted.broker == "redis"):
        raise DefinitionError(
            f"the broker's address is not one of {wanted.broker}",
            code="wrong_use",
            hint="give --broker that fits --broker-url",
        )


@contextmanager
def _sides(
    wanted: Wanted, folder: Path
) -> Iterator[tuple[HeadwaySide, CanvasSide | None, dict[str, Any]]]:
    """Give both sides on their servers, and the document with what is known before measuring."""
    clock = SystemClock()
    supervisor = Supervisor(clock)
    folder.chmod(0o711)  # PostgreSQL runs as a user of its own and has to pass through.
    ours: HeadwaySide | None = None
    try:
        database = wanted.database_url or servers.postgresql(supervisor, folder).url
        broker, results = _broker(wanted, supervisor, folder)
        ours = HeadwaySide(
            supervisor, database_url=database, broker_url=broker, folder=folder, clock=clock
        )
        ours.start()
        theirs = None
        if wanted.against_celery and not wanted.idle:
            theirs = CanvasSide(
                supervisor,
                broker_url=_numbered(results, 1) if is_redis(broker) else broker,
                results_url=_numbered(results, 1),
                folder=folder,
                clock=clock,
            )
        yield ours, theirs, versions(database, broker, results, wanted.rounds)
    except Exception:
        printing.print_logs(folder)
        raise
    finally:
        if ours is not None:
            ours.close()
        supervisor.stop()


def _broker(wanted: Wanted, supervisor: Supervisor, folder: Path) -> tuple[str, str]:
    """Return the addresses of the broker and of the Redis that keeps Celery's results."""
    given = wanted.broker_url
    if wanted.broker == "redis":
        url = given or servers.redis(supervisor, folder).url
        return _numbered(url, 0), url
    needs_results = wanted.against_celery and not wanted.idle
    results = wanted.results_url or ""
    if needs_results and not results:
        results = servers.redis(supervisor, folder).url
    return given or servers.rabbitmq(supervisor, folder).url, results


def _numbered(url: str, number: int) -> str:
    """Return the address of one of a Redis server's databases, unless `url` names one itself."""
    scheme, _, rest = url.partition("://")
    host, slash, database = rest.partition("/")
    return url if slash and database else f"{scheme}://{host}/{number}"
