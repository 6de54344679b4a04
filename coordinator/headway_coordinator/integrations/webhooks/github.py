"""GitHub: repository, organization and app webhooks.

Proven by X-Hub-Signature-256 over the raw body. A delivery is named by X-GitHub-Delivery, which a
redelivery repeats: two dispatches with the same content have the same body and are two events.
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from headway_coordinator.integrations.webhooks.forming import (
    Artifact,
    Normal,
    PullRequest,
    artifact,
    branch_ref,
    full_ref,
    make_event,
    normal_form,
    origin_of,
    pull_request,
)
from headway_coordinator.integrations.webhooks.proof import check_body, digest_of, named
from headway_coordinator.integrations.webhooks.reading import (
    at,
    first,
    flag,
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

_FORM = "application/x-www-form-urlencoded"
_DELIVERY = "x-github-delivery"
# What an event is about, where its head, branch or state is not at the top of the body.
_SUBJECTS = ("workflow_run", "check_run", "check_suite", "workflow_job")


def verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> Verified | Refused:
    verdict = check_body("x-hub-signature-256", request, secrets)
    return named(verdict, request, _DELIVERY)


def events(request: HookRequest) -> list[Event]:
    kind = request.headers.get("x-github-event")
    if not kind:
        raise MalformedEvent("the header X-GitHub-Event is missing", "is the sender GitHub?")
    body = read_object(_document(request))
    action = text(body, "action")
    name = f"{kind}.{action}" if action else kind
    data = normal_form(body, _normal(body))
    number = whole(body, "pull_request", "number")
    return [
        make_event(
            request.headers.get(_DELIVERY) or digest_of(request.body),
            source=_source(body),
            type_=f"com.github.{name}",
            name=name,
            subject=f"pull/{number}" if number is not None else data["ref"],
            time=_time(body),
            data=data,
        )
    ]


def _document(request: HookRequest) -> bytes:
    """Return the JSON text: the body, or the field `payload` of a form."""
    if not request.headers.get("content-type", "").lower().startswith(_FORM):
        return request.body
    try:
        form = parse_qs(request.body.decode("ascii"), max_num_fields=8, errors="strict")
    except ValueError as error:
        raise MalformedEvent(f"the body is not a form: {str(error)[:100]}", _AS_JSON) from None
    fields = form.get("payload", [])
    if len(fields) != 1:
        raise MalformedEvent("the form does not have one field `payload`", _AS_JSON)
    return fields[0].encode("utf-8", "surrogatepass")


_AS_JSON = "choose the content type application/json at GitHub"


def _normal(body: dict[str, Any]) -> Normal:
    subject = first(*(at(body, key) for key in _SUBJECTS))
    return Normal(
        repository=text(body, "repository", "full_name"),
        ref=_ref(body, subject),
        before=first(
            text(body, "before"),
            text(body, "merge_group", "base_sha"),
            text(subject, "before"),
            text(subject, "check_suite", "before"),
        ),
        after=_after(body, subject),
        actor=first(text(body, "sender", "login"), text(body, "pusher", "name")),
        action=text(body, "action"),
        status=_status(body, subject),
        url=_url(body, subject),
        pull_request=_pull_request(at(body, "pull_request")),
        artifact=_artifact(body),
    )


def _ref(body: dict[str, Any], subject: Any) -> str | None:
    number = whole(body, "pull_request", "number")
    tag = text(body, "release", "tag_name")
    given = "tags" if text(body, "ref_type") == "tag" else "heads"
    return first(
        full_ref(text(body, "ref"), given),
        text(body, "merge_group", "head_ref"),
        f"refs/pull/{number}/head" if number is not None else None,
        full_ref(tag, "tags"),
        branch_ref(text(subject, "head_branch")),
        branch_ref(text(subject, "check_suite", "head_branch")),
    )


def _after(body: dict[str, Any], subject: Any) -> str | None:
    return first(
        text(body, "after"),
        text(body, "merge_group", "head_sha"),
        text(body, "pull_request", "head", "sha"),
        text(subject, "head_sha"),
        text(body, "deployment", "sha"),
        text(body, "comment", "commit_id"),
        text(body, "commit_oid"),
        text(body, "sha"),
    )


def _status(body: dict[str, Any], subject: Any) -> str | None:
    return first(
        text(subject, "conclusion"),
        text(subject, "status"),
        text(body, "deployment_status", "state"),
        text(body, "review", "state"),
        text(body, "state"),
        text(body, "status"),
    )


def _url(body: dict[str, Any], subject: Any) -> str | None:
    return first(
        text(body, "compare"),
        text(body, "comment", "html_url"),
        text(body, "review", "html_url"),
        text(body, "pull_request", "html_url"),
        text(body, "issue", "html_url"),
        text(body, "release", "html_url"),
        text(subject, "html_url"),
        text(body, "alert", "html_url"),
        text(body, "target_url"),
        text(body, "repository", "html_url"),
    )


def _pull_request(found: Any) -> PullRequest | None:
    if not isinstance(found, dict):
        return None
    return pull_request(
        number=whole(found, "number"),
        title=text(found, "title"),
        source=text(found, "head", "ref"),
        target=text(found, "base", "ref"),
        url=text(found, "html_url"),
        # Reviews and comments come with a shorter form, which has only the time of the merge.
        merged=first(flag(found, "merged"), text(found, "merged_at") is not None),
    )


def _artifact(body: dict[str, Any]) -> Artifact | None:
    package = first(at(body, "package"), at(body, "registry_package"))
    if isinstance(package, dict):
        version = at(package, "package_version")
        name = text(version, "name")
        return artifact(
            name=text(package, "name"),
            version=first(
                text(version, "container_metadata", "tag", "name"), text(version, "version")
            ),
            digest=name if name and name.startswith("sha256:") else None,
            url=first(text(version, "html_url"), text(package, "html_url")),
        )
    if text(body, "release", "tag_name") is not None:
        return artifact(
            name=text(body, "repository", "name"),
            version=text(body, "release", "tag_name"),
            url=text(body, "release", "html_url"),
        )
    return None


def _source(body: dict[str, Any]) -> str:
    """Return the address of the repository, else of the organization, else of the server."""
    address = text(body, "repository", "html_url")
    if address is not None:
        return address
    server = origin_of(text(body, "sender", "html_url")) or "https://github.com"
    organization = text(body, "organization", "login")
    return f"{server}/{organization}" if organization else server


def _time(body: dict[str, Any]) -> datetime | None:
    """Return when it happened, for the events that say it: a commit's time is not a push's."""
    if at(body, "pusher") is not None:
        return moment(body, "repository", "pushed_at")
    return first(
        moment(body, "pull_request", "updated_at"),
        moment(body, "workflow_run", "updated_at"),
        moment(body, "deployment_status", "updated_at"),
        moment(body, "deployment", "updated_at"),
        moment(body, "release", "published_at"),
        moment(body, "updated_at"),
    )


SOURCE = Source("github", verify, events)
