"""What is wrong with an installation, from one look at its database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from headway.clock import ManualClock
from headway.findings import Status
from headway.ids import new_id
from headway.protocol.messages import Dispatch
from headway_coordinator.application.diagnosing import (
    LEASE,
    Sight,
    deaf_workers,
    forsaken_queues,
    idle_queues,
    key_fingerprint,
    leader,
)
from headway_coordinator.application.ports import Lease
from headway_coordinator.application.worker_ports import Unclaimed, WorkerInfo

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOOT = new_id(ManualClock(NOW - timedelta(hours=3)))
HELD = Lease(LEASE, 4, "host-a:12", BOOT, NOW + timedelta(seconds=7))
WORKER = WorkerInfo(
    worker="w1",
    boot="b",
    team="demo",
    queues=("demo.small",),
    slots=2,
    slots_free=2,
    draining=False,
    hostname="host-b",
    version="0.1.0",
    registered_at=NOW,
    seen_at=NOW,
)
CALM = Sight(NOW, HELD, [], [WORKER], {}, [], frozenset({"demo.small", "other.gpu"}))


def queue(
    name: str, *, ready: int = 0, dispatched: int = 0, waited_s: int = 0
) -> dict[str, object]:
    team, _, resource_class = name.partition(".")
    since = NOW - timedelta(seconds=waited_s) if ready else None
    row = {"queue": name, "team": team, "class": resource_class, "oldest_ready_at": since}
    return {**row, "ready": ready, "dispatched": dispatched}


def unclaimed(queue: str, *, for_s: int) -> Unclaimed:
    dispatch = Dispatch(
        team="demo", run="r", step="a", attempt="r-0-1", fence=1, dispatch_no=9, queue=queue
    )
    return Unclaimed(dispatch, NOW - timedelta(seconds=for_s), NOW + timedelta(minutes=5))


def test_the_leader_and_its_age() -> None:
    found = leader(CALM)
    assert found.status is Status.FINE
    assert "host-a:12 leads (epoch 4, started 3 h ago); its lease has 7 s left" in found.message


def test_a_leader_whose_boot_tells_no_time() -> None:
    found = leader(replace(CALM, lease=replace(HELD, boot="by hand")))
    assert "leads (epoch 4); its lease" in found.message


def test_nobody_leads() -> None:
    assert leader(replace(CALM, lease=None)).status is Status.WRONG
    ended = replace(HELD, expires_at=NOW - timedelta(minutes=5))
    found = leader(replace(CALM, lease=ended))
    assert found.status is Status.WRONG
    assert "ran out 5 min ago" in found.message


def test_queues_that_nobody_consumes() -> None:
    rows = [
        queue("demo.small", ready=5),
        queue("demo.gpu", ready=2, waited_s=180),
        queue("demo.io", dispatched=1),
        queue("demo.calm"),
    ]
    found = list(forsaken_queues(replace(CALM, queues=rows)))
    assert [each.subject for each in found] == ["demo.gpu", "demo.io"]
    assert found[0].message == "2 steps wait for 3 min, and no worker consumes the queue"
    assert found[0].mend == "headway worker --team demo --class gpu"


def test_a_worker_that_drains_serves_nobody() -> None:
    sight = replace(CALM, queues=[queue("demo.small", ready=1)])
    assert not list(forsaken_queues(sight))
    draining = replace(sight, workers=[replace(WORKER, draining=True)])
    assert [each.subject for each in forsaken_queues(draining)] == ["demo.small"]


def test_workers_whose_queues_no_pipeline_names() -> None:
    misspelt = replace(WORKER, worker="w2", queues=("demo.samll",))
    several = replace(WORKER, worker="w3", queues=("demo.samll", "demo.small"))
    [found] = idle_queues(replace(CALM, workers=[WORKER, misspelt, several]))
    assert (found.subject, found.status) == ("w2", Status.NOTE)
    assert found.mend is not None
    assert "small" in found.mend
    assert "gpu" not in found.mend


def test_a_worker_of_an_older_definition_is_still_wanted() -> None:
    old = replace(WORKER, queues=("demo.old",))
    sight = replace(CALM, workers=[old], queues=[queue("demo.old", ready=1)])
    assert not list(idle_queues(sight))


def test_a_worker_that_does_not_hear() -> None:
    sight = replace(CALM, unclaimed=[unclaimed("demo.small", for_s=240)])
    [found] = deaf_workers(sight)
    assert (found.subject, found.status) == ("w1", Status.WRONG)
    assert "unclaimed for 4 min" in found.message


def test_workers_that_are_not_accused() -> None:
    late = replace(CALM, unclaimed=[unclaimed("demo.small", for_s=240)])
    busy = replace(late, running={"w1": 2})
    draining = replace(late, workers=[replace(WORKER, draining=True)])
    other = replace(late, workers=[replace(WORKER, queues=("demo.io",))])
    fresh = replace(CALM, unclaimed=[unclaimed("demo.small", for_s=20)])
    assert [list(deaf_workers(each)) for each in (busy, draining, other, fresh)] == [[]] * 4


def test_equal_keys_have_equal_fingerprints_that_do_not_hold_them() -> None:
    assert key_fingerprint(b"one key of a test") == key_fingerprint(b"one key of a test")
    assert key_fingerprint(b"one key of a test") != key_fingerprint(b"another key of it")
    assert len(key_fingerprint(b"one key of a test")) == 8
