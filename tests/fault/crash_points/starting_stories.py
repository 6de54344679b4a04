"""Stories of what starts runs and of what is told of their ends: events, triggers, backfills,
notifications; see `stories`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from headway.errors import ConflictError
from headway.protocol.queues import event_queue
from headway_coordinator.application.notify_ports import Notification, NotificationFilter
from headway_coordinator.application.trigger_ports import EventFilter
from tests.fault.crash_points.stage import TEAM, Stage
from tests.integration.brokers import Broker
from tests.servers.waiting import wait_until


def sending_an_event(stage: Stage) -> Iterator[None]:
    """An event is sent until it is kept, and published too: all the same it starts one run."""
    events = stage.cluster.storage.events
    number = len(events.listing(EventFilter([TEAM], 500))[0])
    event = {"specversion": "1.0", "type": f"crash.event.{number}", "source": "/stories"}
    text = stage.definition("hearing", team=TEAM, hears=event["type"])
    stage.cluster.apply(text)
    id = f"story-{number}"
    stage.wish(lambda: stage.cluster.client.send_event(event, id=id, team=TEAM))
    yield
    # The one that retires may read for a moment still: it would take what the other is to die of.
    stage.children["engine"].wait_for_output("upstream_opened")
    Broker(stage.cluster.broker_url).send(json.dumps({**event, "id": id}), queue=event_queue(TEAM))
    yield

    def started() -> list[str]:
        found, _ = events.listing(EventFilter([TEAM], 500, type=str(event["type"])))
        return [d["run"] for row in found for d in row["decisions"]]

    wait_until(stage.ask, what="the event to be kept")
    [run] = wait_until(started, what="the decision on the event")
    stage.runs.append(run)
    stage.by_events += 1
    [row], _ = events.listing(EventFilter([TEAM], 500, type=str(event["type"])))
    assert [d["outcome"] for d in row["decisions"]] == ["matched"]
    wait_until(lambda: stage.cluster.storage.queries.run(run), what="the run of the event")


def forgetting_events(stage: Stage) -> Iterator[None]:
    """An engine looks for old events and notifications soon after it has begun to lead."""
    stage.stop("engine")
    yield
    yield


def steering_a_trigger(stage: Stage) -> Iterator[None]:
    """A trigger is paused and goes on again."""
    stage.cluster.apply(stage.definition("steered", team=TEAM, hears="never.sent"))
    triggers = stage.cluster.storage.triggers

    def is_paused() -> bool:
        [row] = triggers.of_pipeline(TEAM, "steered")
        return row.paused_at is not None

    def steer() -> None:
        for pause in (True, False):
            # By the request that got no answer it may be so already.
            with suppress(ConflictError):
                stage.cluster.client.steer_trigger(TEAM, "steered", "event", pause=pause)

    stage.wish(steer)
    yield
    yield
    wait_until(stage.ask, what="the steering")
    assert not is_paused()


def holding_a_queue(stage: Stage) -> Iterator[None]:
    """A queue is paused and goes on again."""
    pauses = stage.cluster.storage.pauses

    def steer() -> None:
        for pause in (True, False):
            # By the request that got no answer it may be so already.
            with suppress(ConflictError):
                stage.cluster.client.steer(f"/queues/{TEAM}.idle", pause=pause)

    stage.wish(steer)
    yield
    yield
    wait_until(stage.ask, what="the steering")
    assert pauses.all() == []


def backfilling(stage: Stage) -> Iterator[None]:
    """Three dates are backfilled, two at a time: each gets one run, and then it is done."""
    client = stage.cluster.client
    number = len(client.backfills(limit=500)["backfills"])
    name = f"backfilled-{number}"
    stage.cluster.apply(_one_step(name, "true"))
    wanted = {**_days(name, 3), "max_in_flight": 2}
    ids: set[str] = set()
    stage.wish(lambda: ids.add(client.start_backfill(wanted, key=name)["id"]))
    yield
    yield
    wait_until(stage.ask, what="the backfill")
    [id] = ids
    done = wait_until(lambda: _if_done(stage, id), within=60, what="the end of the backfill")
    assert done["progress"]["succeeded"] == 3
    started = {row["id"] for row in client.runs(pipeline=name, limit=500)["runs"]}
    assert started == {date["run"] for date in done["dates"]}
    assert len(started) == 3


def steering_a_backfill(stage: Stage) -> Iterator[None]:
    """One is paused, widened, goes on and is cancelled; another one, which failed, is retried."""
    client = stage.cluster.client
    number = len(client.backfills(limit=500)["backfills"])
    steered, failing = f"steered-{number}", f"failing-{number}"
    stage.cluster.apply(_one_step(steered, "true"))
    stage.cluster.apply(_one_step(failing, "false"))
    ids: dict[str, str] = {}

    def steer(name: str, *verbs: str) -> None:
        for verb in verbs:
            # By the request that got no answer it may be so already.
            with suppress(ConflictError):
                client.steer_backfill(ids[name], verb)

    def start_and_steer() -> None:
        for name, days in ((steered, 90), (failing, 1)):
            ids[name] = client.start_backfill(_days(name, days), key=name)["id"]
        steer(steered, "pause")
        with suppress(ConflictError):  # asked again, after its end
            client.change_backfill(ids[steered], max_in_flight=5)
        steer(steered, "resume", "cancel")
        wait_until(lambda: _if_done(stage, ids[failing]), what="the end of what fails")
        steer(failing, "retry")

    stage.wish(start_and_steer)
    yield
    yield
    wait_until(stage.ask, what="the steering")
    shown = client.backfill(ids[steered])
    assert (shown["state"], shown["max_in_flight"]) == ("cancelled", 5)
    done = wait_until(lambda: _if_done(stage, ids[failing]), what="the end of the retry")
    assert done["progress"]["failed"] == 1
    assert len(client.runs(pipeline=failing)["runs"]) > 1


def _one_step(name: str, command: str) -> str:
    head = f"headway: 1\npipeline: {name}\nteam: {TEAM}\nowner: crash@example.com\n"
    return f'{head}steps: {{only: {{run: "{command}"}}}}\n'


def _days(pipeline: str, count: int) -> dict[str, object]:
    until = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=count - 1)).date().isoformat()
    return {"pipeline": pipeline, "team": TEAM, "from": "2026-01-01", "until": until, "every": "1d"}


def _if_done(stage: Stage, id: str) -> dict[str, Any]:
    """Return the backfill if it is done, else nothing."""
    shown = stage.cluster.client.backfill(id)
    return shown if shown["state"] == "done" else {}


def telling_of_an_end(stage: Stage) -> Iterator[None]:
    """A run ends, and somebody is to be told of it whom no request may reach."""
    _tell_of_ends(stage)
    yield
    run = stage.cluster.run("telling", gate=str(stage.gate))
    stage.runs.append(run)
    stage.by_events += 1
    yield

    def tried() -> bool:
        told = _told_of(stage, run)
        return told is not None and told.attempts > 0

    wait_until(tried, what="a try to tell of the run's end")


def telling_once_more(stage: Stage) -> Iterator[None]:
    """A notification is to be sent again at once."""
    _tell_of_ends(stage)
    run = stage.cluster.run("telling", gate=str(stage.gate))
    stage.runs.append(run)
    stage.by_events += 1
    told = wait_until(lambda: _told_of(stage, run), what="a notification of the run's end")
    stage.wish(lambda: stage.cluster.client.retry_notification(told.id))
    yield
    yield
    wait_until(stage.ask, what="the notification to be due again")


def _tell_of_ends(stage: Stage) -> None:
    notify = [{"on": ["succeeded"], "webhook": "http://127.0.0.1:1/"}]
    stage.cluster.apply(stage.definition("telling", team=TEAM, notify=notify))


def _told_of(stage: Stage, run: str) -> Notification | None:
    found, _ = stage.cluster.storage.notifications.listing(NotificationFilter([TEAM], 500))
    return next((each for each in found if each.run == run), None)
