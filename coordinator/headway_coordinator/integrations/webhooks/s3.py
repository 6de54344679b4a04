"""Object stores: S3's notifications, by themselves or through SNS, and MinIO's.

Proven by `Authorization`, which MinIO sends from its auth_token and SNS from the user of an
address. Nothing is fetched: neither SNS's certificate nor what confirms a subscription.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from headway_coordinator.integrations.webhooks.forming import (
    Normal,
    artifact,
    make_event,
    normal_form,
)
from headway_coordinator.integrations.webhooks.proof import (
    CHALLENGE,
    check_authorization,
    digest_of,
    named,
)
from headway_coordinator.integrations.webhooks.reading import (
    at,
    moment,
    objects_in,
    read_object,
    text,
    whole,
)
from headway_coordinator.triggers.event import Event
from headway_coordinator.triggers.hooks import (
    HookRequest,
    MalformedEvent,
    Refused,
    Source,
    Verified,
)

_CONFIRMATIONS = {
    "SubscriptionConfirmation": "subscription",
    "UnsubscribeConfirmation": "unsubscription",
}


def verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> Verified | Refused:
    verdict = check_authorization(request, secrets)
    return named(verdict, request, "x-amz-sns-message-id")


def events(request: HookRequest) -> list[Event]:
    body = read_object(request.body)
    kind = text(body, "Type")
    if kind in _CONFIRMATIONS:
        return [_from_sns(body, _CONFIRMATIONS[kind])]
    if kind == "Notification":
        inside = _inside(body)
        return [_from_sns(body, "notification")] if inside is None else _stored(inside)
    return _stored(body)


def _stored(body: dict[str, Any]) -> list[Event]:
    if "Records" in body:
        return [_record(each) for each in objects_in(body, "Records")]
    if text(body, "EventName") is not None:
        return [_without_record(body)]
    if _is_test(body):
        return [_test(body)]
    raise MalformedEvent("no record of an object is there", "is the sender an object store?")


def _inside(envelope: dict[str, Any]) -> dict[str, Any] | None:
    """Return the object store's message that SNS carries as text; None for another's."""
    message = text(envelope, "Message") or ""
    try:
        found = read_object(message.encode("utf-8", "surrogatepass"), "the `Message`")
    except MalformedEvent:
        return None
    is_stores = "Records" in found or "EventName" in found or _is_test(found)
    return found if is_stores else None


def _is_test(body: dict[str, Any]) -> bool:
    return text(body, "Event") == "s3:TestEvent"


def _record(record: dict[str, Any]) -> Event:
    bucket = text(record, "s3", "bucket", "name")
    sent_key = text(record, "s3", "object", "key")
    name = text(record, "eventName")
    if bucket is None or sent_key is None or name is None:
        hint = "is the sender an object store?"
        raise MalformedEvent("a record lacks its event, bucket or key", hint)
    # Keys come encoded as in forms: `a+b` is `a b`.
    key = unquote_plus(sent_key, errors="replace")
    version = text(record, "s3", "object", "versionId")
    return _event(
        record,
        _identity(record),
        name=_short(name),
        bucket=bucket,
        key=key,
        version=version,
        size=whole(record, "s3", "object", "size"),
        actor=text(record, "userIdentity", "principalId"),
        time=moment(record, "eventTime"),
    )


def _without_record(body: dict[str, Any]) -> Event:
    """Return the event of a MinIO notification that says no more than its name and key."""
    bucket, _, key = (text(body, "Key") or "").partition("/")
    if not bucket or not key:
        raise MalformedEvent("`Key` does not name a bucket and a key", "is the sender MinIO?")
    id_ = digest_of(json.dumps(body, sort_keys=True).encode())
    return _event(body, id_, name=_short(body["EventName"]), bucket=bucket, key=key)


def _event(
    payload: dict[str, Any],
    id_: str,
    *,
    name: str,
    bucket: str,
    key: str,
    version: str | None = None,
    size: int | None = None,
    actor: str | None = None,
    time: datetime | None = None,
) -> Event:
    address = f"s3://{bucket}/{key}"
    made = artifact(name=key, version=version, url=address, size_bytes=size)
    normal = Normal(actor=actor, action=name, url=address, artifact=made)
    return make_event(
        id_,
        source=f"s3://{bucket}",
        type_=f"com.amazonaws.s3.{name}",
        name=name,
        subject=key,
        time=time,
        data=normal_form(payload, normal),
    )


def _short(name: str) -> str:
    """Return `ObjectCreated.Put` for `ObjectCreated:Put` and `s3:ObjectCreated:Put`."""
    return name.removeprefix("s3:").replace(":", ".")


def _identity(record: dict[str, Any]) -> str:
    """Return the same for the same change, which stores may tell several times.

    The sequencer orders the changes of a key. Events without one are told apart by all they say.
    """
    changed = at(record, "s3", "object")
    sequencer = text(changed, "sequencer")
    if sequencer is None:
        return digest_of(json.dumps(record, sort_keys=True).encode())
    parts = (
        record["eventName"],
        record["s3"]["bucket"]["name"],
        changed["key"],
        text(changed, "versionId") or "",
        sequencer,
    )
    return digest_of(*(str(part).encode() for part in parts))


def _from_sns(body: dict[str, Any], name: str) -> Event:
    """Return what SNS says itself, or carries for another.

    Before it sends anything, somebody must open the address that a `subscription` names.
    """
    normal = Normal(action=name, url=text(body, "SubscribeURL"))
    return make_event(
        text(body, "MessageId") or digest_of(json.dumps(body, sort_keys=True).encode()),
        source=text(body, "TopicArn") or "sns",
        type_=f"com.amazonaws.sns.{name}",
        name=name,
        time=moment(body, "Timestamp"),
        data=normal_form(body, normal),
    )


def _test(body: dict[str, Any]) -> Event:
    """Return what S3 sends once when notifications are set up."""
    bucket = text(body, "Bucket") or "unknown"
    return make_event(
        digest_of(json.dumps(body, sort_keys=True).encode()),
        source=f"s3://{bucket}",
        type_="com.amazonaws.s3.TestEvent",
        name="TestEvent",
        time=moment(body, "Time"),
        data=normal_form(body, Normal(action="TestEvent", url=f"s3://{bucket}")),
    )


SOURCE = Source("s3", verify, events, CHALLENGE)
