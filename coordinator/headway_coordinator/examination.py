"""Examines the servers behind a coordinator: its database and its broker.

An API process does it for whoever asks it, and `headway doctor` does it on a machine that knows the
servers' addresses (by the entry point `headway.doctor`), also when no coordinator is up.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import unquote, urlsplit

from headway.broker_options import is_redis
from headway.clock import Clock, SystemClock
from headway.errors import DefinitionError, HeadwayError, UnavailableError
from headway.findings import Finding, fine, unknown, wrong
from headway.protocol.queues import EVENTS
from headway_coordinator.application.diagnosing import key_fingerprint
from headway_coordinator.application.judging import judge_broker, judge_database
from headway_coordinator.broker.inspecting import foreign_queues, inspect_broker
from headway_coordinator.settings import DoctorSettings
from headway_coordinator.storage.inspecting import inspect_database

_REMEMBER_SECONDS = 5.0
_MOST_SKEW_S = 5.0


class Examiner:
    """Examines at most every five seconds, however many ask: each look opens connections."""

    def __init__(
        self,
        database_url: str,
        broker_url: str,
        clock: Clock,
        queues: Callable[[], Sequence[str]] = lambda: (),
    ) -> None:
        """`queues` returns the names of the steps' queues; it may raise UnavailableError."""
        self._examine: Callable[[], list[Finding]] = lambda: [
            *examine_database(database_url, clock),
            *examine_broker(broker_url, queues),
        ]
        self._clock = clock
        self._lock = threading.Lock()
        self._found: list[Finding] = []
        self._found_at: float | None = None

    def __call__(self) -> list[Finding]:
        with self._lock:
            now = self._clock.monotonic()
            if self._found_at is None or now - self._found_at >= _REMEMBER_SECONDS:
                self._found, self._found_at = self._examine(), self._clock.monotonic()
            return self._found


def examine_database(url: str, clock: Clock) -> Iterator[Finding]:
    """Yield what is to be said of the database, and of its clock beside this machine's."""
    before = clock.now()
    try:
        facts = inspect_database(url, clock)
    except (UnavailableError, DefinitionError) as error:
        mend = "check HEADWAY_DATABASE_URL, the server, and what lies between"
        yield wrong("database.reachable", error.message, mend)
        return
    yield from judge_database(facts)
    if facts.dialect == "postgresql":
        # Read somewhere between the two, so either distance alone would accuse a slow network.
        early = (before - facts.now).total_seconds()
        late = (clock.now() - facts.now).total_seconds()
        yield judge_skew("clock.database", early, late, "this process and the database")


def judge_skew(check: str, early: float, late: float, between: str) -> Finding:
    """Say how far two clocks are apart, of which one was read between `early` and `late`."""
    apart = max(0.0, -late, early)
    if apart > _MOST_SKEW_S:
        message = f"the clocks of {between} are {apart:.0f} s apart: times in logs mislead"
        return wrong(check, message, "synchronise the machines' clocks (NTP)")
    return fine(check, f"the clocks of {between} agree within {_MOST_SKEW_S:.0f} s")


def examine_broker(url: str, queues: Callable[[], Sequence[str]] = lambda: ()) -> Iterator[Finding]:
    """Yield what is to be said of the broker, and of these queues and the events' own."""
    try:
        yield from judge_broker(inspect_broker(url))
        if not is_redis(url):
            yield from _judge_queues(url, [EVENTS, *_or_none(queues)])
    except (UnavailableError, DefinitionError) as error:
        mend = "check HEADWAY_BROKER_URL, the server, and what lies between"
        if isinstance(error, DefinitionError):
            mend = error.hint or mend
        yield wrong("broker.reachable", error.message, mend)


def _or_none(queues: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Return the queues; none while the database is away, which another finding says."""
    try:
        return queues()
    except UnavailableError:
        return ()


def _judge_queues(url: str, queues: Sequence[str]) -> Iterator[Finding]:
    check, host = "broker.queues", urlsplit(url).path[1:]
    found = foreign_queues(url, queues)
    for queue, words in sorted(found.items()):
        message = f"it is of another kind than Headway's, so nobody can use it: {words}"
        mend = f"rabbitmqctl -p {shlex.quote(unquote(host) or '/')} delete_queue {queue}"
        yield wrong(check, message, f"{mend}; all that waits is sent anew", subject=queue)
    if not found:
        yield fine(check, "Headway's queues are of the kind that it declares")


def examine_here() -> tuple[list[Finding], str | None]:
    """Return what this machine's own environment lets us see, and its secret key's fingerprint."""
    settings, clock = DoctorSettings(), SystemClock()
    found: list[Finding] = []
    if settings.database_url is not None:
        found += examine_database(settings.database_url.get_secret_value(), clock)
    if settings.broker_url is not None:
        found += examine_broker(settings.broker_url.get_secret_value())
    try:
        key = settings.key()
    except HeadwayError as error:
        return [*found, unknown("secret_key", error.message, error.hint or "mend it")], None
    return found, key_fingerprint(key) if key else None
