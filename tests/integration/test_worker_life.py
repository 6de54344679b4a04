"""A real worker process on a real broker, against a stand-in of the coordinator's API."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from celery import Celery
from kombu import Connection, Consumer, Queue

from headway.broker_options import celery_settings, declaration, transport_options
from headway.protocol.messages import CompletionBatch, Outcome, parse
from headway.protocol.queues import EVENTS
from tests.integration.brokers import Broker
from tests.servers.processes import Child, Processes
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until
from tests.unit.worker.double import TOKEN, Double

QUEUE = "analytics.small"


class Events:
    """Takes completions from the event queue, as the leader would."""

    def __init__(self, url: str, double: Double) -> None:
        self._double = double
        self._connection = Connection(url, transport_options=transport_options(url))
        self._ending = False
        self.seen: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._ending = True
        self._thread.join()

    def _run(self) -> None:
        queue = Queue(**declaration(EVENTS))
        with self._connection, Consumer(self._connection, [queue], on_message=self._take):
            while not self._ending:
                try:
                    self._connection.drain_events(timeout=0.1)
                except OSError:
                    continue

    def _take(self, message: Any) -> None:
        batch = parse(CompletionBatch, message.body)
        self.seen += [self._double.take(sealed) for sealed in batch.completions]
        message.ack()


class Site:
    """A broker, the stand-in, and workers on them."""

    def __init__(self, processes: Processes, url: str, double: Double, folder: Path) -> None:
        self.processes = processes
        self.url = url
        self.double = double
        self.folder = folder
        self.code = folder / "code"
        self.code.mkdir()
        self._broker = Broker(url)
        self._sent = 0

    def worker(self, *options: str, slots: int = 2, **env: str) -> Child:
        """Return a worker that consumes."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
        environment = {
            **plain,
            "HEADWAY_BROKER_URL": self.url,
            "HEADWAY_API_URL": self.double.url,
            "HEADWAY_TOKEN": TOKEN,
            "HEADWAY_STATE_DIR": str(self.folder / "state"),
            "HEADWAY_HTTP_ALLOW": "127.0.0.1",
            **env,
        }
        before = len(self.double.boots)
        child = self.processes.start(
            [
                *(sys.executable, "-m", "headway_worker", "--class", "small"),
                *("--slots", str(slots), "--code", str(self.code), *options),
            ],
            env=environment,
            cwd=self.folder,
        )
        child.wait_for(lambda: len(self.double.boots) > before, what="registration")
        return child

    def dispatch(self, attempt: str, *, queue: str = QUEUE, dispatch_no: int = 1) -> None:
        message = {
            "v": 1, "team": "analytics", "run": "run1", "step": "s", "attempt": attempt,
            "fence": 1, "dispatch_no": dispatch_no, "queue": queue,
        }  # fmt: skip
        self._send([message], queue)

    def send(self, body: Any) -> None:
        self._send(body, QUEUE)

    def _send(self, args: Any, queue: str) -> None:
        self._sent += 1
        self._broker.send_task(args, queue, id=f"sent-{self._sent}")

    def run(self, attempt: str, script: str, **more: Any) -> None:
        """Make a shell step claimable and ring for it."""
        self.double.add(attempt, do=script, **more)
        self.dispatch(attempt)

    def ended(self, attempt: str) -> Any:
        """Return the completion, once there is one."""
        self.double.wait(lambda: attempt in self.double.completions)
        return self.double.completions[attempt]


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


@pytest.fixture
def events(broker: Broker, double: Double) -> Iterator[Events]:
    made = Events(broker.url, double)
    yield made
    made.close()


@pytest.fixture
def site(processes: Processes, broker: Broker, double: Double, tmp_path: Path) -> Iterator[Site]:
    made = Site(processes, broker.url, double, tmp_path)
    yield made
    processes.close()


@pytest.fixture
def mark() -> str:
    return str(10_000_000 + secrets.randbelow(10_000_000))


def sleepers(mark: str) -> int:
    commands = (p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"]))
    return sum(command == ["sleep", mark] for command in commands)


def terminate(child: Child) -> int:
    os.kill(child.pid, signal.SIGTERM)
    return ended_with(child)


def ended_with(child: Child) -> int:
    status = wait_until(lambda: (child.exit_status,) if not child.running else None)[0]
    assert status is not None
    return status


def test_steps_of_every_kind_end_and_report(site: Site, events: Events) -> None:
    site.worker()
    (site.code / "sales.py").write_text("def main(n): print('in python'); return {'n': n + 1}")
    script = 'echo "$HEADWAY_PIPELINE $HEADWAY_STEP $NAME"; echo rows=3 >> $HEADWAY_OUTPUT'
    site.run("a-1-1", script, body={"outputs": {"rows": "int"}, "env": {"NAME": "x y"}})
    body = {"with": {"n": 1}, "outputs": {"n": "int"}}
    site.double.add("a-2-1", "python", do="sales:main", body=body)
    site.dispatch("a-2-1")
    request = {"method": "GET", "url": f"{site.double.url}/x", "expect": [404]}
    site.double.add("a-3-1", "http", do=request)
    site.dispatch("a-3-1")

    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    assert site.ended("a-1-1").outputs == {"rows": 3}
    assert site.double.logs["a-1-1"] == b"daily s x y\n"
    assert site.ended("a-1-1").log_bytes == len(b"daily s x y\n")
    assert site.ended("a-2-1").outputs == {"n": 2}
    assert site.double.logs["a-2-1"] == b"in python\n"
    assert site.ended("a-3-1").outputs == {"status": 404}
    assert sorted(events.seen) == ["a-1-1", "a-2-1", "a-3-1"]


def test_a_failing_step_says_why(site: Site, events: Events) -> None:
    site.worker()
    site.run("a-1-1", "echo first; false | true; echo unreached")
    site.run("a-2-1", "echo the reason >&2; exit 3")
    assert site.ended("a-1-1").exit_code == 1
    assert site.double.logs["a-1-1"] == b"first\n"
    failed = site.ended("a-2-1")
    assert (failed.outcome, failed.exit_code) == (Outcome.FAILED, 3)
    assert failed.error.code == "exit_status"
    assert failed.error.message == "exited with status 3: the reason"


def test_files_go_in_and_come_out(site: Site, events: Events) -> None:
    site.worker()
    data = b"given" * 100_000
    sha256 = hashlib.sha256(data).hexdigest()
    site.double.stored[sha256] = data
    ref = {"path": "deep/in.csv", "sha256": sha256, "size": len(data)}
    script = "cd $HEADWAY_WORKDIR; mkdir out; cp $HEADWAY_INPUTS/raw/deep/in.csv out/a.csv"
    site.run("a-1-1", script, inputs={"raw": [ref]}, body={"artifacts": ["out/*.csv"]})
    ended = site.ended("a-1-1")
    assert [(a.path, a.sha256, a.size) for a in ended.artifacts] == [
        ("out/a.csv", sha256, len(data))
    ]
    wait_until(lambda: not list((site.folder / "state").glob("worker-0/scratch/*/*/*")))


def test_a_step_over_its_time_is_ended_whole(site: Site, events: Events, mark: str) -> None:
    site.worker()
    site.run("a-1-1", f"setsid sleep {mark} & sleep {mark}", timeout_ms=300)
    ended = site.ended("a-1-1")
    assert ended.outcome is Outcome.TIMED_OUT
    assert ended.error.code == "timed_out"
    assert sleepers(mark) == 0


def test_a_cancelled_step_is_ended_whole(site: Site, events: Events, mark: str) -> None:
    site.worker()
    site.run("a-1-1", f"(setsid sleep {mark} &); sleep {mark}")
    wait_until(lambda: sleepers(mark) == 2)
    site.double.cancel.add("a-1-1")
    assert site.ended("a-1-1").outcome is Outcome.CANCELLED
    assert sleepers(mark) == 0


def test_a_disowned_attempt_is_ended_and_not_reported(
    site: Site, events: Events, mark: str
) -> None:
    site.worker()
    site.run("a-1-1", f"sleep {mark}")
    wait_until(lambda: sleepers(mark) == 1)
    site.double.lost.add("a-1-1")
    wait_until(lambda: sleepers(mark) == 0)
    site.run("a-2-1", "true")
    site.ended("a-2-1")
    assert "a-1-1" not in site.double.completions


def test_a_doubled_message_runs_once(site: Site, events: Events) -> None:
    site.worker(slots=1)
    count = site.folder / "count"
    gate = site.folder / "gate"
    script = f"echo x >> {count}; while [ ! -e {gate} ]; do sleep 0.02; done"
    site.run("a-1-1", script)
    wait_until(count.exists)
    for number in range(2, 6):
        site.dispatch("a-1-1", dispatch_no=number)
    site.run("b-1-1", "true")
    gate.touch()
    site.ended("a-1-1")
    site.ended("b-1-1")
    site.dispatch("a-1-1", dispatch_no=9)
    site.run("c-1-1", "true")
    site.ended("c-1-1")
    assert count.read_text() == "x\n"


def test_odd_messages_do_not_stop_the_worker(site: Site, events: Events) -> None:
    worker = site.worker()
    bodies: list[list[Any]] = [[], [1], [{}], [{"v": 2}], ["x" * 5000]]
    for body in bodies:
        site.send(body)
    site.run("a-1-1", "true")
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    [line] = [line for line in worker.output().splitlines() if "message_refused" in line]
    assert json.loads(line)["kind"] == "malformed"
    assert "not a Dispatch" in json.loads(line)["reason"]


def test_steps_see_no_secret_of_the_worker(site: Site, events: Events) -> None:
    site.worker(AWS_SECRET="hush")
    site.run("a-1-1", "env; tr '\\0' '\\n' < /proc/$PPID/environ")
    site.ended("a-1-1")
    seen = site.double.logs["a-1-1"].decode()
    assert "HEADWAY_RUN=run1" in seen
    for secret in (TOKEN, "hush", "HEADWAY_BROKER_URL", "HEADWAY_API_URL"):
        assert secret not in seen


def test_without_the_broker_completions_go_by_http(site: Site) -> None:
    """Nobody takes the event queue here: what is published is as good as lost."""
    site.worker()
    site.run("a-1-1", "true")
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    assert site.double.received_by_http == ["a-1-1"]


def test_a_killed_worker_leaves_no_process_and_its_next_boot_says_so(
    site: Site, events: Events, mark: str
) -> None:
    worker = site.worker()
    site.run("a-1-1", f"trap '' TERM; (setsid sleep {mark} &) ; sleep {mark}")
    wait_until(lambda: sleepers(mark) == 2)
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: sleepers(mark) == 0, within=10)
    site.worker()
    site.double.wait(lambda: any(beat.reaped for beat in site.double.heartbeats))
    first, second = site.double.boots
    assert first.worker == second.worker
    assert first.boot != second.boot
    [reaped] = next(beat.reaped for beat in site.double.heartbeats if beat.reaped)
    assert (reaped.attempt, reaped.fence) == ("a-1-1", 1)


def test_a_spooled_completion_outlives_the_worker_and_every_server(site: Site) -> None:
    site.double.heartbeat_ms = 60_000
    worker = site.worker()
    gate = site.folder / "gate"
    site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    site.double.wait(lambda: "a-1-1" in site.double.claims)
    site.double.down = True
    gate.touch()
    spool = site.folder / "state" / "worker-0" / "spool"
    wait_until(lambda: any(path.stat().st_size for path in spool.glob("*.log")))
    os.kill(worker.pid, signal.SIGKILL)
    ended_with(worker)
    site.double.down = False
    site.worker()
    completion = site.ended("a-1-1")
    assert completion.outcome is Outcome.SUCCEEDED
    assert completion.boot == site.double.boots[0].boot, "sealed once, by the boot that ran it"


def test_a_worker_without_the_coordinator_ends_its_steps_before_the_lease_does(
    site: Site, events: Events, mark: str
) -> None:
    site.double.lease_ms = 5_000
    site.worker()
    site.run("a-1-1", f"trap '' TERM; sleep {mark}; sleep {mark}")
    wait_until(lambda: sleepers(mark) == 1)
    site.double.down = True
    wait_until(lambda: sleepers(mark) == 0, what="the end of the step")
    site.double.down = False
    ended = site.ended("a-1-1")
    assert (ended.outcome, ended.reason) == (Outcome.LOST, "lease_expired")


def test_a_drain_lets_steps_finish(site: Site, events: Events) -> None:
    worker = site.worker()
    gate = site.folder / "gate"
    site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    site.double.wait(lambda: "a-1-1" in site.double.claims)
    os.kill(worker.pid, signal.SIGTERM)
    site.double.wait(lambda: site.double.heartbeats[-1].draining)
    gate.touch()
    assert ended_with(worker) == 0
    assert site.double.completions["a-1-1"].outcome is Outcome.SUCCEEDED


def test_a_drain_past_its_time_preempts(site: Site, events: Events, mark: str) -> None:
    worker = site.worker("--drain-timeout", "0.2")
    site.run("a-1-1", f"sleep {mark}")
    wait_until(lambda: sleepers(mark) == 1)
    assert terminate(worker) == 0
    ended = site.double.completions["a-1-1"]
    assert (ended.outcome, ended.reason) == (Outcome.LOST, "preempted")
    assert sleepers(mark) == 0


def test_a_draining_worker_takes_no_more(site: Site, events: Events) -> None:
    worker = site.worker()
    gate = site.folder / "gate"
    site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    site.double.wait(lambda: "a-1-1" in site.double.claims)
    os.kill(worker.pid, signal.SIGTERM)
    site.double.wait(lambda: site.double.heartbeats[-1].draining)
    wait_until(lambda: "draining" in worker.output())
    site.run("b-1-1", "true")
    gate.touch()
    assert ended_with(worker) == 0
    assert "b-1-1" not in site.double.claims
    site.worker()
    site.ended("b-1-1")


def test_a_superseded_worker_ends_its_steps_and_itself(
    site: Site, events: Events, mark: str
) -> None:
    worker = site.worker()
    site.run("a-1-1", f"sleep {mark}")
    wait_until(lambda: sleepers(mark) == 1)
    site.double.superseded = True
    assert ended_with(worker) == 75
    assert sleepers(mark) == 0
    assert "a-1-1" not in site.double.completions


def test_a_worker_waits_for_its_coordinator_and_can_be_told_to_stop(site: Site) -> None:
    site.double.down = True
    worker = site.processes.start(
        [sys.executable, "-m", "headway_worker"],
        env={
            **os.environ,
            "HEADWAY_BROKER_URL": site.url,
            "HEADWAY_API_URL": f"http://127.0.0.1:9,{site.double.url}",
            "HEADWAY_TOKEN": TOKEN,
            "HEADWAY_STATE_DIR": str(site.folder / "state"),
        },
    )
    worker.wait_for(lambda: "register_failed" in worker.output())
    assert terminate(worker) == 0


def test_a_wrong_token_or_team_ends_the_worker_at_once(site: Site) -> None:
    def start(*options: str, token: str) -> Child:
        return site.processes.start(
            [sys.executable, "-m", "headway_worker", *options],
            env={
                **os.environ,
                "HEADWAY_BROKER_URL": site.url,
                "HEADWAY_API_URL": site.double.url,
                "HEADWAY_TOKEN": token,
                "HEADWAY_STATE_DIR": str(site.folder / "state"),
            },
        )

    refused = start(token="hw_wrong")
    assert ended_with(refused) == 4
    assert "401" in refused.output()
    foreign = start("--team", "risk", token=TOKEN)
    assert ended_with(foreign) == 4
    assert "the token is of team analytics, not risk" in foreign.output()


def test_long_output_arrives_in_order_and_without_gaps(site: Site, events: Events) -> None:
    site.worker()
    site.run("a-1-1", "seq 1 200000")
    site.run("a-2-1", "seq 1 1000; sleep 0.7; seq 1001 2000")
    site.ended("a-1-1")
    site.ended("a-2-1")
    numbers = "".join(f"{n}\n" for n in range(1, 200_001)).encode()
    assert site.double.logs["a-1-1"] == numbers
    assert site.double.logs["a-2-1"] == "".join(f"{n}\n" for n in range(1, 2001)).encode()
    assert site.double.gaps == []


def _cut(client: redis.Redis, address: str) -> bool:
    """Close the connection; False if its owner was quicker, as with a client that it replaces."""
    try:
        client.client_kill(address)
    except redis.ResponseError:
        return False
    return True


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_a_cut_broker_connection_costs_no_step_and_doubles_none(site: Site, events: Events) -> None:
    worker = site.worker(slots=1)
    count, gate = site.folder / "count", site.folder / "gate"
    site.run("a-1-1", f"echo x >> {count}; while [ ! -e {gate} ]; do sleep 0.02; done")
    wait_until(count.exists)
    with redis.Redis.from_url(site.url) as client:
        mine = {str(p.laddr.port) for p in psutil.Process(worker.pid).net_connections("tcp")}
        theirs = [c["addr"] for c in client.client_list() if c["addr"].rpartition(":")[2] in mine]
        cut = [address for address in theirs if _cut(client, address)]
    assert cut, "the worker had a connection"
    wait_until(lambda: "onnection" in worker.output(), what="its notice")
    gate.touch()
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    site.run("b-1-1", "true")
    assert site.ended("b-1-1").outcome is Outcome.SUCCEEDED
    assert count.read_text() == "x\n"


def test_its_figures_can_be_scraped(site: Site) -> None:
    port = free_port()
    site.worker(HEADWAY_METRICS_LISTEN=f"127.0.0.1:{port}")

    def scraped() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    text = wait_until(scraped)
    assert "# TYPE headway_worker_slots gauge\nheadway_worker_slots 2\n" in text
    assert "headway_worker_spool_completions 0\n" in text


def test_celery_s_remote_control_can_only_look(site: Site, events: Events) -> None:
    site.worker()
    app = Celery(set_as_current=False)
    app.conf.update(celery_settings(site.url))
    inspect = app.control.inspect(timeout=1, limit=1)
    [queues] = wait_until(inspect.active_queues).values()
    assert [queue["name"] for queue in queues][:1] == [QUEUE]
    assert [queue["name"] for queue in queues if "._probe." not in queue["name"]] == [QUEUE]
    assert TOKEN not in json.dumps(inspect.conf())
    app.control.broadcast("shutdown")
    app.control.broadcast("cancel_consumer", arguments={"queue": QUEUE})
    site.run("a-1-1", "true")
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    app.close()
