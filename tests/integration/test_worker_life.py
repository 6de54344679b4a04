"""A real worker process begins, drains, is killed, and ends; on both brokers."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request

import psutil
import pytest
import redis
from celery import Celery

from headway.broker_options import celery_settings
from headway.protocol.messages import Outcome
from tests.integration.worker_site import QUEUE, Events, Site, ended_with, sleepers, terminate
from tests.servers.processes import Child
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until
from tests.unit.worker.double import TOKEN


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
