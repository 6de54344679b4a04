"""Clusters on Redis with TLS and the users of docs/security.md, and on one with Sentinels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis.exceptions import NoPermissionError

from headway.broker_options import celery_settings
from headway.errors import UnavailableError
from headway_coordinator.broker.inspecting import inspect_broker
from headway_coordinator.embedded import HEADWAY
from tests.integration.cluster import Cluster, steps_of
from tests.integration.test_flower import Flower
from tests.servers.processes import Processes
from tests.servers.redis_secure import PASSWORD, Authority, Guarded, Watched, guarded, watched
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.redis

_DOCS = Path(__file__).parents[2] / "docs" / "security.md"
_CHAIN = """\
headway: 1
team: demo
owner: demo@example.com
pipeline: chain
steps:
  s1: {{run: 'echo 1 >> {log}'}}
  s2: {{needs: [s1], run: 'echo 2 >> {log}; cat {fifo}'}}
  s3: {{needs: [s2], run: 'echo 3 >> {log}'}}
  s4: {{needs: [s3], run: 'echo 4 >> {log}'}}
"""


def documented_users() -> dict[str, Sequence[str]]:
    """Return the rules of each user that the documentation tells people to make."""
    lines = [line.split() for line in _DOCS.read_text().splitlines() if line.startswith("user ")]
    return {words[1]: words[4:] for words in lines if words[1] != "default"}


@pytest.fixture
def server(processes: Processes) -> Iterator[Guarded]:
    with guarded(processes, documented_users()) as started:
        yield started


@pytest.fixture(params=["plain", "tls"])
def watched_pair(processes: Processes, request: pytest.FixtureRequest) -> Iterator[Watched]:
    with watched(processes, tls=request.param == "tls") as started:
        yield started


@pytest.fixture
def secure(
    server: Guarded, processes: Processes, postgres_database: str, tmp_path: Path
) -> Iterator[Cluster]:
    """A cluster whose coordinator has a user of its own; so has a worker of the team demo."""
    with server.connect("root") as root:  # as a worker leaves it that did not come back
        root.zadd("_kombu.binding_deadlines", {"stale": 1})
        root.sadd("_kombu.binding.stale", "stale")
    made = Cluster(processes, postgres_database, server.url("headway"), tmp_path)
    made.start_api()
    made.start_engine()
    made.start_worker(HEADWAY_BROKER_URL=server.url("demo"))
    yield made
    made.close()
    processes.close()


def test_a_run_needs_no_more_than_the_documented_rights(
    secure: Cluster, server: Guarded, tmp_path: Path
) -> None:
    shown = _run_chain(secure, tmp_path, lambda: None)
    assert {step["state"] for step in steps_of(shown).values()} == {"succeeded"}
    secure.extra = {"HEADWAY_BROKER_URL": server.url("flower")}
    flower = Flower(secure)
    [shown_worker] = wait_until(flower.workers, what="an answer of the worker").values()
    assert "demo.default" in {queue["name"] for queue in shown_worker["active_queues"]}
    lengths = flower.browser.get("/api/queues/length").json()["active_queues"]
    assert {"name": "demo.default", "messages": 0} in lengths
    flower.close()
    assert secure.children["worker"].stop() == 0
    with server.connect("root") as root:
        assert not root.exists("_kombu.binding.stale"), "kombu tidies up"
        assert root.acl_log() == [], "somebody asked for more than it may"


def test_a_team_reaches_nothing_of_others(server: Guarded) -> None:
    with server.connect("demo") as demo, server.connect("root") as root:
        root.lpush("other.default", "a bell")
        root.lpush("headway.events", "a report")
        refused: list[Any] = [
            ("BRPOP", "other.default", 1),
            ("LPUSH", "other.default", "forged"),
            ("LLEN", "other.default"),
            ("BRPOP", "headway.events", 1),
            ("DEL", "other.default"),
            ("SET", "headway.canary", "gone"),
            ("PUBLISH", "/0.celery.pidbox", "{}"),
            ("PSUBSCRIBE", "*"),
            ("LRANGE", "headway.events", 0, -1),
            ("KEYS", "*"),
            ("FLUSHALL",),
            ("FLUSHDB",),
            ("CONFIG", "GET", "*"),
            ("ACL", "LIST"),
            ("EVAL", "return redis.call('KEYS', '*')", 0),
        ]
        for command in refused:
            with pytest.raises(NoPermissionError):
                demo.execute_command(*command)
        assert root.lrange("other.default", 0, -1) == [b"a bell"]
        assert root.llen("headway.events") == 1


def test_a_server_that_another_ca_signed_is_refused(
    server: Guarded, processes: Processes, tmp_path: Path
) -> None:
    other = Authority.made(tmp_path / "other")
    by_name = server.url("headway").replace("127.0.0.1", "localhost")
    wrong = [
        server.url("headway", query=f"?ssl_ca_certs={other.ca}"),
        server.url("headway", query=""),  # the system's own
        by_name,
    ]
    for url in wrong:
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            inspect_broker(url)
    assert inspect_broker(server.url("headway")).version
    assert inspect_broker(server.url("headway", query="?ssl_cert_reqs=none")).version
    with pytest.raises(UnavailableError, match=r"invalid username-password|WRONGPASS"):
        inspect_broker(server.url("nobody"))
    doctor = processes.start(
        [*HEADWAY, "doctor"],
        env={**_plain(), "HEADWAY_BROKER_URL": wrong[0], "HEADWAY_API_URL": "http://127.0.0.1:1"},
    )
    doctor.wait()
    assert "certificate verify failed" in doctor.output()


def test_a_worker_says_why_it_does_not_start(processes: Processes, tmp_path: Path) -> None:
    worker = processes.start(
        [*HEADWAY, "worker"],
        env={
            **_plain(),
            "HEADWAY_BROKER_URL": f"rediss://h/0?ssl_ca_certs={tmp_path}/none.pem",
            "HEADWAY_API_URL": "http://127.0.0.1:1",
            "HEADWAY_TOKEN": "hw_1",
        },
    )
    assert worker.wait() == 2
    said = f"HEADWAY_BROKER_URL: ssl_ca_certs: cannot read {tmp_path}/none.pem: No such file"
    assert said in worker.output()


def test_a_run_outlives_the_master_that_sentinels_watch(
    watched_pair: Watched, processes: Processes, postgres_database: str, tmp_path: Path
) -> None:
    cluster = Cluster(processes, postgres_database, watched_pair.url, tmp_path)
    cluster.start()

    def fail_over() -> None:
        watched_pair.kill_master()
        watched_pair.wait_promoted()

    shown = _run_chain(cluster, tmp_path, fail_over)
    assert {s: len(step["attempts"]) for s, step in steps_of(shown).items()} == dict.fromkeys(
        ["s1", "s2", "s3", "s4"], 1
    )
    assert not inspect_broker(watched_pair.url).is_replica  # type: ignore[union-attr]
    inspected = _inspected(watched_pair.url)
    assert "master_name" in inspected
    assert PASSWORD not in inspected
    watched_pair.push("demo.default", "{", "[]", "\xff")
    watched_pair.push("headway.events", "{", "[]")
    (tmp_path / "done").unlink()
    _run_chain(cluster, tmp_path, lambda: None)
    wait_until(lambda: "message_refused" in cluster.children["worker"].output(), what="a refusal")
    assert cluster.children["worker"].running
    cluster.close()
    processes.close()


def _inspected(broker: str) -> str:
    """Return all that the worker tells of itself and its broker to whoever asks."""
    with Celery(set_as_current=False) as app:
        app.conf.update(celery_settings(broker))
        inspect = app.control.inspect(timeout=2)
        stats = wait_until(inspect.stats, what="an answer of the worker")
        return f"{stats} {inspect.conf()}"


def _run_chain(cluster: Cluster, folder: Path, meanwhile: Any) -> dict[str, Any]:
    """Return the chain's run, during whose second step something happened."""
    log, fifo = folder / "done", folder / "fifo"
    if not fifo.exists():
        os.mkfifo(fifo)
    cluster.apply(_CHAIN.format(log=log, fifo=fifo))
    run = cluster.run("chain")
    cluster.wait_step(run, "s2", "running")
    wait_until(lambda: log.exists() and log.read_text() == "1\n2\n", what="the second step")
    meanwhile()
    fifo.write_text("go on\n")
    shown = cluster.wait(run)
    assert shown["state"] == "succeeded"
    assert log.read_text() == "1\n2\n3\n4\n", "each step once"
    return shown


def _plain() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
