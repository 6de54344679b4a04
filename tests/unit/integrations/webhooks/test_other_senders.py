"""What the other senders say, in the normal form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from headway_coordinator.integrations.webhooks import SOURCES, MalformedEvent
from headway_coordinator.triggers.event import Event
from tests.unit.integrations.webhooks.requests import (
    JENKINS_GENERIC,
    JENKINS_NOTIFICATION,
    MINIO,
    MINIO_RECORD,
    S3_TEST,
    SUBSCRIPTION,
    alert,
    alert_group,
    ask,
    captured,
    document,
    sns,
)

CAPTURED = {sent.source: sent.request for sent in captured()}
EIGHT = datetime(2026, 11, 23, 8, tzinfo=UTC)


def events(source: str, body: Any, **headers: str) -> list[Event]:
    return SOURCES[source].events(ask(body, **headers))


def test_a_real_registrys_push() -> None:
    [event] = SOURCES["docker-registry"].events(CAPTURED["docker-registry"])
    assert event.id == "d1f3f2f2-facb-4ccc-8e87-45df91e97d61"
    assert (event.name, event.type) == ("push", "com.docker.distribution.push")
    assert event.source == "http://127.0.0.1:9913/team/app"
    assert event.subject == "team/app:v1.2.3"
    assert event.time == datetime(2026, 11, 23, 8, 59, 30, 389349, tzinfo=UTC)
    assert event.data["repository"] == "team/app"
    assert event.data["artifact"]["version"] == "v1.2.3"
    assert event.data["artifact"]["digest"].startswith("sha256:f62c7f0f")
    assert event.data["artifact"]["size_bytes"] == 421


@pytest.mark.parametrize("action", ["push", "pull", "delete", "mount", "another"])
def test_whatever_a_registry_does_is_an_event(action: str) -> None:
    target = {"repository": "a/b", "digest": "sha256:1"}
    body = {"events": [{"id": "1", "action": action, "target": target}]}
    [event] = events("docker-registry", body)
    assert event.name == action
    assert event.subject == "a/b@sha256:1"


def test_each_event_of_a_registrys_envelope_is_one() -> None:
    body = {"events": [{"id": str(n), "action": "pull"} for n in range(3)]}
    assert [event.id for event in events("docker-registry", body)] == ["0", "1", "2"]
    assert events("docker-registry", {"events": []}) == []


def test_a_real_alertmanagers_group_gives_one_event_an_alert() -> None:
    found = SOURCES["alertmanager"].events(CAPTURED["alertmanager"])
    assert [event.name for event in found] == ["firing", "firing"]
    assert {event.data["payload"]["labels"]["instance"] for event in found} == {"w1", "w2"}
    assert {event.subject for event in found} == {"QueueBacklog"}
    assert {event.source for event in found} == {"http://vm:9932"}
    assert found[0].data["group"]["receiver"] == "orch"
    assert found[0].data["group"]["truncated"] == 1


def test_each_alert_has_its_own_status_and_not_its_groups() -> None:
    resolved = alert(status="resolved", endsAt="2026-11-23T08:30:00Z", fingerprint="other")
    first, second = events("alertmanager", alert_group(alert(), resolved, status="firing"))
    assert (first.name, second.name) == ("firing", "resolved")
    assert second.type == "io.prometheus.alert.resolved"
    assert (first.data["status"], second.data["status"]) == ("firing", "resolved")
    assert first.data["group"]["status"] == second.data["group"]["status"] == "firing"
    assert first.time == EIGHT
    assert second.time == datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


def test_an_alert_that_is_told_again_is_the_same_event() -> None:
    [once] = events("alertmanager", alert_group(alert()))
    again, _ = events("alertmanager", alert_group(alert(), alert(fingerprint="new")))
    [ended] = events("alertmanager", alert_group(alert(status="resolved")))
    [later] = events("alertmanager", alert_group(alert(startsAt="2026-11-24T08:00:00Z")))
    assert once.id == again.id
    assert len({once.id, ended.id, later.id}) == 3


def test_a_group_of_endless_labels_is_malformed() -> None:
    body = {**alert_group(alert()), "groupLabels": {"a": "x" * 20_000}}
    with pytest.raises(MalformedEvent, match="16 KiB"):
        events("alertmanager", body)


def test_an_object_of_s3() -> None:
    [event] = events("s3", document("s3-event.json"))
    assert (event.name, event.type) == ("ObjectCreated.Put", "com.amazonaws.s3.ObjectCreated.Put")
    assert event.is_called("ObjectCreated")
    assert (event.source, event.subject) == ("s3://sourcebucket", "HappyFace.jpg")
    assert event.data["artifact"] == {
        "name": "HappyFace.jpg",
        "version": "version",
        "digest": None,
        "url": "s3://sourcebucket/HappyFace.jpg",
        "size_bytes": 1024,
    }


@pytest.mark.parametrize("body", [MINIO, sns(MINIO)], ids=["direct", "through SNS"])
def test_an_object_of_minio(body: Any) -> None:
    [event] = events("s3", body)
    assert event.name == "ObjectCreated.Put"
    assert (event.source, event.subject) == ("s3://raw", "2026/sales of may.csv")
    assert event.data["actor"] == "loader"
    assert event.data["payload"] == MINIO_RECORD


def test_the_same_change_of_an_object_is_the_same_event_however_it_comes() -> None:
    [direct], [carried] = events("s3", MINIO), events("s3", sns(MINIO))
    assert direct == carried
    removed = {**MINIO_RECORD, "eventName": "s3:ObjectRemoved:Delete"}
    [another] = events("s3", {"Records": [removed]})
    assert another.id != direct.id


def test_minio_without_records_is_read_by_name_and_key() -> None:
    [event] = events("s3", {"EventName": "s3:ObjectRemoved:Delete", "Key": "raw/a/b.csv"})
    assert (event.name, event.source, event.subject) == (
        "ObjectRemoved.Delete",
        "s3://raw",
        "a/b.csv",
    )


def test_a_subscription_of_sns_is_kept_with_the_address_that_confirms_it() -> None:
    [event] = events("s3", SUBSCRIPTION, content_type="text/plain; charset=UTF-8")
    assert (event.id, event.name) == (SUBSCRIPTION["MessageId"], "subscription")
    assert event.source == SUBSCRIPTION["TopicArn"]
    assert event.data["url"] == SUBSCRIPTION["SubscribeURL"]


def test_what_sns_carries_for_others_is_an_event_of_its_own() -> None:
    for message in ("hello", "{", '{"a": 1}', "[" * 10_000):
        [event] = events("s3", sns(message))
        assert (event.name, event.type) == ("notification", "com.amazonaws.sns.notification")
        assert event.data["payload"]["Message"] == message


def test_the_test_event_of_s3() -> None:
    [event] = events("s3", S3_TEST)
    assert (event.name, event.source, event.time) == ("TestEvent", "s3://raw", EIGHT)
    [carried] = events("s3", sns(S3_TEST))
    assert carried == event


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Records": {}},
        {"Records": [1]},
        {"Records": [{}]},
        {"Records": [{"eventName": "x", "s3": {"bucket": {"name": "b"}, "object": {"key": 1}}}]},
        {"EventName": "s3:x", "Key": "bucket-alone"},
    ],
)
def test_what_names_no_object_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedEvent):
        events("s3", body)


def test_a_build_of_jenkins_notification_plugin() -> None:
    [event] = events("jenkins", JENKINS_NOTIFICATION)
    assert (event.name, event.type) == ("finalized.failure", "io.jenkins.build.finalized.failure")
    assert event.is_called("finalized")
    assert (event.source, event.subject) == ("http://ci.example:8080/job/sales/", "sales")
    assert event.time == EIGHT
    data = event.data
    assert (data["ref"], data["after"]) == ("refs/heads/main", "c6d86dc654b1")
    assert (data["action"], data["status"]) == ("finalized", "failure")
    assert data["artifact"]["name"] == "sales.jar"
    assert data["repository"] == "https://git.example/sales.git"


def test_a_build_of_jenkins_that_has_only_begun_has_no_status() -> None:
    [event] = events("jenkins", {"name": "a", "build": {"number": 1, "phase": "STARTED"}})
    assert event.name == "started"
    assert event.data["status"] is None


def test_an_event_of_jenkins_generic_event_plugin() -> None:
    [event] = events("jenkins", JENKINS_GENERIC)
    assert event.id == JENKINS_GENERIC["id"]
    assert (event.name, event.type) == ("run.completed", "io.jenkins.run.completed")
    assert event.source == "job/shop/job/sales/"
    assert event.data["status"] == "success"
    assert event.time == datetime(2026, 11, 23, 8, 0, 0, 41000, tzinfo=UTC)


def test_a_body_of_another_plugin_is_malformed() -> None:
    with pytest.raises(MalformedEvent):
        events("jenkins", {"job": "a"})


def test_a_standard_webhook_is_called_by_its_type() -> None:
    body = {"type": "invoice.paid", "timestamp": "2026-11-23T08:00:00Z", "data": {"id": 1}}
    [event] = events("standard-webhooks", body, webhook_id="msg_1", webhook_timestamp="1")
    assert (event.id, event.name, event.type) == ("msg_1", "invoice.paid", "invoice.paid")
    assert event.is_called("invoice")
    assert event.time == EIGHT
    assert event.data["payload"] == body


@pytest.mark.parametrize("seconds", ["1795420800", "nonsense", "\u0661", "9" * 13, ""])
def test_a_standard_webhook_without_a_time_has_the_signed_one(seconds: str) -> None:
    [event] = events("standard-webhooks", [1], webhook_id="m", webhook_timestamp=seconds)
    assert event.time == (EIGHT if seconds == "1795420800" else None)
    assert event.name == "event"


def test_a_generic_body_may_speak_the_normal_form() -> None:
    body = {
        "event": "landed",
        "ref": "refs/heads/main",
        "actor": 5,
        "time": "2026-11-23T08:00:00Z",
        "artifact": {"name": "a.csv", "size_bytes": 3, "more": 1},
        "pull_request": [],
    }
    [event] = events("generic", body)
    assert (event.name, event.type, event.time) == ("landed", "landed", EIGHT)
    assert event.data["ref"] == "refs/heads/main"
    assert event.data["actor"] is None
    assert event.data["pull_request"] is None
    assert event.data["artifact"] == {
        "name": "a.csv",
        "version": None,
        "digest": None,
        "url": None,
        "size_bytes": 3,
    }
    [named] = events("generic", body, x_headway_event="other", x_headway_delivery="d")
    assert (named.name, named.id) == ("other", "d")
