"""Alertmanager of Prometheus, webhook version 4: one event for each alert of the group.

An alert's firing is one event, however often its group is sent again, and with whichever other
alerts: the id is made of its fingerprint, its start and its own status, which a group that is
`firing` does not tell.
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headway_coordinator.integrations.webhooks.forming import Normal, make_event, normal_form
from headway_coordinator.integrations.webhooks.proof import (
    CHALLENGE,
    check_authorization,
    digest_of,
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

_MOST_OF_GROUP = 16 * 1024


def verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> Verified | Refused:
    return check_authorization(request, secrets)


def events(request: HookRequest) -> list[Event]:
    body = read_object(request.body)
    alerts = objects_in(body, "alerts")
    group = _group(body)
    source = text(body, "externalURL") or "alertmanager"
    return [_event(alert, group, source) for alert in alerts]


def _group(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the alerts have in common; small, since every event carries it."""
    group = {
        "receiver": text(body, "receiver"),
        "status": text(body, "status"),
        "key": text(body, "groupKey"),
        "labels": at(body, "groupLabels"),
        "truncated": whole(body, "truncatedAlerts"),
    }
    if len(json.dumps(group)) > _MOST_OF_GROUP:
        raise MalformedEvent("what names the group is over 16 KiB", "group by fewer labels")
    return group


def _event(alert: dict[str, Any], group: dict[str, Any], source: str) -> Event:
    status = text(alert, "status")
    if status not in ("firing", "resolved"):
        raise MalformedEvent("an alert is neither firing nor resolved", "is it Alertmanager's?")
    normal = Normal(action=status, status=status, url=text(alert, "generatorURL"))
    return make_event(
        _identity(alert, status),
        source=source,
        type_=f"io.prometheus.alert.{status}",
        name=status,
        subject=text(alert, "labels", "alertname"),
        time=moment(alert, "startsAt" if status == "firing" else "endsAt"),
        data={**normal_form(alert, normal), "group": group},
    )


def _identity(alert: dict[str, Any], status: str) -> str:
    fingerprint, start = text(alert, "fingerprint"), text(alert, "startsAt")
    if fingerprint is None or start is None:
        return digest_of(json.dumps(alert, sort_keys=True).encode())
    return f"{fingerprint}/{start}/{status}"


SOURCE = Source("alertmanager", verify, events, CHALLENGE, has_lasting_ids=True)
