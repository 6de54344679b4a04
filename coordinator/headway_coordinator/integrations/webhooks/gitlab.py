"""GitLab: project, group and system hooks.

Proven by the secret token in X-Gitlab-Token, or, where the hook has a signing token, by a signature
as Standard Webhooks has it. A signature decides alone as soon as one of the secrets is a signing
key: a hook may have both, and only the signature covers the body and the time.
https://docs.gitlab.com/user/project/integrations/webhooks/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headway_coordinator.integrations.webhooks.forming import (
    Artifact,
    Normal,
    PullRequest,
    artifact,
    full_ref,
    make_event,
    normal_form,
    pull_request,
)
from headway_coordinator.integrations.webhooks.proof import (
    check_standard,
    check_token,
    delivery_name,
    digest_of,
    is_signing_key,
)
from headway_coordinator.integrations.webhooks.reading import (
    at,
    first,
    moment,
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
    is_signed = bool(request.headers.get("webhook-signature"))
    if is_signed and any(is_signing_key(secret) for secret in secrets):
        return check_standard(request, secrets, now)
    verdict = check_token("x-gitlab-token", request, secrets)
    return verdict if isinstance(verdict, Refused) else Verified(_delivery(request))


def _delivery(request: HookRequest) -> str:
    """Return what names the delivery, the same for GitLab's own retries.

    X-Gitlab-Event-UUID alone does not: hooks that are caused by other hooks share it.
    """
    key = first(request.headers.get("webhook-id"), request.headers.get("idempotency-key"))
    if key:
        return delivery_name(key)
    return digest_of(request.headers.get("x-gitlab-event-uuid", "").encode(), request.body)


def events(request: HookRequest) -> list[Event]:
    body = read_object(request.body)
    kind = first(text(body, "object_kind"), text(body, "event_name"), _kind_of_header(request))
    if kind is None:
        raise MalformedEvent("neither object_kind nor event_name is there", "is it GitLab's?")
    change = first(_action(body), _status(body))
    name = f"{kind}.{change}" if change else kind
    data = normal_form(body, _normal(body))
    return [
        make_event(
            _delivery(request),
            source=_source(request, body),
            type_=f"com.gitlab.{name}",
            name=name,
            subject=_subject(body) or data["ref"],
            time=_time(body),
            data=data,
        )
    ]


def _kind_of_header(request: HookRequest) -> str | None:
    """Return `merge_request` for `Merge Request Hook`."""
    given = request.headers.get("x-gitlab-event", "").removesuffix("Hook").strip()
    return given.lower().replace(" ", "_") or None


def _normal(body: dict[str, Any]) -> Normal:
    about = at(body, "object_attributes")
    return Normal(
        repository=text(body, "project", "path_with_namespace"),
        ref=_ref(body),
        before=first(text(body, "before"), text(about, "oldrev"), text(about, "before_sha")),
        after=first(
            text(body, "after"),
            text(about, "last_commit", "id"),
            text(about, "sha"),
            text(about, "commit_id"),
            text(body, "sha"),
            text(body, "commit", "id"),
        ),
        actor=first(
            text(body, "user", "username"), text(body, "user_username"), text(body, "user_name")
        ),
        action=_action(body),
        status=_status(body),
        url=first(text(about, "url"), text(body, "url"), text(body, "project", "web_url")),
        pull_request=_pull_request(body),
        artifact=_artifact(body),
    )


def _action(body: dict[str, Any]) -> str | None:
    return first(text(body, "object_attributes", "action"), text(body, "action"))


def _status(body: dict[str, Any]) -> str | None:
    return first(
        text(body, "object_attributes", "status"),
        text(body, "build_status"),
        text(body, "status"),
        text(body, "object_attributes", "state"),
    )


def _ref(body: dict[str, Any]) -> str | None:
    about = at(body, "object_attributes")
    is_tag = at(about, "tag") is True or at(body, "tag") is True
    number = _number(body)
    return first(
        full_ref(first(text(body, "ref"), text(about, "ref")), "tags" if is_tag else "heads"),
        f"refs/merge-requests/{number}/head" if number is not None else None,
        full_ref(text(body, "tag"), "tags"),
    )


def _request_in(body: dict[str, Any]) -> Any:
    """Return the merge request that the event is about, or that was commented or built."""
    is_one = text(body, "object_kind") == "merge_request"
    return at(body, "object_attributes") if is_one else at(body, "merge_request")


def _number(body: dict[str, Any]) -> int | None:
    return whole(_request_in(body), "iid")


def _subject(body: dict[str, Any]) -> str | None:
    number = _number(body)
    return f"merge_requests/{number}" if number is not None else None


def _pull_request(body: dict[str, Any]) -> PullRequest | None:
    found = _request_in(body)
    if not isinstance(found, dict):
        return None
    state = text(found, "state")
    return pull_request(
        number=whole(found, "iid"),
        title=text(found, "title"),
        source=text(found, "source_branch"),
        target=text(found, "target_branch"),
        url=text(found, "url"),
        merged=None if state is None else state == "merged",
    )


def _artifact(body: dict[str, Any]) -> Artifact | None:
    if text(body, "object_kind") != "release":
        return None
    return artifact(
        name=text(body, "project", "name"), version=text(body, "tag"), url=text(body, "url")
    )


def _source(request: HookRequest, body: dict[str, Any]) -> str:
    instance = request.headers.get("x-gitlab-instance") or "https://gitlab.com"
    return text(body, "project", "web_url") or instance


def _time(body: dict[str, Any]) -> datetime | None:
    about = at(body, "object_attributes")
    return first(
        moment(about, "finished_at"),
        moment(about, "updated_at"),
        moment(about, "created_at"),
        moment(body, "status_changed_at"),
        moment(body, "released_at"),
        moment(body, "build_finished_at"),
    )


SOURCE = Source("gitlab", verify, events)
