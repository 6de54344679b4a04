"""Jenkins: what the plugins Notification and Generic Event send.

Neither signs. The Notification plugin turns the user of an address (`https://x:SECRET@…`) into
`Authorization: Basic`. The Generic Event plugin can send no header of one's choice, so something
between must add X-Jenkins-Token. Neither repeats a delivery; a body that comes twice is one.
https://plugins.jenkins.io/notification, https://plugins.jenkins.io/generic-event
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headway_coordinator.integrations.webhooks.forming import (
    Artifact,
    Normal,
    artifact,
    branch_ref,
    make_event,
    normal_form,
)
from headway_coordinator.integrations.webhooks.proof import (
    CHALLENGE,
    check_authorization,
    check_token,
    digest_of,
)
from headway_coordinator.integrations.webhooks.reading import (
    at,
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

_TOKEN = "x-jenkins-token"
_BUILD_NUMBER = re.compile(r"[0-9]+/?$")


def verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> Verified | Refused:
    if request.headers.get(_TOKEN):
        return check_token(_TOKEN, request, secrets)
    return check_authorization(request, secrets)


def events(request: HookRequest) -> list[Event]:
    body = read_object(request.body)
    if isinstance(at(body, "build"), dict):
        return [_notification(request, body)]
    if text(body, "type") is not None and "data" in body:
        return [_generic(request, body)]
    hint = "the Notification plugin's format must be JSON"
    raise MalformedEvent("neither a build nor an event of the known plugins is there", hint)


def _notification(request: HookRequest, body: dict[str, Any]) -> Event:
    """Return the event of the Notification plugin, called `finalized.failure` or `started`."""
    build = body["build"]
    phase = (text(build, "phase") or "build").lower()
    status = _lower(text(build, "status"))
    name = f"{phase}.{status}" if status else phase
    address = text(build, "full_url")
    job = _BUILD_NUMBER.sub("", address) if address else text(body, "url")
    normal = Normal(
        repository=text(build, "scm", "url"),
        ref=_ref(text(build, "scm", "branch")),
        after=text(build, "scm", "commit"),
        action=phase,
        status=status,
        url=address,
        artifact=_artifact(at(build, "artifacts")),
    )
    return make_event(
        digest_of(request.body),
        source=job or "jenkins",
        type_=f"io.jenkins.build.{name}",
        name=name,
        subject=text(body, "name"),
        time=moment(build, "timestamp"),
        data=normal_form(body, normal),
    )


def _generic(request: HookRequest, body: dict[str, Any]) -> Event:
    """Return the event of the Generic Event plugin, called as it says: `run.completed`."""
    kind = body["type"]
    normal = Normal(
        action=kind,
        status=_lower(text(body, "data", "result")),
        url=text(body, "data", "url"),
    )
    return make_event(
        text(body, "id") or digest_of(request.body),
        source=text(body, "source") or "jenkins",
        type_=f"io.jenkins.{kind}",
        name=kind,
        subject=text(body, "data", "fullDisplayName"),
        time=moment(body, "time"),
        data=normal_form(body, normal),
    )


def _lower(value: str | None) -> str | None:
    return value.lower() if value else None


def _ref(branch: str | None) -> str | None:
    """Return `refs/heads/main` for `origin/main`, as Jenkins names branches."""
    return branch_ref(branch.removeprefix("origin/")) if branch else None


def _artifact(found: Any) -> Artifact | None:
    """Return the artifact of a build that has a single one; of several, none is *the* artifact."""
    if not isinstance(found, dict) or len(found) != 1:
        return None
    [(name, places)] = found.items()
    return artifact(name=name, url=text(places, "archive") or text(places, "s3"))


SOURCE = Source("jenkins", verify, events, CHALLENGE)
