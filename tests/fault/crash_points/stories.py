"""What has to happen so that a process comes by a crash point that two plain runs do not pass.

A story is a generator that is resumed at three moments: before the process that is to die replaces
the healthy one, while it runs, and when a healthy one has taken its place again. Two runs are
started in any case, at the latest while the process that is to die runs.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from headway.errors import ConflictError, ForbiddenError
from headway.protocol.queues import event_queue
from headway_coordinator.access.cipher import Cipher
from headway_coordinator.application.notify_ports import Notification, NotificationFilter
from headway_coordinator.application.trigger_ports import EventFilter
from headway_coordinator.raising import make_token
from tests.fault.crash_points.stage import FORMER_KEY, TEAM, Stage
from tests.integration.brokers import Broker
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


def adding_a_team(stage: Stage) -> Iterator[None]:
    name = f"team-{len(stage.cluster.storage.access.teams())}"
    stage.wish(lambda: stage.cluster.client.add_team(name))
    yield
    yield
    wait_until(stage.ask, what="the new team")
    assert name in {team["name"] for team in stage.cluster.storage.access.teams()}


def adding_a_token(stage: Stage) -> Iterator[None]:
    def add() -> None:
        stage.cluster.client.create_token(subject="somebody", role="viewer", team=TEAM)

    stage.wish(add)
    yield
    yield


def using_a_new_token(stage: Stage) -> Iterator[None]:
    stage.renew_client()
    yield
    yield


def revoking_a_token(stage: Stage) -> Iterator[None]:
    access = stage.cluster.storage.access
    make_token(stage.cluster.storage, subject="leaver", role="viewer", team=TEAM)
    [token] = [t for t in access.tokens(TEAM) if t.subject == "leaver" and t.revoked_at is None]

    def revoke() -> None:
        # By the request that got no answer it may be revoked already.
        with suppress(ConflictError):
            stage.cluster.client.revoke_token(token.id)

    stage.wish(revoke)
    yield
    yield
    wait_until(stage.ask, what="the end of the token")
    assert all(t.revoked_at for t in access.tokens(TEAM) if t.subject == "leaver")


def setting_a_secret(stage: Stage) -> Iterator[None]:
    """It is set once: the same value again changes nothing."""
    secrets = stage.cluster.storage.secrets
    versions = [each.version for each in secrets.listing([TEAM]) if each.name == "crash"]
    value = f"value-{max(versions, default=0)}"
    stage.wish(lambda: stage.cluster.client.put_secret("crash", value, team=TEAM))
    yield
    yield
    wait_until(stage.ask, what="the secret")
    [after] = [each.version for each in secrets.listing([TEAM]) if each.name == "crash"]
    assert after == max(versions, default=0) + 1


def removing_a_secret(stage: Stage) -> Iterator[None]:
    stage.cluster.storage.secrets.put(
        Cipher(b"any key").seal(TEAM, "leaver", 1, "value", bytes(12)), before=None, actor="test"
    )

    def remove() -> None:
        # By the request that got no answer it may be removed already.
        with suppress(ForbiddenError):
            stage.cluster.client.remove_secret("leaver", team=TEAM)

    stage.wish(remove)
    yield
    yield
    wait_until(stage.ask, what="the end of the secret")
    assert "leaver" not in {each.name for each in stage.cluster.storage.secrets.listing([TEAM])}


def rekeying(stage: Stage) -> Iterator[None]:
    """Two secrets are under the former key; both are under the present one in the end."""
    secrets = stage.cluster.storage.secrets
    former = Cipher(FORMER_KEY.encode())
    names = {"first", "second"}
    for name in names:
        secrets.remove(TEAM, name, actor="test")
        secrets.put(former.seal(TEAM, name, 1, "value", bytes(12)), before=None, actor="test")
    stage.wish(stage.cluster.client.rekey_secrets)
    yield
    yield
    wait_until(stage.ask, what="the secrets under the present key")
    rows = [each for each in secrets.listing([TEAM]) if each.name in names]
    assert len(rows) == 2
    assert former.key_id not in {each.key_id for each in rows}


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
    """An engine looks for old events soon after it has begun to lead."""
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
    """One is paused, goes on and is cancelled; another one, which failed, is retried."""
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
        steer(steered, "pause", "resume", "cancel")
        wait_until(lambda: _if_done(stage, ids[failing]), what="the end of what fails")
        steer(failing, "retry")

    stage.wish(start_and_steer)
    yield
    yield
    wait_until(stage.ask, what="the steering")
    assert client.backfill(ids[steered])["state"] == "cancelled"
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
    "backfills.retry": steering_a_backfill,
    "backfills.retry.rows": steering_a_backfill,
    "upstream.acknowledge": sending_an_event,
    "events.add": sending_an_event,
    "events.add.rows": sending_an_event,
    "events.forget": forgetting_events,
    "notifications.settle": telling_of_an_end,
    "notifications.retry": telling_once_more,
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
    "secrets.remove": removing_a_secret,
    "secrets.remove.rows": removing_a_secret,
    "api.register": with_steps_left,
    "api.heartbeat": with_steps_left,
    "api.completions": with_a_full_spool,
    "journal.keep_left": with_steps_left,
    "journal.forget_left": with_steps_left,
}
