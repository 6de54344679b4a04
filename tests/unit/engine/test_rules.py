"""`rule` against the truth table of Airflow 3.3.2's own trigger rules."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from headway.plan.model import When
from headway_coordinator.engine.model import Tally
from headway_coordinator.engine.rules import rule

TABLE = Path(__file__).parents[2] / "material" / "airflow-trigger-rules.jsonl"
RENAMED = {
    "all_success": "all_succeeded",
    "one_success": "any_succeeded",
    "one_failed": "any_failed",
    "one_done": "any_done",
}
NAMED = [rule for rule in When if rule is not When.SOME_SUCCEEDED]
ABSENT = "all_done_setup_success"  # Headway has no set-up and tear-down tasks


def rows() -> list[tuple[When, tuple[str, ...], str]]:
    lines = [json.loads(line) for line in TABLE.read_text().splitlines()]
    return [
        (When(RENAMED.get(row["rule"], row["rule"])), tuple(row["upstream"]), row["outcome"])
        for row in lines
        if row["rule"] != ABSENT
    ]


def test_the_table_is_whole() -> None:
    counted = Counter(when for when, _, _ in rows())
    assert counted == dict.fromkeys(NAMED, 56)


@pytest.mark.parametrize("when", NAMED)
def test_a_rule_says_what_airflow_says(when: When) -> None:
    for row, upstream, outcome in rows():
        if row is when:
            ended = Counter(upstream)
            tally = Tally(
                ended["success"], ended["failed"], ended["upstream_failed"], ended["skipped"]
            )
            assert rule(when, tally, len(upstream)).value == outcome, (when, upstream)


@pytest.mark.parametrize("when", NAMED)
def test_a_run_ruling_stays_one_while_more_needs_end(when: When) -> None:
    # What has started must not be found unlawful when a slower need ends.
    table = {(tuple(sorted(up)), w): outcome for w, up, outcome in rows()}
    for (upstream, row), outcome in table.items():
        if row is when and outcome == "run" and "running" in upstream:
            left = list(upstream)
            left.remove("running")
            for end in ("success", "failed", "skipped", "upstream_failed"):
                assert table[tuple(sorted([*left, end])), when] == "run", (upstream, end)


@pytest.mark.parametrize(
    ("at_least", "tally", "outcome"),
    [
        (1, Tally(succeeded=1), "run"),
        (2, Tally(succeeded=1), "wait"),
        (2, Tally(succeeded=1, failed=1), "wait"),
        (2, Tally(succeeded=2), "run"),
        (2, Tally(succeeded=3), "run"),
        (2, Tally(succeeded=1, failed=2), "upstream_failed"),
        (2, Tally(succeeded=1, upstream_failed=1, skipped=1), "upstream_failed"),
        (2, Tally(succeeded=1, skipped=2), "skipped"),
        (3, Tally(skipped=3), "skipped"),
    ],
)
def test_so_many_of_three_have_to_succeed(at_least: int, tally: Tally, outcome: str) -> None:
    assert rule(When.SOME_SUCCEEDED, tally, 3, at_least).value == outcome


def test_one_that_has_to_succeed_is_any() -> None:
    for when, upstream, outcome in rows():
        if when is When.ANY_SUCCEEDED:
            ended = Counter(upstream)
            tally = Tally(
                ended["success"], ended["failed"], ended["upstream_failed"], ended["skipped"]
            )
            assert rule(When.SOME_SUCCEEDED, tally, len(upstream), 1).value == outcome
