"""Standard Webhooks: any sender that signs as the specification says.

Proven by webhook-signature over id, time and body, with a window of five minutes; the id names the
delivery and the event. https://www.standardwebhooks.com/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headway_coordinator.integrations.webhooks.forming import make_event, normal_form
from headway_coordinator.integrations.webhooks.generic import said_by
from headway_coordinator.integrations.webhooks.proof import check_standard, digest_of
from headway_coordinator.integrations.webhooks.reading import first, moment, read_json, text
from headway_coordinator.triggers.event import Event
from headway_coordinator.triggers.hooks import HookRequest, Refused, Source, Verified

_SECONDS = "webhook-timestamp"


def verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> Verified | Refused:
    return check_standard(request, secrets, now)


def events(request: HookRequest) -> list[Event]:
    body = read_json(request.body)
    name = text(body, "type") or "event"
    return [
        make_event(
            request.headers.get("webhook-id") or digest_of(request.body),
            source=text(body, "source") or "urn:headway:hook:standard-webhooks",
            type_=name,
            name=name,
            time=first(moment(body, "timestamp"), _signed_time(request)),
            data=normal_form(body, said_by(body)),
        )
    ]


def _signed_time(request: HookRequest) -> datetime | None:
    given = request.headers.get(_SECONDS, "")
    return moment(int(given)) if given.isascii() and given.isdigit() and len(given) < 13 else None


SOURCE = Source("standard-webhooks", verify, events)
