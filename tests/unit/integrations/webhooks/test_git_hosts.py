"""What GitHub and GitLab say, in the normal form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from headway_coordinator.integrations.webhooks import SOURCES, HookRequest, MalformedEvent, Verified
from headway_coordinator.triggers.event import Event
from tests.unit.integrations.webhooks.requests import (
    GITLAB_MERGE_REQUEST,
    GITLAB_PIPELINE,
    GITLAB_PUSH,
    NOW,
    SECRET,
    ask,
    github,
    hub_signature,
)

BODIES = {sent.title: sent.body for sent in github()}


def from_github(kind: str, body: Any = None, **headers: str) -> Event:
    request = ask(BODIES[kind] if body is None else body, x_github_event=kind, **headers)
    [event] = SOURCES["github"].events(request)
    return event


def from_gitlab(body: Any, **headers: str) -> Event:
    [event] = SOURCES["gitlab"].events(ask(body, **headers))
    return event


def test_a_push_to_github() -> None:
    event = from_github("push", x_github_delivery="72d3162e")
    assert (event.id, event.name, event.type) == ("72d3162e", "push", "com.github.push")
    assert event.source == "https://github.com/Codertocat/Hello-World"
    assert event.subject == "refs/tags/simple-tag"
    # When it was pushed; the commit is 16 s older, and could be years.
    assert event.time == datetime(2019, 5, 15, 15, 20, 57, tzinfo=UTC)
    data = event.data
    assert data["payload"] == BODIES["push"]
    assert data["repository"] == "Codertocat/Hello-World"
    assert data["ref"] == "refs/tags/simple-tag"
    assert data["before"] == "0" * 40
    assert data["after"] == "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
    assert data["actor"] == "Codertocat"
    assert data["action"] is None
    assert data["pull_request"] is None


def test_a_pull_request_at_github() -> None:
    event = from_github("pull_request")
    assert event.name == "pull_request.opened"
    assert event.is_called("pull_request")
    assert event.subject == "pull/2"
    assert event.data["ref"] == "refs/pull/2/head"
    assert event.data["action"] == "opened"
    assert event.data["pull_request"] == {
        "number": 2,
        "title": "Update the README with new information.",
        "source": "changes",
        "target": "master",
        "url": "https://github.com/Codertocat/Hello-World/pull/2",
        "merged": False,
    }


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("create", "ref", "refs/tags/simple-tag"),
        ("delete", "ref", "refs/tags/simple-tag"),
        ("workflow_dispatch", "ref", "refs/heads/main"),
        ("release", "ref", "refs/tags/0.0.1"),
        ("check_suite", "ref", "refs/heads/changes"),
        ("check_run", "after", "ec26c3e57ca3a959ca5aad62de7213c562f8c821"),
        ("check_suite", "status", "success"),
        ("workflow_run", "status", "queued"),
        ("deployment", "after", "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"),
        ("deployment_status", "status", "success"),
        ("status", "after", "6113728f27ae82c7b1a177c8d03f9e96e0adf246"),
        ("status", "status", "success"),
        ("issue_comment", "actor", "Codertocat"),
        ("security_advisory", "actor", None),
    ],
)
def test_other_events_of_github_where_they_say_it(kind: str, key: str, value: str | None) -> None:
    assert from_github(kind).data[key] == value


def test_packages_and_releases_of_github_are_artifacts() -> None:
    package = from_github("package").data["artifact"]
    assert (package["name"], package["version"]) == ("hello-world-npm", "1.0.0")
    assert package["digest"].startswith("sha256:3da1996a")
    release = from_github("release").data["artifact"]
    assert (release["name"], release["version"]) == ("Hello-World", "0.0.1")


def test_what_belongs_to_no_repository_comes_from_the_organization_or_the_server() -> None:
    assert from_github("organization").source == "https://github.com/Octocoders"
    assert from_github("installation").source == "https://github.com"
    own = {"sender": {"login": "me", "html_url": "https://git.example.com/me"}}
    assert from_github("x", own).source == "https://git.example.com"


def test_an_event_that_github_will_invent_is_an_event() -> None:
    event = from_github("quantum_entangled", {"action": "began", "what": [1, 2]})
    assert (event.name, event.type) == (
        "quantum_entangled.began",
        "com.github.quantum_entangled.began",
    )
    assert event.data["ref"] is None


def test_githubs_form_is_read_after_its_own_bytes_were_proven() -> None:
    body = urlencode({"payload": json.dumps(BODIES["push"])}).encode()
    request = ask(
        body,
        content_type="application/x-www-form-urlencoded",
        x_github_event="push",
        x_hub_signature_256=hub_signature(body),
    )
    assert isinstance(SOURCES["github"].verify(request, [SECRET], NOW), Verified)
    [event] = SOURCES["github"].events(request)
    assert event.data == from_github("push").data


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"payload=", b"other=1", b"payload={}&payload={}", b"payload=%ff", b"\xff"),
        *(b"payload=%7B", b"payload=[]", b"&" * 100, b"payload=%22%ED%A0%80%22"),
    ],
)
def test_a_form_without_a_payload_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedEvent):
        SOURCES["github"].events(
            HookRequest(
                headers={
                    "content-type": "application/x-www-form-urlencoded; charset=utf-8",
                    "x-github-event": "push",
                },
                body=body,
            )
        )


def test_without_its_header_no_event_is_githubs() -> None:
    with pytest.raises(MalformedEvent, match="X-GitHub-Event"):
        SOURCES["github"].events(ask(BODIES["push"]))


def test_a_push_to_gitlab() -> None:
    event = from_gitlab(GITLAB_PUSH, idempotency_key="f5e5f430")
    assert (event.id, event.name, event.type) == ("f5e5f430", "push", "com.gitlab.push")
    assert event.source == "https://gitlab.example.com/shop/sales"
    assert event.data["repository"] == "shop/sales"
    assert event.data["ref"] == "refs/heads/main"
    assert event.data["after"].startswith("da15608")
    assert event.data["actor"] == "jane"
    assert event.time is None


def test_a_merge_request_at_gitlab() -> None:
    event = from_gitlab(GITLAB_MERGE_REQUEST)
    assert event.name == "merge_request.merge"
    assert event.subject == "merge_requests/7"
    assert event.time == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert event.data["ref"] == "refs/merge-requests/7/head"
    assert event.data["after"] == "da1560886d4f"
    assert event.data["pull_request"] == {
        "number": 7,
        "title": "Sell more",
        "source": "more",
        "target": "main",
        "url": "https://gitlab.example.com/shop/sales/-/merge_requests/7",
        "merged": True,
    }


def test_a_pipeline_of_a_tag_at_gitlab() -> None:
    event = from_gitlab(GITLAB_PIPELINE)
    assert event.name == "pipeline.success"
    assert event.data["ref"] == "refs/tags/v1"
    assert event.data["status"] == "success"
    assert event.time == datetime(2026, 11, 23, 8, tzinfo=UTC)


def test_a_release_at_gitlab_is_an_artifact() -> None:
    body = {
        "object_kind": "release",
        "action": "create",
        "tag": "v1.1",
        "url": "https://gitlab.example.com/shop/sales/-/releases/v1.1",
        "project": GITLAB_PUSH["project"],
        "commit": {"id": "ee0a3fb"},
    }
    data = from_gitlab(body).data
    assert data["ref"] == "refs/tags/v1.1"
    assert data["after"] == "ee0a3fb"
    assert (data["artifact"]["name"], data["artifact"]["version"]) == ("sales", "v1.1")


def test_gitlabs_header_names_an_event_whose_body_does_not() -> None:
    assert from_gitlab({}, x_gitlab_event="Feature Flag Hook").name == "feature_flag"
    with pytest.raises(MalformedEvent, match="object_kind"):
        from_gitlab({})


@pytest.mark.parametrize("number", [True, "7", 7.5, None, [7]])
def test_what_is_of_another_type_is_as_if_it_were_not_there(number: Any) -> None:
    body = {**GITLAB_MERGE_REQUEST, "object_attributes": {"iid": number, "title": ["no"]}}
    change = from_gitlab(body).data["pull_request"]
    assert change["number"] is None
    assert change["title"] is None
