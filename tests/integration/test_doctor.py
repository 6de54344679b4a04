"""`headway doctor` on real servers and processes: what it finds wrong is what was made wrong."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
import redis

from headway.clock import SystemClock
from headway_coordinator.embedded import HEADWAY
from headway_coordinator.examination import examine_broker, examine_database
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until

LONELY = """\
headway: 1
pipeline: lonely
team: demo
owner: a@example.com
steps:
  alone: {run: echo nobody is here, class: gpu}
"""


@pytest.fixture
def broker(redis_database: str) -> Broker:
    """Redis alone: these checks are of its settings."""
    return Broker(redis_database)


class Doctor:
    """Runs the command on the cluster; `document` is what it printed last."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __call__(self, **env: str) -> tuple[int, dict[tuple[str, str | None], dict[str, Any]]]:
        """Return the exit status, and the findings by check and subject."""
        plain = {k: v for k, v in self._cluster.environment().items() if "HEADWAY_" not in k}
        said = {"HEADWAY_API_URL": self._cluster.api_url, "HEADWAY_TOKEN": self._cluster.token}
        child = self._cluster.processes.start(
            [*HEADWAY, "doctor", "--json"], name="doctor", env={**plain, **said, **env}
        )
        status = child.wait()
        self.document = json.loads(child.output().partition("\n")[0])
        rows = self.document["findings"]
        return status, {(row["check"], row["subject"]): row for row in rows}


@pytest.fixture
def doctor(cluster: Cluster) -> Doctor:
    return Doctor(cluster)


def test_a_whole_cluster_and_what_the_test_servers_lack(cluster: Cluster, doctor: Doctor) -> None:
    cluster.start()
    wait_until(cluster.leader, what="a leader")
    cluster.apply(LONELY.replace("gpu", "default"))
    status, found = doctor(HEADWAY_STATE_DIR=str(cluster.folder))
    told = {check: row["status"] for (check, _), row in found.items()}
    # The tests' PostgreSQL does without the disk: exactly this is wrong, and nothing else.
    assert [check for check, state in told.items() if state == "wrong"] == ["database.durability"]
    assert "fsync = off" in found["database.durability", None]["message"]
    assert status == 1
    assert doctor.document["verdict"] == "wrong"
    assert {
        "api.reachable", "api.version", "clock.here", "clock.database", "leader", "state_dir",
        "database.reachable", "database.schema", "database.version", "database.connections",
        "broker.reachable", "broker.version", "broker.eviction", "broker.memory",
        "queues.served", "workers.hearing", "workers.wanted",
    } <= {check for check, state in told.items() if state == "fine"}  # fmt: skip
    assert told["broker.persistence"] == "note"
    assert told["secret_key"] == "unknown"
    assert "engine leads (epoch 1, started" in found["leader", None]["message"]


def test_nobody_leads_and_nobody_serves_the_queue(cluster: Cluster, doctor: Doctor) -> None:
    cluster.start()
    cluster.apply(LONELY)
    run = cluster.run("lonely")
    cluster.wait_step(run, "alone", "ready")
    cluster.children["engine"].stop()
    _, found = doctor()
    assert found["leader", None]["status"] == "wrong"
    served = found["queues.served", "demo.gpu"]
    assert served["status"] == "wrong"
    assert served["mend"] == "headway worker --team demo --class gpu"
    [worker] = cluster.storage.workers.all()
    wanted = found["workers.wanted", worker.worker]
    assert wanted["status"] == "note"
    assert "its team's pipelines use: gpu" in wanted["mend"]


def test_no_coordinator_answers_but_this_machine_sees_the_servers(
    cluster: Cluster, doctor: Doctor
) -> None:
    elsewhere = f"http://127.0.0.1:{free_port()}"
    status, found = doctor(
        HEADWAY_API_URL=elsewhere,
        HEADWAY_DATABASE_URL=cluster.database_url,
        HEADWAY_BROKER_URL=cluster.broker_url,
    )
    assert status == 3
    assert doctor.document["verdict"] == "unreachable"
    assert found["api.reachable", None]["status"] == "wrong"
    assert found["database.schema", None]["status"] == "fine"
    assert found["broker.reachable", None]["status"] == "fine"
    assert ("leader", None) not in found


def test_two_keys_are_told_apart(cluster: Cluster, doctor: Doctor) -> None:
    cluster.start_api()
    other = f"127.0.0.1:{free_port()}"
    second = cluster.processes.start(
        [*HEADWAY, "coordinator", "--only", "api"],
        name="second-api",
        env=cluster.environment(HEADWAY_LISTEN=other, HEADWAY_SECRET_KEY="another key entirely"),
    )
    urls = f"{cluster.api_url},http://{other}"

    def both_answer() -> bool:
        doctor(HEADWAY_API_URL=urls)
        rows = [each for each in doctor.document["findings"] if each["check"] == "api.reachable"]
        return second.running and [each["status"] for each in rows] == ["fine", "fine"]

    wait_until(both_answer, what="an answer of both")
    _, found = doctor(HEADWAY_API_URL=urls)
    assert found["secret_key", None]["status"] == "wrong"
    assert "HEADWAY_SECRET_KEY" in found["secret_key", None]["mend"]


def test_a_teams_token_sees_its_own_and_no_servers(cluster: Cluster, doctor: Doctor) -> None:
    cluster.start()
    cluster.client.add_team("other")
    token = cluster.client.create_token(subject="t", role="viewer", team="other")["token"]
    _, found = doctor(HEADWAY_TOKEN=token)
    assert found["servers", None]["status"] == "unknown"
    assert found["workers.wanted", None]["status"] == "fine"
    text = json.dumps(doctor.document)
    assert "demo" not in text
    assert "PostgreSQL" not in text


def test_the_text_says_the_mend(cluster: Cluster) -> None:
    cluster.start_api()
    child = cluster.processes.start(
        [*HEADWAY, "doctor"], env=cluster.environment(HEADWAY_TOKEN=cluster.token)
    )
    assert child.wait() == 1
    text = child.output()
    assert f"As seen from {cluster.api_url}:" in text
    assert "✕ leader" in text
    assert "→ start `headway coordinator`" in text
    assert "Something is wrong: " in text


def test_a_broker_that_evicts(redis_database: str) -> None:
    with redis.Redis.from_url(redis_database) as client:
        before = client.config_get("maxmemory-policy")["maxmemory-policy"]
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = {each.check: each for each in examine_broker(redis_database)}
        finally:
            client.config_set("maxmemory-policy", before)
    assert found["broker.eviction"].status == "wrong"
    assert "allkeys-lru" in found["broker.eviction"].message


def test_a_broker_that_tells_its_clients_little(redis_database: str) -> None:
    """A user with the commands of a worker alone: what it cannot ask is unknown, never fine."""
    with redis.Redis.from_url(redis_database) as client:
        client.acl_setuser(
            "narrow",
            enabled=True,
            passwords=["+hush"],
            keys=["*"],
            channels=["*"],
            commands=["+ping", "+hello", "+auth", "+select", "+client"],
        )
        try:
            url = redis_database.replace("redis://", "redis://narrow:hush@")
            found = {each.check: each.status for each in examine_broker(url)}
        finally:
            client.acl_deluser("narrow")
    assert found["broker.reachable"] == "fine"
    unseen = {"broker.version", "broker.eviction", "broker.persistence", "broker.memory"}
    assert {check for check, status in found.items() if status == "unknown"} == unseen


def test_a_broker_that_refuses_or_is_away() -> None:
    [found] = examine_broker(f"redis://127.0.0.1:{free_port()}/0")
    assert (found.check, found.status) == ("broker.reachable", "wrong")


def test_a_database_without_tables_and_one_that_is_away(postgres_database: str) -> None:
    found = {each.check: each for each in examine_database(postgres_database, SystemClock())}
    assert found["database.schema"].mend == "headway db upgrade"
    away = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
    [found_away] = examine_database(away, SystemClock())
    assert (found_away.check, found_away.status) == ("database.reachable", "wrong")


def test_a_database_that_forgets_its_commits(postgres_database: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(postgres_database)["dbname"]
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    found = {each.check: each for each in examine_database(postgres_database, SystemClock())}
    assert "synchronous_commit = off" in found["database.durability"].message
