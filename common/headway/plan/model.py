"""The plan: what the engine walks. Built once a run from the canonical spec, never changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from headway.plan.children import parent_of


class When(StrEnum):
    """Which ends of a step's needs let it run (Airflow calls these trigger rules)."""

    ALL_SUCCEEDED = "all_succeeded"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_SKIPPED = "all_skipped"
    ANY_SUCCEEDED = "any_succeeded"
    ANY_FAILED = "any_failed"
    ANY_DONE = "any_done"
    NONE_FAILED = "none_failed"
    NONE_SKIPPED = "none_skipped"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALWAYS = "always"
    SOME_SUCCEEDED = "some_succeeded"  # written `when: {succeeded: N}`


class Overlap(StrEnum):
    """What a run does that finds as many others of its group as may run at once."""

    ALLOW = "allow"
    QUEUE = "queue"
    SKIP = "skip"
    REPLACE = "replace"


class Kind(StrEnum):
    """What a step does. `wait` holds no worker slot: the coordinator's timer ends it."""

    RUN = "run"
    PYTHON = "python"
    HTTP = "http"
    SQL = "sql"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Retry:
    """`max` counts retries after the first attempt; the delay grows up to `cap`."""

    max: int = 0
    backoff: str = "exponential"  # or "fixed"
    delay: timedelta = timedelta(seconds=5)
    cap: timedelta = timedelta(minutes=5)
    jitter: bool = True


@dataclass(frozen=True, slots=True)
class Foreach:
    """A step that runs once for each item of a list which is known when its needs have ended.

    `items` is JSON, `${{ }}` not yet resolved: a list; or, of a `matrix`, an object of lists whose
    combinations are the items. The step succeeds with as many failed children as are tolerated;
    with `enough`, as soon as so many have succeeded, and the others are stopped.
    """

    items: Any = field(hash=False)
    is_matrix: bool = False
    max_parallel: int | None = None
    failures: int = 0
    failures_percent: float | None = None
    enough: int | None = None
    enough_percent: float | None = None

    def sufficient(self, items: int) -> int | None:
        """Return how many of so many children are enough; None: all are to be done."""
        if self.enough_percent is not None:
            return math.ceil(items * self.enough_percent / 100)
        return None if self.enough is None else min(self.enough, items)

    def tolerated(self, items: int) -> int:
        """Return how many of so many children may fail."""
        if (enough := self.sufficient(items)) is not None:
            return items - enough
        if self.failures_percent is None:
            return self.failures
        return math.floor(items * self.failures_percent / 100)


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One node. `body` is the step's canonical definition (JSON), `${{ }}` not yet resolved."""

    key: str
    index: int
    kind: Kind
    needs: tuple[str, ...]
    when: When
    condition: str | None
    resource_class: str
    retry: Retry
    timeout: timedelta | None
    queue_timeout: timedelta | None
    final: bool
    allow_failure: bool
    body: Mapping[str, Any] = field(hash=False)
    produces: tuple[str, ...] = ()  # the assets that its success updates
    foreach: Foreach | None = None
    at_least: int = 1  # of its needs have succeeded, with `when: {succeeded: N}`
    cancels: tuple[str, ...] = ()  # steps that it puts an end to when it begins


@dataclass(frozen=True, slots=True)
class Notify:
    """Who is told of a run's end. `on`: its states, or `recovered`; `webhook` is as it is written:
    `secret://NAME`, or a URL."""

    on: tuple[str, ...]
    webhook: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's graph: steps in topological order (`finally` steps last), edges both ways."""

    pipeline: str
    team: str
    digest: str
    priority: int
    timeout: timedelta | None
    code: str | None
    steps: tuple[PlanStep, ...]
    by_key: Mapping[str, PlanStep] = field(hash=False)
    dependents: Mapping[str, tuple[str, ...]] = field(hash=False)
    param_types: Mapping[str, str] = field(default_factory=dict, hash=False)
    overlap: Overlap = Overlap.ALLOW
    limit: int | None = None  # runs at once in a group of `group_key`; None: as many as there are
    group_key: str | None = None  # `${{ }}` not yet resolved
    owner: str = ""
    runbook: str | None = None
    notify: tuple[Notify, ...] = ()
    produces: bool = False  # whether some step produces an asset
    visible_to: tuple[str, ...] = ()  # teams that may listen; `*`: all

    def of(self, key: str) -> PlanStep:
        """Return the step of this key; a child's is that of its parent."""
        found = self.by_key.get(key)
        return self.by_key[parent_of(key)] if found is None else found
