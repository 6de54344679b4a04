"""What has to happen so that a process comes by a crash point that two plain runs do not pass.

A story is a generator that is resumed at three moments: before the process that is to die replaces
the healthy one, while it runs, and when a healthy one has taken its place again. Two runs are
started in any case, at the latest while the process that is to die runs.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping

from tests.fault.crash_points.access_stories import (
    adding_a_team,
    adding_a_token,
    rekeying,
    removing_a_secret,
    revoking_a_token,
    setting_a_secret,
    using_a_new_token,
)
from tests.fault.crash_points.stage import TEAM, Stage
from tests.fault.crash_points.starting_stories import (
    backfilling,
    forgetting_events,
    holding_a_queue,
    sending_an_event,
    steering_a_backfill,
    steering_a_trigger,
    telling_of_an_end,
    telling_once_more,
)
from tests.servers.waiting import wait_until

Story = Callable[[Stage], Iterator[None]]


def plain(stage: Stage) -> Iterator[None]:
    """Two runs come by it."""
    yield
    yield


def while_steps_run(stage: Stage) -> Iterator[None]:
    """It comes by it while every slot has a step that takes its time."""
    stage.hold()
    yield
    yield
    stage.gate.touch()


def handing_over(stage: Stage) -> Iterator[None]:
    """A leader that is told to end gives its lease back."""
    yield
    engine = stage.children["engine"]
    engine.wait_for_output("leadership_gained")
    engine.send(signal.SIGTERM)
    yield


def taking_over_unclaimed(stage: Stage) -> Iterator[None]:
    """A leader finds dispatches that nobody has claimed, because every slot is taken."""
    # One that has seen long steps dispatches nothing in advance; a new one has seen none.
    stage.stop("engine")
    stage.start("engine")
    stage.hold()
    wait_until(stage.cluster.storage.sweeps.unclaimed, what="dispatches that nobody has claimed")
    yield
    yield
    stage.gate.touch()


def without_a_leader(stage: Stage) -> Iterator[None]:
    """Steps end while nobody leads: their worker reports by HTTP what nobody acknowledges."""
    stage.hold()
    stage.stop("engine")
    yield
    stage.gate.touch()
    yield
    stage.start("engine")


def with_a_full_spool(stage: Stage) -> Iterator[None]:
    """A worker finds completions of its earlier boot, which nobody has acknowledged."""
    stage.hold()
    stage.stop("engine")
    stage.gate.touch()
    wait_until(stage.spooled, what="completions in the spool")
    stage.kill("worker")
    yield
    yield
    stage.start("engine")


def with_steps_left(stage: Stage) -> Iterator[None]:
    """A worker finds in its journal what its earlier boot ran when it was killed."""
    stage.hold()
    stage.kill("worker")
    yield
    yield
    stage.gate.touch()


def registering(stage: Stage) -> Iterator[None]:
    """A worker comes while the API is there that is to die."""
    stage.stop("worker")
    yield
    worker = stage.start("worker", awaited=False)
    yield
    worker.wait_for_output("worker_ready")


def applying(stage: Stage) -> Iterator[None]:
    """A pipeline gets a new version: one, however often it is asked for."""
    definitions = stage.cluster.storage.definitions
    [before] = definitions.current("crash")
    runbook = f"https://example.com/{before.version + 1}"
    text = stage.definition("crash", team=TEAM, runbook=runbook)
    stage.wish(lambda: stage.cluster.apply(text))
    yield
    yield
    wait_until(stage.ask, what="the new version")
    [after] = definitions.current("crash")
    assert after.version == before.version + 1


STORIES: Mapping[str, Story] = {
    "leases.acquire": while_steps_run,
    "leases.renew": while_steps_run,
    "leases.release": handing_over,
    "advancing.redispatch": taking_over_unclaimed,
    "inbox.add_many": without_a_leader,
    "workers.register": registering,
    "workers.register.rows": registering,
    "workers.heartbeat": while_steps_run,
    "workers.heartbeat.renewal": while_steps_run,
    "storage.deciding": sending_an_event,
    "deciding.decide": sending_an_event,
    "deciding.take_dates": backfilling,
    "backfills.create": backfilling,
    "backfills.create.rows": backfilling,
    "backfills.steer": steering_a_backfill,
    "backfills.steer.rows": steering_a_backfill,
    "backfills.cancel": steering_a_backfill,
    "backfills.cancel.rows": steering_a_backfill,
    "backfills.set_lane": steering_a_backfill,
    "backfills.set_lane.rows": steering_a_backfill,
    "backfills.retry": steering_a_backfill,
    "backfills.retry.rows": steering_a_backfill,
    "upstream.acknowledge": sending_an_event,
    "events.add": sending_an_event,
    "events.add.rows": sending_an_event,
    "events.forget": forgetting_events,
    "notifications.settle": telling_of_an_end,
    "notifications.forget": forgetting_events,
    "notifications.retry": telling_once_more,
    "notifications.retry.rows": telling_once_more,
    "pauses.hold": holding_a_queue,
    "pauses.lift": holding_a_queue,
    "pauses.steer.rows": holding_a_queue,
    "triggers.pause": steering_a_trigger,
    "triggers.resume": steering_a_trigger,
    "triggers.steer.rows": steering_a_trigger,
    "definitions.put": applying,
    "definitions.put.rows": applying,
    "access.add_team": adding_a_team,
    "access.add_token": adding_a_token,
    "access.note_use": using_a_new_token,
    "access.revoke_token": revoking_a_token,
    "secrets.put": setting_a_secret,
    "secrets.put.rows": setting_a_secret,
    "secrets.reseal": rekeying,
    "secrets.reseal.rows": rekeying,
    "secrets.remove": removing_a_secret,
    "secrets.remove.rows": removing_a_secret,
    "api.register": with_steps_left,
    "api.heartbeat": with_steps_left,
    "api.completions": with_a_full_spool,
    "journal.keep_left": with_steps_left,
    "journal.forget_left": with_steps_left,
}
