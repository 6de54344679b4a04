"""Requests of every source: the recorded and published ones, and what other senders document."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from headway.portable import unportable
from headway_coordinator.integrations.webhooks import HookRequest
from headway_coordinator.triggers.event import MAX_ID, MAX_TEXT, Event

FOLDER = Path(__file__).parents[3] / "material" / "webhooks"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SECRET = "a-secret-of-the-test"
NORMAL = {
    *("payload", "repository", "ref", "before", "after", "actor", "action", "status", "url"),
    *("pull_request", "artifact"),
}
PULL_REQUEST = {"number", "title", "source", "target", "url", "merged"}
ARTIFACT = {"name", "version", "digest", "url", "size_bytes"}


@dataclass(frozen=True)
class Sent:
    """A request that `source` should understand."""

    source: str
    title: str
    headers: Mapping[str, str]
    body: Any

    @property
    def request(self) -> HookRequest:
        return HookRequest(headers=self.headers, body=as_bytes(self.body))


def as_bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def rows(name: str) -> list[Any]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def document(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def ask(body: Any, **headers: str) -> HookRequest:
    """Return a request; `x_github_event` stands for the header `x-github-event`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HookRequest(headers=named, body=body if isinstance(body, bytes) else as_bytes(body))


def hub_signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def github() -> Iterator[Sent]:
    for row in rows("github.jsonl"):
        headers = {
            "content-type": "application/json",
            "x-github-event": row["event"],
            "x-github-delivery": f"delivery-of-{row['event']}",
        }
        yield Sent("github", row["event"], headers, row["body"])


def cdevents() -> Iterator[Sent]:
    for row in rows("cdevents.jsonl"):
        yield Sent("cdevents", row["name"], {"content-type": "application/json"}, row["body"])


def captured() -> Iterator[Sent]:
    for row in rows("captured.jsonl"):
        source = "docker-registry" if "registry" in row["source"] else "alertmanager"
        headers = {name.lower(): value for name, value in row["headers"].items()}
        yield Sent(source, row["source"], headers, row["body"])


def published() -> list[Sent]:
    """Return every request of the material."""
    s3 = Sent("s3", "s3-event.json", {}, document("s3-event.json"))
    return [*github(), *cdevents(), *captured(), s3]


def alert_group(*alerts: Mapping[str, Any], status: str = "firing") -> dict[str, Any]:
    return {
        "receiver": "headway",
        "status": status,
        "alerts": list(alerts),
        "groupLabels": {"alertname": "Late"},
        "externalURL": "http://alerts.example",
        "version": "4",
        "groupKey": '{}:{alertname="Late"}',
        "truncatedAlerts": 0,
    }


def alert(**changed: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "Late", "team": "sales"},
        "annotations": {},
        "startsAt": "2026-11-23T08:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prom.example/graph",
        "fingerprint": "b84de0e31572a279",
        **changed,
    }


GITLAB_PUSH = {
    "object_kind": "push",
    "event_name": "push",
    "before": "95790bf891e76fee5e1747ab589903a6a1f80f22",
    "after": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
    "ref": "refs/heads/main",
    "user_name": "Jane Doe",
    "user_username": "jane",
    "project": {
        "name": "sales",
        "web_url": "https://gitlab.example.com/shop/sales",
        "path_with_namespace": "shop/sales",
    },
    "commits": [],
}
GITLAB_MERGE_REQUEST = {
    "object_kind": "merge_request",
    "user": {"username": "jane"},
    "project": GITLAB_PUSH["project"],
    "object_attributes": {
        "iid": 7,
        "title": "Sell more",
        "source_branch": "more",
        "target_branch": "main",
        "state": "merged",
        "action": "merge",
        "url": "https://gitlab.example.com/shop/sales/-/merge_requests/7",
        "last_commit": {"id": "da1560886d4f"},
        "updated_at": "2026-11-23 08:00:00 UTC",
    },
}
GITLAB_PIPELINE = {
    "object_kind": "pipeline",
    "user": {"username": "jane"},
    "project": GITLAB_PUSH["project"],
    "object_attributes": {
        "ref": "v1",
        "tag": True,
        "sha": "bcbb5ec396a2",
        "before_sha": "000000",
        "status": "success",
        "finished_at": "2026-11-23 09:00:00 +0100",
    },
}
JENKINS_NOTIFICATION = {
    "name": "sales",
    "url": "job/sales/",
    "build": {
        "full_url": "http://ci.example:8080/job/sales/18/",
        "number": 18,
        "phase": "FINALIZED",
        "status": "FAILURE",
        "timestamp": 1795420800000,
        "url": "job/sales/18/",
        "scm": {
            "url": "https://git.example/sales.git",
            "branch": "origin/main",
            "commit": "c6d86dc654b1",
        },
        "artifacts": {"sales.jar": {"archive": "http://ci.example:8080/job/sales/18/sales.jar"}},
    },
}
JENKINS_GENERIC = {
    "data": {"fullDisplayName": "shop » sales #1", "number": 1, "result": "SUCCESS"},
    "dataType": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
    "id": "aaf73c16-574b-4c1b-a740-4494318a59d5",
    "source": "job/shop/job/sales/",
    "time": "2026-11-23T09:00:00.041+0100",
    "type": "run.completed",
}
MINIO_RECORD: dict[str, Any] = {
    "eventVersion": "2.0",
    "eventSource": "minio:s3",
    "eventTime": "2026-11-23T08:00:00.123Z",
    "eventName": "s3:ObjectCreated:Put",
    "userIdentity": {"principalId": "loader"},
    "s3": {
        "bucket": {"name": "raw", "arn": "arn:aws:s3:::raw"},
        "object": {
            "key": "2026%2Fsales+of+may.csv",
            "size": 12,
            "eTag": "d41d8cd98f00b204e9800998ecf8427e",
            "sequencer": "17A2B9C1D2E3F4A5",
        },
    },
}
MINIO = {
    "EventName": "s3:ObjectCreated:Put",
    "Key": "raw/2026/sales+of+may.csv",
    "Records": [MINIO_RECORD],
}
SUBSCRIPTION = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
    "Token": "2336412f37",
    "TopicArn": "arn:aws:sns:eu-west-1:123456789012:raw",
    "Message": "You have chosen to subscribe to the topic",
    "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
    "Timestamp": "2026-11-23T08:00:00.000Z",
}
S3_TEST = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-11-23T08:00:00.000Z",
    "Bucket": "raw",
    "RequestId": "5582815E1AEA5ADF",
}


def sns(message: Any) -> dict[str, Any]:
    """Return the notification by which SNS carries a message."""
    return {
        "Type": "Notification",
        "MessageId": "da41e39f-ea4d-435a-b922-c6aae3915ebe",
        "TopicArn": SUBSCRIPTION["TopicArn"],
        "Subject": "Amazon S3 Notification",
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-23T08:00:00.000Z",
    }


def documented() -> list[Sent]:
    """Return requests in the shapes that other senders document."""
    standard = {"webhook-id": "msg_1", "webhook-timestamp": "1795424400"}
    cloudevent = {
        "specversion": "1.0",
        "id": "1",
        "source": "/tests",
        "type": "t",
        "data": rows("cdevents.jsonl")[0]["body"],
    }
    structured = {"content-type": "application/cloudevents+json"}
    resolved = alert(status="resolved", endsAt="2026-11-23T08:30:00Z", fingerprint="68ac446175")
    return [
        Sent("gitlab", "push", {"x-gitlab-event": "Push Hook"}, GITLAB_PUSH),
        Sent("gitlab", "merge request", {}, GITLAB_MERGE_REQUEST),
        Sent("gitlab", "pipeline", {}, GITLAB_PIPELINE),
        Sent("jenkins", "notification", {}, JENKINS_NOTIFICATION),
        Sent("jenkins", "generic event", {}, JENKINS_GENERIC),
        Sent("alertmanager", "one resolved", {}, alert_group(alert(), resolved)),
        Sent("s3", "minio", {}, MINIO),
        Sent("s3", "sns", {"content-type": "text/plain; charset=UTF-8"}, sns(MINIO)),
        Sent("s3", "sns of another", {}, sns("hello")),
        Sent("s3", "subscription", {}, SUBSCRIPTION),
        Sent("s3", "test event", {}, S3_TEST),
        Sent("cdevents", "in a CloudEvent", structured, cloudevent),
        Sent("standard-webhooks", "typed", standard, {"type": "user.created", "data": {"a": 1}}),
        Sent("generic", "named", {"x-headway-event": "landed"}, {"ref": "refs/heads/main"}),
    ]


def assert_well_formed(event: Event) -> None:
    """Check what all parts rely on in an event."""
    assert 1 <= len(event.id) <= MAX_ID
    for text in (event.source, event.type, event.name):
        assert isinstance(text, str)
        assert 1 <= len(text) <= MAX_TEXT
    assert event.subject is None or 1 <= len(event.subject) <= MAX_TEXT
    assert event.time is None or event.time.utcoffset() == timedelta(0)
    assert unportable(event.data) is None
    assert orjson.dumps(event.data)
    for name, value in event.extensions.items():
        assert name.isalnum()
        assert isinstance(value, str | int | bool)


def assert_normal(event: Event) -> None:
    """Check that every key of the normal form is there, and of its type or null."""
    assert set(event.data) - {"group"} == NORMAL
    for key in NORMAL - {"payload", "pull_request", "artifact"}:
        assert event.data[key] is None or isinstance(event.data[key], str), key
    for key, names in (("pull_request", PULL_REQUEST), ("artifact", ARTIFACT)):
        assert event.data[key] is None or set(event.data[key]) == names
