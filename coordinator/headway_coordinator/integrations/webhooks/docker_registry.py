"""The registry of Docker (Distribution): one event for each of the envelope.

Proven by the header Authorization that its configuration sets. The registry repeats an envelope
until it is taken; the ids inside make it the same, and two different ones different.
https://distribution.github.io/distribution/about/notifications/
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
    origin_of,
)
from headway_coordinator.integrations.webhooks.proof import CHALLENGE, check_authorization
from headway_coordinator.integrations.webhooks.reading import (
    first,
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


def verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> Verified | Refused:
    return check_authorization(request, secrets)


def events(request: HookRequest) -> list[Event]:
    return [_event(each) for each in objects_in(read_object(request.body), "events")]


def _event(body: dict[str, Any]) -> Event:
    action, id_ = text(body, "action"), text(body, "id")
    if action is None or id_ is None:
        raise MalformedEvent("an event has no `action` or no `id`", "is it the registry's?")
    repository = text(body, "target", "repository")
    tag, digest = text(body, "target", "tag"), text(body, "target", "digest")
    address = text(body, "target", "url")
    normal = Normal(
        repository=repository,
        actor=text(body, "actor", "name"),
        action=action,
        url=address,
        artifact=artifact(
            name=repository,
            version=tag,
            digest=digest,
            url=address,
            size_bytes=first(whole(body, "target", "size"), whole(body, "target", "length")),
        ),
    )
    return make_event(
        id_,
        source=_source(body, address, repository),
        type_=f"com.docker.distribution.{action}",
        name=action,
        subject=_subject(repository, tag, digest),
        time=moment(body, "timestamp"),
        data=normal_form(body, normal),
    )


def _source(body: dict[str, Any], address: str | None, repository: str | None) -> str:
    """Return the repository's address; several registries may report to the same hook."""
    server = origin_of(address) or text(body, "request", "host") or "docker-registry"
    return f"{server}/{repository}" if repository else server


def _subject(repository: str | None, tag: str | None, digest: str | None) -> str | None:
    if tag:
        return f"{repository}:{tag}"
    return f"{repository}@{digest}" if digest else repository


SOURCE = Source("docker-registry", verify, events, CHALLENGE)
