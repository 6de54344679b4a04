"""Lines: statements sent without waiting, on PostgreSQL in one round trip; what breaks one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Interval,
    Text,
    bindparam,
    cast,
    create_engine,
    func,
    literal,
    select,
    text,
    update,
)

from headway.clock import SystemClock
from headway.errors import DefectError
from headway_coordinator.application.ports import (
    LeaseLost,
    PreconditionFailed,
    Storage,
    StorageUnavailable,
)
from headway_coordinator.engine.model import StepMoved
from headway_coordinator.storage import pipelining
from headway_coordinator.storage.columns import Document, Moment
from headway_coordinator.storage.connecting import connect
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.lines import Check, Prepared, expecting
from headway_coordinator.storage.schema import team
from tests.contract.world import MINUTE, NOW, World, settle, state

NAME = bindparam("name_is", type_=Text())


def open_database(url: str) -> Database:
    name = "contract lines"
    return connect(
        url, application_name=name, clock=SystemClock(), pool_size=3, lock_timeout=MINUTE
    )


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(open_database(url)) as found:
        yield found


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    with closing(open_database(postgres_url)) as found:
        yield found


def add_team(database: Database, name: str) -> None:
    given = team.insert().values(name=NAME, created_at=database.transaction_now, created_by="ann")
    with database.writing() as line:
        line.send(database.prepared(given), {"name_is": name})


def send_all(database: Database, *sent: tuple[Prepared, str, Check | None]) -> None:
    with database.writing() as line:
        for statement, name, check in sent:
            line.send(statement, {"name_is": name}, check)


def teams(database: Database) -> list[str]:
    with database.writing() as line:
        return [n for (n,) in line.ask(database.prepared(select(team.c.name)), {}).rows]


def rename(database: Database) -> Prepared:
    return database.prepared(update(team).where(team.c.name == NAME).values(created_by="bob"))


def test_answers_are_checked_in_the_order_sent_and_nothing_is_written_if_one_is_wrong(
    database: Database,
) -> None:
    add_team(database, "a")
    statement = rename(database)
    with pytest.raises(PreconditionFailed, match="0 of 2 first"):
        send_all(
            database,
            (statement, "a", expecting(1, "right")),
            (statement, "b", expecting(2, "first")),
            (statement, "b", expecting(3, "second")),
        )
    by = database.prepared(select(team.c.created_by))
    with database.writing() as line:
        assert line.ask(by, {}).rows == [("ann",)]


def test_a_refused_row_undoes_the_transaction_and_the_line_goes_on(database: Database) -> None:
    add_team(database, "a")
    with pytest.raises(PreconditionFailed):
        add_team(database, "a")
    with pytest.raises(PreconditionFailed), database.writing():
        raise PreconditionFailed("of the caller's own")
    add_team(database, "b")
    assert sorted(teams(database)) == ["a", "b"]


def test_a_failed_preparation_is_made_again(database: Database) -> None:
    """What follows an error is skipped, also the preparation of another statement."""
    twice = team.insert().values(name=NAME, created_at=database.transaction_now, created_by="ann")
    insert, other = database.prepared(twice), rename(database)
    for _ in range(2):
        with pytest.raises(PreconditionFailed):
            send_all(database, (insert, "a", None), (insert, "a", None), (other, "a", None))
    send_all(database, (insert, "a", None), (other, "a", expecting(1, "teams")))
    assert teams(database) == ["a"]


def test_a_wrong_statement_is_a_defect(database: Database) -> None:
    wrong = database.prepared(select(func.no_such_function()))
    with pytest.raises((DefectError, StorageUnavailable)), database.writing() as line:
        line.ask(wrong, {})
    assert teams(database) == []


def test_a_lost_lease_is_told_before_anything_else(world: World) -> None:
    world.create(state("r1"))
    ready = world.step("r1", "extract")
    world.storage.leases.release(world.lease)
    world.storage.leases.acquire("advance/0", holder="other", boot="b9", term=MINUTE)

    def advance() -> None:
        with world.storage.advancing(world.lease) as tx:
            tx.move_steps([("nope", StepMoved(ready, ready))])
            tx.create_runs([state("r1")])

    with pytest.raises(LeaseLost):
        advance()


def test_values_come_back_as_they_were_given(postgres: Database) -> None:
    given: dict[str, tuple[Any, Any]] = {
        "text": (Text(), "ü\n\"'\\ \U0001f600"),
        "empty": (Text(), ""),
        "none": (Text(), None),
        "number": (BigInteger(), -(2**63)),
        "yes": (Boolean(), True),
        "no": (Boolean(), False),
        "moment": (Moment(), NOW),
        "second": (Moment(), datetime(2026, 1, 1, tzinfo=UTC)),
        "document": (Document(), '{"a": [1, null]}'),
    }
    columns = [cast(bindparam(n, type_=_sent(k)), k).label(n) for n, (k, _) in given.items()]
    with postgres.writing() as line:
        params = {n: v for n, (_, v) in given.items()}
        [row] = line.ask(postgres.prepared(select(*columns)), params).rows
    wanted = {n: v for n, (_, v) in given.items()} | {"document": {"a": [1, None]}}
    assert dict(zip(given, row, strict=True)) == wanted


def _sent(kind: Any) -> Any:
    return Text() if isinstance(kind, Document) else kind


@pytest.mark.parametrize("length", [timedelta(microseconds=-1), timedelta(days=400, seconds=1.5)])
def test_a_span_is_exact(postgres: Database, length: timedelta) -> None:
    later = literal(NOW, Moment()) + bindparam("span", type_=Interval())
    statement = postgres.prepared(select(cast(later, Moment())))
    with postgres.writing() as line:
        assert line.ask(statement, {"span": length}).rows == [(NOW + length,)]


def test_what_cannot_be_sent_is_refused_whole(postgres: Database) -> None:
    with pytest.raises(PreconditionFailed):
        add_team(postgres, "a\0b")
    with pytest.raises(TypeError):
        add_team(postgres, object())  # type: ignore[arg-type]
    assert teams(postgres) == []


def test_more_than_the_buffers_hold_is_sent(postgres: Database) -> None:
    length = postgres.prepared(
        select(func.length(bindparam("long", type_=Text()), type_=BigInteger()))
    )
    lengths: list[int] = []
    with postgres.writing() as line:
        for _ in range(20):
            given = {"long": "x" * 2_000_000}
            line.send(length, given, lambda answer: lengths.append(answer.rows[0][0]))
    assert lengths == [2_000_000] * 20


def test_other_threads_run_while_an_answer_is_awaited(
    postgres: Database, postgres_url: str
) -> None:
    """libpq holds the interpreter's lock while it waits: the lease could not be renewed."""
    add_team(postgres, "a")
    engine = create_engine(postgres_url)

    def write() -> None:
        with postgres.writing() as line:
            line.send(rename(postgres), {"name_is": "a"}, expecting(1, "teams"))

    with ThreadPoolExecutor(1) as pool, engine.connect() as holder:
        holder.execute(text("SELECT 1 FROM team FOR UPDATE"))
        waiting = pool.submit(write)
        until_it_waits(engine)
        assert not waiting.done()
        holder.rollback()
        waiting.result(10)
    engine.dispose()


def until_it_waits(engine: Any) -> None:
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with engine.connect() as connection:
        while connection.execute(waiting).first() is None:
            connection.rollback()


def test_a_connection_that_is_cut_is_unavailable_once(
    postgres: Database, postgres_url: str
) -> None:
    add_team(postgres, "a")
    engine = create_engine(postgres_url)
    cut = text(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'contract lines'"
    )

    def cut_now() -> None:
        with engine.connect() as connection:
            assert connection.execute(cut).scalars().all() == [True]

    def cut_before_commit() -> None:
        with postgres.writing() as line:
            line.send(rename(postgres), {"name_is": "a"})
            line.settle()
            cut_now()

    cut_now()
    with pytest.raises(StorageUnavailable):
        add_team(postgres, "b")
    with pytest.raises(StorageUnavailable):
        cut_before_commit()
    assert teams(postgres) == ["a"]
    engine.dispose()


def test_a_caller_that_is_interrupted_leaves_nothing_open(
    postgres_world: World, postgres_url: str, opened: Callable[[str], Storage]
) -> None:
    """The lease row is free at once, also when the block ends by what is no error."""
    with suppress(KeyboardInterrupt), postgres_world.storage.advancing(postgres_world.lease) as tx:
        settle(tx)  # the lease row is held
        raise KeyboardInterrupt
    rival = opened(postgres_url)
    postgres_world.storage.leases.release(postgres_world.lease)
    assert rival.leases.acquire("advance/0", holder="rival", boot="b9", term=MINUTE)


def test_there_are_only_so_many_lines(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelining, "_WAIT_S", 0.01)
    with (
        postgres.writing(),
        postgres.prompt_line(),
        postgres.reading_line(),
        pytest.raises(StorageUnavailable, match="no free"),
    ):
        add_team(postgres, "a")
    add_team(postgres, "a")
    assert teams(postgres) == ["a"]


def test_each_settled_statement_of_a_prompt_line_is_committed(database: Database) -> None:
    add_team(database, "a")
    by = database.prepared(select(team.c.created_by))

    def write_and_fail() -> None:
        with database.prompt_line() as line:
            line.ask(rename(database), {"name_is": "a"})
            raise PreconditionFailed("of the caller's own")

    with pytest.raises(PreconditionFailed):
        write_and_fail()
    with database.reading_line() as line:
        [row] = line.ask(by, {}).rows
    # SQLite makes one transaction of them: it costs it less.
    assert row.created_by == ("bob" if database.dialect == "postgresql" else "ann")


def test_many_threads_have_a_line_each(postgres: Database) -> None:
    together = threading.Barrier(3)

    def add(name: str) -> None:
        given = team.insert().values(
            name=NAME, created_at=postgres.transaction_now, created_by="ann"
        )
        with postgres.writing() as line:
            line.send(postgres.prepared(given), {"name_is": name})
            line.settle()
            together.wait(10)

    with ThreadPoolExecutor(3) as pool:
        for _ in range(2):
            list(pool.map(add, ("a", "b", "c")))
            assert sorted(teams(postgres)) == ["a", "b", "c"]
            with postgres.writing() as line:
                line.send(postgres.prepared(team.delete()), {}, expecting(3, "teams"))
