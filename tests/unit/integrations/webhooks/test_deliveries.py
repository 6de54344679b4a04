"""Which deliveries are the same: repeated by the sender, and never two different ones."""

from __future__ import annotations

from typing import Any

import pytest

from headway_coordinator.integrations.webhooks import SOURCES, Verified
from tests.unit.integrations.webhooks.requests import (
    GITLAB_PUSH,
    MINIO,
    NOW,
    SECRET,
    as_bytes,
    ask,
    hub_signature,
    sns,
)


def delivery(source: str, body: Any, **headers: str) -> str:
    raw = as_bytes(body)
    proof = {
        "authorization": f"Bearer {SECRET}",
        "x_hub_signature_256": hub_signature(raw),
        "x_gitlab_token": SECRET,
    }
    found = SOURCES[source].verify(ask(raw, **proof, **headers), [SECRET], NOW)
    assert isinstance(found, Verified), found
    return found.delivery


def test_githubs_is_named_by_its_header() -> None:
    assert delivery("github", {}, x_github_delivery="a") == "a"
    assert delivery("github", {}) != delivery("github", {"b": 1})


def test_gitlabs_retries_are_the_same_and_hooks_caused_by_hooks_are_not() -> None:
    shared = {"x_gitlab_event_uuid": "one"}
    first = delivery("gitlab", GITLAB_PUSH, **shared)
    assert delivery("gitlab", GITLAB_PUSH, **shared) == first
    assert delivery("gitlab", {**GITLAB_PUSH, "ref": "refs/heads/b"}, **shared) != first
    assert delivery("gitlab", GITLAB_PUSH, x_gitlab_event_uuid="two") != first
    assert delivery("gitlab", GITLAB_PUSH, **shared, idempotency_key="key") == "key"


@pytest.mark.parametrize("source", ["alertmanager", "docker-registry", "jenkins", "s3", "cdevents"])
def test_without_a_name_the_same_body_is_the_same_delivery(source: str) -> None:
    assert delivery(source, {"a": 1}) == delivery(source, {"a": 1}) != delivery(source, {"a": 2})


def test_snss_and_a_scripts_are_named_by_their_headers() -> None:
    assert delivery("s3", sns(MINIO), x_amz_sns_message_id="m") == "m"
    assert delivery("generic", {}, x_headway_delivery="d") == "d"
