"""The form that every source gives its events, so that an expression need not know the sender."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict
from urllib.parse import urlsplit

from headway_coordinator.integrations.webhooks.proof import digest_of
from headway_coordinator.triggers.event import MAX_ID, MAX_TEXT, Event


class PullRequest(TypedDict):
    """A proposed change: pull request, merge request, change."""

    number: int | None
    title: str | None
    source: str | None
    target: str | None
    url: str | None
    merged: bool | None


class Artifact(TypedDict):
    """A thing that was made or stored: image, object, package, release."""

    name: str | None
    version: str | None
    digest: str | None
    url: str | None
    size_bytes: int | None


class Normal(TypedDict, total=False):
    """The keys beside `payload` that `event.data` always has; null where the sender is silent."""

    repository: str | None
    ref: str | None
    before: str | None
    after: str | None
    actor: str | None
    action: str | None
    status: str | None
    url: str | None
    pull_request: PullRequest | None
    artifact: Artifact | None


_KEYS = tuple(Normal.__annotations__)


def normal_form(payload: Any, normal: Normal) -> dict[str, Any]:
    """Return `event.data`: what was sent under `payload`, and beside it every key of the form."""
    found: Mapping[str, Any] = normal
    return {"payload": payload, **{key: found.get(key) for key in _KEYS}}


def make_event(
    id_: str,
    *,
    source: str,
    type_: str,
    name: str,
    data: Any,
    subject: str | None = None,
    time: datetime | None = None,
    extensions: Mapping[str, str | int | bool] | None = None,
) -> Event:
    """Return the event, with its attributes cut to the length that can be kept.

    An id that is too long becomes its digest: cut, it could be another event's.
    """
    return Event(
        id=id_ if len(id_) <= MAX_ID else digest_of(id_.encode("utf-8", "surrogatepass")),
        source=source[:MAX_TEXT],
        type=type_[:MAX_TEXT],
        subject=subject[:MAX_TEXT] if subject else None,
        time=time,
        data=data,
        name=name[:MAX_TEXT],
        extensions=dict(extensions or {}),
    )


def pull_request(
    number: int | None = None,
    title: str | None = None,
    source: str | None = None,
    target: str | None = None,
    url: str | None = None,
    merged: bool | None = None,
) -> PullRequest:
    return PullRequest(
        number=number, title=title, source=source, target=target, url=url, merged=merged
    )


def artifact(
    name: str | None = None,
    version: str | None = None,
    digest: str | None = None,
    url: str | None = None,
    size_bytes: int | None = None,
) -> Artifact:
    return Artifact(name=name, version=version, digest=digest, url=url, size_bytes=size_bytes)


def branch_ref(branch: str | None) -> str | None:
    """Return the full name of a branch: `refs/heads/main`."""
    return full_ref(branch, "heads")


def full_ref(short: str | None, kind: str) -> str | None:
    """Return the full name of a branch (`heads`) or tag (`tags`); one that is full stays so."""
    if short is None or short.startswith("refs/"):
        return short
    return f"refs/{kind}/{short}"


def origin_of(url: str | None) -> str | None:
    """Return scheme and host of an address, without what else it says; None if it has none."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme and host else None
