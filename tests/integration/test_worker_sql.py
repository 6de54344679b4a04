"""SQL steps in a real worker's interpreter, on a real PostgreSQL and on SQLite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from headway.protocol.messages import Completion
from tests.integration.test_worker_attempts import Bench, bench  # noqa: F401 - a fixture
from tests.servers.waiting import wait_until


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with a table of three sales; its address as a user writes it."""
    if request.param == "sqlite":
        written = f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        written = request.getfixturevalue("postgres_database")
    engine = sqlalchemy.create_engine(written.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text("CREATE TABLE sales (region text, amount numeric(8, 2), day date)")
        )
        insert = sqlalchemy.text("INSERT INTO sales VALUES (:region, :amount, '2026-01-31')")
        rows = [("eu", 1.5), ("eu", 2.25), ("us'; DROP TABLE sales; --", 4)]
        connection.execute(insert, [{"region": r, "amount": a} for r, a in rows])
    engine.dispose()
    return str(written)


def run(bench: Bench, url: str, query: str, **more: Any) -> Completion:  # noqa: F811
    """Return how a step with this statement ended; each call is another attempt."""
    body = {"outputs": more.pop("outputs", {}), "artifacts": [more["to"]] if "to" in more else []}
    timeout, attempt = more.pop("timeout_ms", None), f"a-{len(bench.double.completions)}-1"
    sql = {"url": url, "query": query, **more}
    bench.double.add(attempt, "sql", do=sql, body=body, timeout_ms=timeout)
    bench.handle(attempt)
    bench.double.wait(lambda: attempt in bench.double.completions)
    return bench.double.completions[attempt]


def test_rows_are_counted_and_given_if_they_are_declared(bench: Bench, url: str) -> None:  # noqa: F811
    query = "SELECT region, day, NULL AS gone FROM sales WHERE region = :region ORDER BY amount"
    ended = run(bench, url, query, params={"region": "eu"}, outputs={"rows": "list"})
    assert ended.error is None
    row = {"region": "eu", "day": "2026-01-31", "gone": None}
    assert ended.outputs == {"count": 2, "rows": [row, row]}
    assert run(bench, url, "SELECT 1 AS one").outputs == {"count": 1}


def test_a_value_is_bound_whatever_it_says(bench: Bench, url: str) -> None:  # noqa: F811
    worst = "us'; DROP TABLE sales; --"
    query = "DELETE FROM sales WHERE region = :region"
    assert run(bench, url, query, params={"region": worst}).outputs == {"count": 1}
    assert run(bench, url, "SELECT * FROM sales").outputs == {"count": 2}


@pytest.mark.parametrize("to", ["rows.csv", "rows.jsonl"])
def test_rows_go_to_a_file_that_is_kept(bench: Bench, url: str, to: str) -> None:  # noqa: F811
    query = "SELECT region, CAST(amount AS text) AS amount FROM sales WHERE region = 'eu'"
    ended = run(bench, url, query, to=to)
    assert ended.outputs == {"count": 2}
    [artifact] = ended.artifacts
    assert artifact.path == to
    text = bench.double.stored[artifact.sha256].decode()
    if to.endswith(".csv"):
        assert text.splitlines()[0] == "region,amount"
        assert len(text.splitlines()) == 3
    else:
        assert [json.loads(line)["region"] for line in text.splitlines()] == ["eu", "eu"]


def test_a_statement_that_fails_says_why_and_changes_nothing(bench: Bench, url: str) -> None:  # noqa: F811
    ended = run(bench, url, "INSERT INTO nothing VALUES (1)")
    assert ended.error is not None
    assert "nothing" in ended.error.message
    assert "Traceback" not in ended.error.message


def test_too_many_rows_for_an_output_are_refused(bench: Bench, url: str) -> None:  # noqa: F811
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) "
        "SELECT i FROM n"
    )
    ended = run(bench, url, numbers, outputs={"rows": "list"})
    assert ended.error is not None
    assert "to: rows.jsonl" in ended.error.message
    assert run(bench, url, numbers).outputs == {"count": 10_001}


def test_no_part_of_the_address_is_told(bench: Bench) -> None:  # noqa: F811
    for address in ("postgresql://app:hunter22@127.0.0.1:9/shop", "nonsense://app:hunter22@h/x"):
        ended = run(bench, address, "SELECT 1")
        assert ended.error is not None
        assert "hunter22" not in f"{ended.error}{b''.join(bench.double.logs.values())!r}"


def test_a_statement_ends_with_its_steps_timeout(bench: Bench, postgres_database: str) -> None:  # noqa: F811
    ended = run(bench, postgres_database, "SELECT pg_sleep(600)", timeout_ms=1500)
    assert ended.outcome == "timed_out"
    engine = sqlalchemy.create_engine(
        postgres_database.replace("postgresql://", "postgresql+psycopg://")
    )
    query = sqlalchemy.text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(6%'")

    def gone() -> bool:
        with engine.begin() as connection:
            return connection.execute(query).scalar() == 1  # this very query

    wait_until(gone, within=60, what="the end of the statement in the database")
    engine.dispose()
