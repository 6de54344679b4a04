"""W7: runs that arrive by signed webhooks, so many a second whatever becomes of the earlier ones.

One process sends. A delivery is late if it could not be sent in time, and its latency counts from
when it was due: a coordinator that stops for a second has made a second's deliveries wait.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import statistics
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import yaml

from headway.clock import Clock
from headway_coordinator.bench.cases import SLOTS, queue_class
from headway_coordinator.bench.headway_side import HeadwaySide

RATES = (50, 200)
_SECONDS = 60
_QUICK_SECONDS = 2
_SENDERS = 24
_TIMEOUT_S = 30.0
_SECRET = "a secret for the measurement alone"


@dataclass(slots=True)
class Sent:
    """What became of deliveries: latencies of accepted ones, and the events they are."""

    latencies_ms: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def measure(ours: HeadwaySide, rate: int, clock: Clock, *, quick: bool) -> dict[str, Any]:
    """Return the figures of one rate.

    Raises:
        UnavailableError: the backlog did not drain.
    """
    name = f"bench-w7-{rate}"
    ours.put_secret("bench-hook", _SECRET)
    ours.put_definition(f"{name}.yaml", definition(name, ours.code))
    ours.start_one(name)  # so that each slot's interpreter knows the code
    ours.wait_for_ends(name)
    total = rate * (_QUICK_SECONDS if quick else _SECONDS)
    sender = _Sender(ours.address, f"/api/v1/hooks/generic/{name}", rate, total, clock)
    sent = sender.run()
    events = _events(ours, name, len(sent.events))
    ours.wait_for_ends(name)
    runs = ours.rows("runs", {"pipeline": name, "limit": "200"}, total + 2)
    last = max((datetime.fromisoformat(e["received_at"]) for e in events), default=None)
    return figures(sent, outcomes(sent.events, events, runs), runs, last)


def _events(ours: HeadwaySide, pipeline: str, wanted: int) -> list[dict[str, Any]]:
    """Return the pipeline's events once all are decided, which the oldest are first."""

    def decided() -> bool:
        newest = ours.rows("events", {"team": "bench", "limit": "200"}, 200)
        return all(row["decided_at"] for row in newest)

    ours.until(decided)
    return ours.rows("events", {"pipeline": pipeline, "limit": "200"}, wanted)


def definition(name: str, code: str) -> str:
    """Return a pipeline of two steps, one after the other, that a webhook starts."""
    step = {"python": "steps:done", "class": queue_class(SLOTS)}
    document = {
        "headway": 1,
        "pipeline": name,
        "team": "bench",
        "owner": "bench@example.com",
        "code": {"path": code},
        "triggers": [{"webhook": {"source": "generic", "secret": "secret://bench-hook"}}],
        "steps": {"first": step, "second": {**step, "needs": ["first"]}},
    }
    return yaml.dump(document, sort_keys=False)


def outcomes(
    sent: Iterable[str], events: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """Return how many accepted deliveries have no run that succeeded, and how many have several."""
    succeeded = {row["id"] for row in runs if row["state"] == "succeeded"}
    of_event = {
        row["id"]: [d["run"] for d in row["decisions"] if d["run"] is not None] for row in events
    }
    started = [of_event.get(id, []) for id in sent]
    return {
        "lost": sum(not succeeded.intersection(each) for each in started),
        "doubled": sum(len(each) > 1 for each in started),
    }


def figures(
    sent: Sent,
    outcome: Mapping[str, int],
    runs: Sequence[Mapping[str, Any]],
    last: datetime | None,
) -> dict[str, Any]:
    """Return what is shown. The drain is counted by the database's clock, from `last`, the last
    event's arrival, to the last run's end."""
    ends = [datetime.fromisoformat(row["finished_at"]) for row in runs if row["finished_at"]]
    drain = (max(ends) - last).total_seconds() if ends and last else None
    found: dict[str, Any] = {
        "accepted": len(sent.latencies_ms),
        "accepted_p50_ms": _part(sent.latencies_ms, 50),
        "accepted_p99_ms": _part(sent.latencies_ms, 99),
        "refused": sent.refused.total(),
        **outcome,
        "drain_s": None if drain is None else round(max(0.0, drain), 2),
        "runs": len(runs) - 1,  # one was to warm up
    }
    if sent.refused:
        found["refusals"] = dict(sent.refused)
    return found


def _part(latencies: Sequence[float], hundredth: int) -> float | None:
    if len(latencies) < 2:
        return None
    return round(statistics.quantiles(latencies, n=100, method="inclusive")[hundredth - 1], 2)


class _Sender:
    """Sends numbered deliveries at their times, by threads with a connection each."""

    def __init__(self, address: str, path: str, rate: int, total: int, clock: Clock) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = path
        self._rate = rate
        self._total = total
        self._clock = clock
        self._numbers = count()
        self._sent = Sent()
        self._lock = threading.Lock()
        self._begin = 0.0

    def run(self) -> Sent:
        self._begin = self._clock.monotonic() + 0.1
        threads = [threading.Thread(target=self._send_all) for _ in range(_SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._sent

    def _send_all(self) -> None:
        pause = threading.Event().wait
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        while (number := next(self._numbers)) < self._total:
            due = self._begin + number / self._rate
            pause(max(0.0, due - self._clock.monotonic()))
            try:
                status, body = self._post(connection, number)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._note(0.0, type(error).__name__, None)
                continue
            latency = (self._clock.monotonic() - due) * 1000
            self._note(latency, str(status), body if status == 202 else None)
        connection.close()

    def _post(self, connection: http.client.HTTPConnection, number: int) -> tuple[int, bytes]:
        body = json.dumps({"event": "built", "number": number}).encode()
        mac = hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Headway-Signature": f"sha256={mac}",
            "X-Headway-Delivery": f"{self._path}/{number}",
        }
        connection.request("POST", self._path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()

    def _note(self, latency_ms: float, what: str, accepted: bytes | None) -> None:
        with self._lock:
            if accepted is None:
                self._sent.refused[what] += 1
                return
            self._sent.latencies_ms.append(latency_ms)
            self._sent.events += [event["id"] for event in json.loads(accepted)["events"]]
