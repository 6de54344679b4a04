"""Every crash point, hit by a real process on real servers: nothing is lost, doubled or stuck.

The cases come from the registry, so that a new point has its case at once. Ordinarily each point is
died at once, before or after, on one of the combinations of servers in turn; with LONG=1 in the
environment before and after, on all of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from headway.crash_points import POINTS, CrashAt, Process, When
from tests.fault.crash_points.stage import SHORT, Stage
from tests.fault.crash_points.stories import STORIES, plain
from tests.integration.cluster import Cluster
from tests.servers.processes import Processes

Combination = tuple[str, str]  # a database and a broker

DATABASES = {"postgresql": "postgres_database", "sqlite": "sqlite_file"}
BROKERS = {"redis": "redis_database", "rabbitmq": "rabbitmq_vhost"}
COMBINATIONS: Sequence[Combination] = (
    ("postgresql", "redis"),
    ("sqlite", "redis"),
    ("postgresql", "rabbitmq"),
)
PROCESSES: Sequence[Process] = ("engine", "api", "worker")
MOMENTS: Sequence[When] = ("before", "after")
# At which visits a process dies; ordinarily at the first of them. The runs make one attempt after
# another, so that each of these comes about however their news is gathered into batches.
VISITS = {
    "storage.advancing": (3, 1, 2, 5),
    "doorbell.publish": (1, 2),
    "workers.claim": (1, 3),
    "api.claims": (1, 3),
    "completions.publish": (1, 3),
    "steps.acknowledge": (1, 5),
    "spool.sync": (1, 3),
    "journal.end": (1, 5),
}
MOST = 14  # cases a cluster, so that none lives for much longer than a minute


@dataclass(frozen=True)
class Case:
    """Who dies where, and on which servers."""

    process: Process
    at: CrashAt
    combination: Combination


def test_each_story_belongs_to_a_point() -> None:
    assert set(STORIES) <= set(POINTS)


@pytest.fixture
def sqlite_file(tmp_path: Path) -> str:
    """The address of a SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path / 'headway.db'}"


def all_cases() -> Iterator[Case]:
    """Yield every point with every process, moment, visit and combination."""
    for process in PROCESSES:
        for combination in COMBINATIONS:
            for point in points_of(process):
                for when in MOMENTS:
                    for at in crashes(point, when):
                        yield Case(process, at, combination)


def some_cases() -> Iterator[Case]:
    """Yield every point of every process once, moments and combinations in turn."""
    for process in PROCESSES:
        for number, point in enumerate(points_of(process)):
            when = MOMENTS[number % len(MOMENTS)]
            combination = COMBINATIONS[number // len(MOMENTS) % len(COMBINATIONS)]
            yield Case(process, crashes(point, when)[0], combination)


def points_of(process: Process) -> list[str]:
    return [point for point, processes in POINTS.items() if process in processes]


def crashes(point: str, when: When) -> list[CrashAt]:
    return [CrashAt(point, when, visit) for visit in VISITS.get(point, (1,))]


def groups() -> Iterator[tuple[str, list[Case]]]:
    """Yield the cases that share a cluster, with a name for them."""
    cases = list(all_cases() if os.environ.get("LONG") else some_cases())
    for combination in COMBINATIONS:
        alike = [case for case in cases if case.combination == combination]
        parts = math.ceil(len(alike) / MOST)
        for part in range(parts):
            first, end = len(alike) * part // parts, len(alike) * (part + 1) // parts
            yield "-".join([*combination, str(part + 1)]), alike[first:end]


GROUPS = dict(groups())


@pytest.mark.slow
@pytest.mark.timeout(600)  # many cases a cluster: to start one costs more than a case
@pytest.mark.parametrize("group", GROUPS)
def test_what_dies_is_started_again_and_nothing_is_lost(
    group: str, request: pytest.FixtureRequest, processes: Processes, tmp_path: Path
) -> None:
    cases = GROUPS[group]
    database, broker = cases[0].combination
    cluster = Cluster(
        processes,
        request.getfixturevalue(DATABASES[database]),
        request.getfixturevalue(BROKERS[broker]),
        tmp_path,
        extra=SHORT,
    )
    try:
        stage = Stage(cluster, tmp_path)
        stage.open()
        for case in cases:
            try:
                die_and_rise(stage, case)
            except BaseException as error:
                error.add_note(f"the {case.process} was to die at {case.at}")
                raise
        stage.close()
    finally:
        cluster.close()
        processes.close()


def die_and_rise(stage: Stage, case: Case) -> None:
    """Let a process die at its crash point, start it anew, and see everything end well."""
    stage.begin()
    story = STORIES.get(case.at.point, plain)(stage)
    next(story)
    stage.retire(case.process)
    dying = stage.start(case.process, case.at)
    next(story)
    stage.die(dying, case.at)
    stage.start(case.process)
    next(story, None)
    stage.end()
    if case.process == "engine":
        assert not stage.lost(), "while nobody leads, a worker's steps and reports are safe"
