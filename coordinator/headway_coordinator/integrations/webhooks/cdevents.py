"""CDEvents: events of delivery systems, by themselves or inside CloudEvents.

The specification knows no proof; X-Headway-Signature or Authorization, as for `generic`. Id,
source, type and time are always those of the document's context: in binary mode no signature covers
the headers. https://cdevents.dev/docs/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from headway_coordinator.integrations.webhooks import cloudevents
from headway_coordinator.integrations.webhooks.forming import (
    Artifact,
    Normal,
    PullRequest,
    artifact,
    branch_ref,
    make_event,
    normal_form,
    pull_request,
)
from headway_coordinator.integrations.webhooks.generic import check_headway
from headway_coordinator.integrations.webhooks.proof import CHALLENGE
from headway_coordinator.integrations.webhooks.reading import (
    at,
    first,
    moment,
    read_object,
    text,
)
from headway_coordinator.triggers.event import Event
from headway_coordinator.triggers.hooks import (
    HookRequest,
    MalformedEvent,
    Refused,
    Source,
    Verified,
)

# `dev.cdeventsx` is what a tool of its own says in the same form: `dev.cdeventsx.tool-object.done`.
_TYPE = re.compile(
    r"dev\.cdeventsx?\.(?P<subject>[a-z0-9-]+)\.(?P<predicate>[a-z0-9]+)\.\d+\.\d+\.\d+(-[\w.]+)?",
    re.ASCII,
)
_PURL = re.compile(r"pkg:[^/@?#]+/(?P<name>[^@?#]+)(@(?P<version>[^?#]+))?(\?[^#]*)?(#.*)?")
_HINT = "https://cdevents.dev/docs/ says what each event holds"


def verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> Verified | Refused:
    return check_headway(request, secrets)


def events(request: HookRequest) -> list[Event]:
    if not cloudevents.is_cloudevent(request.headers):
        return [_event(read_object(request.body), {})]
    found = cloudevents.parse(request.headers, request.body)
    return [_event(each.data, each.extensions) for each in found]


def _event(document: Any, extensions: Mapping[str, str | int | bool]) -> Event:
    context = at(document, "context")
    type_ = _required(context, "type")
    matched = _TYPE.fullmatch(type_)
    if matched is None:
        raise MalformedEvent("`context.type` is not that of a CDEvent", _HINT)
    time = moment(_required(context, "timestamp"))
    if time is None:
        raise MalformedEvent("`context.timestamp` is not a time", _HINT)
    subject, predicate = matched["subject"], matched["predicate"]
    about = at(document, "subject")
    return make_event(
        _required(context, "id"),
        source=_required(context, "source"),
        type_=type_,
        name=f"{subject}.{predicate}",
        subject=_required(about, "id"),
        time=time,
        data=normal_form(document, _normal(subject, predicate, about)),
        extensions=extensions,
    )


def _required(owner: Any, key: str) -> str:
    found = text(owner, key)
    if found is None:
        raise MalformedEvent(f"`{key}` of the context or subject is missing", _HINT)
    return found


def _normal(subject: str, predicate: str, about: Any) -> Normal:
    content = at(about, "content")
    return Normal(
        repository=_repository(subject, about, content),
        ref=branch_ref(text(about, "id")) if subject == "branch" else None,
        actor=_actor(content),
        action=predicate,
        status=first(text(content, "outcome"), text(content, "status"), text(content, "decision")),
        url=first(*(text(content, key) for key in ("uri", "url", "viewUrl", "ticketURI"))),
        pull_request=_change(predicate, content) if subject == "change" else None,
        artifact=_artifact(subject, about, content),
    )


def _repository(subject: str, about: Any, content: Any) -> str | None:
    if subject != "repository":
        return text(content, "repository", "id")
    owner, name = text(content, "owner"), text(content, "name")
    return f"{owner}/{name}" if owner and name else first(name, text(about, "id"))


def _actor(content: Any) -> str | None:
    keys = ("user", "responder", "requestor", "updatedBy", "creator")
    return first(*(text(content, key) for key in keys))


def _change(predicate: str, content: Any) -> PullRequest:
    return pull_request(title=text(content, "description"), merged=predicate == "merged")


def _artifact(subject: str, about: Any, content: Any) -> Artifact | None:
    """Return the package that the event is about, or that it names, from its package URL."""
    named = text(about, "id") if subject == "artifact" else text(content, "artifactId")
    matched = _PURL.fullmatch(named) if named else None
    if matched is None:
        return None
    version = unquote(matched["version"]) if matched["version"] else None
    return artifact(
        name=unquote(matched["name"]),
        version=version,
        digest=version if version and version.startswith("sha256:") else None,
        url=named,
    )


SOURCE = Source("cdevents", verify, events, CHALLENGE)
