"""Any sender that can set a header: scripts, and systems without a scheme of their own.

Proven by X-Headway-Signature, the HMAC of the raw body, or by a token in Authorization. A body may
use the names of the normal form, which are then taken over. X-Headway-Delivery names the delivery;
without it the same body is the same delivery, so a sender that repeats itself on purpose sets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headway_coordinator.integrations.webhooks.forming import (
    Normal,
    artifact,
    make_event,
    normal_form,
    pull_request,
)
from headway_coordinator.integrations.webhooks.proof import (
    CHALLENGE,
    check_authorization,
    check_body,
    digest_of,
    named,
)
from headway_coordinator.integrations.webhooks.reading import (
    at,
    flag,
    moment,
    read_json,
    text,
    whole,
)
from headway_coordinator.triggers.event import Event
from headway_coordinator.triggers.hooks import HookRequest, Refused, Source, Verified

SIGNATURE = "x-headway-signature"
DELIVERY = "x-headway-delivery"


def verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> Verified | Refused:
    return named(check_headway(request, secrets), request, DELIVERY)


def check_headway(request: HookRequest, secrets: Sequence[str]) -> Verified | Refused:
    """Prove the request by X-Headway-Signature; only where there is none, by Authorization."""
    if request.headers.get(SIGNATURE):
        return check_body(SIGNATURE, request, secrets)
    return check_authorization(request, secrets)


def events(request: HookRequest) -> list[Event]:
    body = read_json(request.body)
    name = request.headers.get("x-headway-event") or text(body, "event") or "event"
    return [
        make_event(
            request.headers.get(DELIVERY) or text(body, "id") or digest_of(request.body),
            source=text(body, "source") or "urn:headway:hook:generic",
            type_=text(body, "type") or name,
            name=name,
            subject=text(body, "subject"),
            time=moment(body, "time"),
            data=normal_form(body, said_by(body)),
        )
    ]


def said_by(body: Any) -> Normal:
    """Return what a body says in the words of the normal form, of the right type alone."""
    change, made = at(body, "pull_request"), at(body, "artifact")
    return Normal(
        repository=text(body, "repository"),
        ref=text(body, "ref"),
        before=text(body, "before"),
        after=text(body, "after"),
        actor=text(body, "actor"),
        action=text(body, "action"),
        status=text(body, "status"),
        url=text(body, "url"),
        pull_request=pull_request(
            number=whole(change, "number"),
            title=text(change, "title"),
            source=text(change, "source"),
            target=text(change, "target"),
            url=text(change, "url"),
            merged=flag(change, "merged"),
        )
        if isinstance(change, dict)
        else None,
        artifact=artifact(
            name=text(made, "name"),
            version=text(made, "version"),
            digest=text(made, "digest"),
            url=text(made, "url"),
            size_bytes=whole(made, "size_bytes"),
        )
        if isinstance(made, dict)
        else None,
    )


SOURCE = Source("generic", verify, events, CHALLENGE)
