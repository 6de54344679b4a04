"""What a real worker does about messages that are none, and when its consumer fails."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from headway.protocol.envelope import redis_task
from headway.protocol.messages import Dispatch, Outcome
from headway.protocol.queues import TASK
from tests.integration.garbage import GARBAGE, envelope
from tests.integration.worker_site import QUEUE, Events, Site, ended_with, sleepers
from tests.servers.processes import Child, Processes
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until
from tests.unit.worker.double import TOKEN, Double

# Runs inside the worker, whose thread learns by a file when the test wants the failure: of Celery's
# loop, or of the listener while it takes messages. It happens once. (The thread looks for the file
# again and again, because nothing tells a thread of a new file.)
CELERY = """
from celery.worker.consumer import Consumer
from headway_worker.celery_consumer import StepConsumer

def watch(self):
    while not (folder / "fail").exists():
        time.sleep(0.02)
    self.call_soon(fail)

on_ready = StepConsumer.on_ready
def ready(self):
    on_ready(self)
    if not failed:
        threading.Thread(target=watch, args=(self,), daemon=True).start()

StepConsumer.on_ready = ready
"""
LISTENER = """
from headway_worker.broker.redis_source import RedisSource

taking = RedisSource.take
def take(self, room):
    if (folder / "fail").exists() and not failed:
        fail()
    return taking(self, room)

RedisSource.take = take
"""
FAILING = """
import sys, threading, time
from pathlib import Path

folder, failed = Path({folder!r}), []
def fail():
    failed.append(True)
    raise {failure}
{where}
from headway_worker.command import start
sys.exit(start({{"slots": 2, "classes": ("small",)}}))
"""


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


@pytest.fixture
def events(redis_database: str, double: Double) -> Iterator[Events]:
    made = Events(redis_database, double)
    yield made
    made.close()


@pytest.fixture
def site(
    processes: Processes, redis_database: str, double: Double, tmp_path: Path
) -> Iterator[Site]:
    made = Site(processes, redis_database, double, tmp_path)
    yield made
    processes.close()


@pytest.fixture
def client(redis_database: str) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(redis_database)
    yield made
    made.close()


def task(attempt: str, body: Any = None, **changed: Any) -> bytes:
    """Return a step's message with other headers, or another body, than it should have."""
    message = Dispatch(
        team="analytics",
        run="run1",
        step="s",
        attempt=attempt,
        fence=1,
        dispatch_no=1,
        queue=QUEUE,
    )
    whole = json.loads(redis_task(message))
    headers = {**whole["headers"], **changed}
    return envelope(whole["body"] if body is None else body, headers=headers)


PROPERTIES = json.loads(envelope())["properties"]
STEP = {"task": TASK, "id": "x"}
ODD = [
    (
        envelope("é", properties={**PROPERTIES, "body_encoding": "base64"}, headers=STEP),
        "malformed",
    ),
    (task("x", task=[1]), "unknown_task"),
    (task("x", task="celery.backend_cleanup"), "unknown_task"),
    (envelope("{}"), "unknown_task"),
    (task("x", "not json"), "malformed"),
    (task("x", "[" * 1500), "malformed"),
    (task("x", '{"a": 1}'), "malformed"),
    (task("x", "[[]]"), "malformed"),
    (task("x", " " * 5000), "malformed"),
]


# What kombu gives a meaning that the worker's own reader does not know, or cannot read later.
OTHERWISE = {
    element: "not_json" if kind == "unreadable" else "not_a_message"
    for element, kind in GARBAGE
    if kind == "unreadable" or b"__type__" in element
}


def refused(port: int) -> Counter[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert "# TYPE headway_worker_messages_refused_total counter\n" in text
    found = re.findall(
        r'^headway_worker_messages_refused_total\{reason="(\w+)"} (\d+)$', text, re.M
    )
    return +Counter({reason: int(count) for reason, count in found})


def logged(worker: Child, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in worker.output().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


def test_garbage_is_counted_and_costs_nothing(
    site: Site, events: Events, client: redis.Redis
) -> None:
    port = free_port()
    worker = site.worker(HEADWAY_METRICS_LISTEN=f"127.0.0.1:{port}")
    site.run("a-1-1", "true")
    site.ended("a-1-1")
    garbage = [(element, OTHERWISE.get(element, kind)) for element, kind in GARBAGE]
    for element, _ in (*garbage, *ODD):
        client.lpush(QUEUE, element, element)
    site.run("b-1-1", "true")
    assert site.ended("b-1-1").outcome is Outcome.SUCCEEDED
    expected = Counter(2 * [kind for _, kind in (*garbage, *ODD)])
    assert refused(port) == expected
    assert sorted(line["kind"] for line in logged(worker, "message_refused")) == sorted(expected)
    assert "Traceback" not in worker.output()
    assert "onnection" not in worker.output(), "it never had to connect anew"


def test_garbage_for_the_remote_control_costs_nothing_either(
    site: Site, events: Events, client: redis.Redis
) -> None:
    worker = site.worker()
    channel = f"/{client.get_connection_kwargs()['db']}.celery.pidbox"
    wait_until(lambda: client.publish(channel, b"[" * 100_000), what="a subscriber")
    wait_until(lambda: logged(worker, "message_refused"), what="the refusal")
    site.run("a-1-1", "true")
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    assert "Traceback" not in worker.output()


def test_what_celery_would_heed_in_a_message_keeps_no_slot(
    site: Site, events: Events, client: redis.Redis
) -> None:
    site.worker(slots=1)
    odd: dict[str, dict[str, Any]] = {
        "eta": {"eta": "2999-01-01T00:00:00Z"},
        "expired": {"expires": "2001-01-01T00:00:00Z"},
        "no-date": {"expires": "never"},
        "limits": {"timelimit": 5},
        "no-id": {"id": None},
    }
    for number, headers in enumerate(odd.values()):
        site.double.add(f"a-{number}-1", do="true")
        client.lpush(QUEUE, task(f"a-{number}-1", **headers))
        assert site.ended(f"a-{number}-1").outcome is Outcome.SUCCEEDED
    pickled = json.loads(task("b-1-1"))
    pickled["content-type"] = "application/x-python-serialize"
    site.double.add("b-1-1", do="true")
    client.lpush(QUEUE, json.dumps(pickled))
    assert site.ended("b-1-1").outcome is Outcome.SUCCEEDED


def test_a_message_that_runs_leaves_no_books_in_redis(
    site: Site, events: Events, client: redis.Redis
) -> None:
    site.worker()
    gate = site.folder / "gate"
    site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    site.double.wait(lambda: "a-1-1" in site.double.claims)
    assert client.keys("unacked*") == []
    gate.touch()
    site.ended("a-1-1")


def failing_worker(site: Site, failure: str, where: str) -> Child:
    program = FAILING.format(folder=str(site.folder), failure=failure, where=where)
    child = site.processes.start(
        [sys.executable, "-c", program],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")},
            "HEADWAY_BROKER_URL": site.url,
            "HEADWAY_API_URL": site.double.url,
            "HEADWAY_TOKEN": TOKEN,
            "HEADWAY_STATE_DIR": str(site.folder / "state"),
            "HEADWAY_DRAIN_TIMEOUT": "0.2",
        },
        cwd=site.folder,
    )
    child.wait_for(lambda: site.double.boots, what="registration")
    return child


@pytest.mark.parametrize(
    ("where", "notice"), [(CELERY, "consumer_broke"), (LISTENER, "listener_broke")]
)
def test_a_defect_costs_no_step(site: Site, events: Events, where: str, notice: str) -> None:
    worker = failing_worker(site, "RuntimeError('a defect')", where)
    gate = site.folder / "gate"
    site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    site.double.wait(lambda: "a-1-1" in site.double.claims)
    (site.folder / "fail").touch()
    worker.wait_for(lambda: logged(worker, notice), what="its notice")
    gate.touch()
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    site.run("b-1-1", "true")
    assert site.ended("b-1-1").outcome is Outcome.SUCCEEDED
    os.kill(worker.pid, signal.SIGTERM)
    assert ended_with(worker) == 0


def test_a_consumer_that_gives_up_ends_the_steps_and_the_worker_with_1(
    site: Site, events: Events, mark: str
) -> None:
    worker = failing_worker(site, "SystemExit(0)", CELERY)
    site.run("a-1-1", f"sleep {mark}")
    wait_until(lambda: sleepers(mark) == 1)
    (site.folder / "fail").touch()
    assert ended_with(worker) == 1
    assert len(logged(worker, "consumer_gave_up")) == 1
    assert sleepers(mark) == 0
    ended = site.double.completions["a-1-1"]
    assert (ended.outcome, ended.reason) == (Outcome.LOST, "preempted")
