"""Who is believed: published signatures, tokens, two secrets at once, and what refusals say."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headway_coordinator.integrations.webhooks import SOURCES, HookRequest, Refused, Verified
from tests.unit.integrations.webhooks.requests import (
    NOW,
    SECRET,
    ask,
    document,
    hub_signature,
)

VECTORS = document("signature-vectors.json")
KEY = base64.b64encode(b"a key of thirty-two bytes, really").decode()


def request_of(vector: dict[str, Any]) -> HookRequest:
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    return HookRequest(headers=headers, body=vector["body"].encode())


@pytest.mark.parametrize(
    "vector",
    [each for each in VECTORS if each["scheme"] in SOURCES],
    ids=lambda each: f"{each['scheme']}: {each.get('why') or each.get('source') or 'token'}",
)
def test_every_published_signature_is_judged_as_published(vector: dict[str, Any]) -> None:
    now = datetime.fromtimestamp(vector["now"], UTC) if "now" in vector else NOW
    found = SOURCES[vector["scheme"]].verify(request_of(vector), [vector["secret"]], now)
    assert isinstance(found, Verified if vector["valid"] else Refused)


def test_no_scheme_of_the_vectors_is_left_out_but_slacks() -> None:
    # Slack sends commands and wants answers within 3 s; no source of events needs its scheme.
    assert {each["scheme"] for each in VECTORS} - set(SOURCES) == {"slack-v0"}


def standard_headers(
    body: bytes, key: str = KEY, at: datetime = NOW, id_: str = "msg_1"
) -> dict[str, str]:
    seconds = str(int(at.timestamp()))
    content = f"{id_}.{seconds}.".encode() + body
    made = hmac.new(base64.b64decode(key), content, hashlib.sha256).digest()
    return {
        "webhook_id": id_,
        "webhook_timestamp": seconds,
        "webhook_signature": f"v1,{base64.b64encode(made).decode()}",
    }


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_a_signed_time_within_five_minutes_is_taken(seconds: int) -> None:
    headers = standard_headers(b"{}", at=NOW + timedelta(seconds=seconds))
    found = SOURCES["standard-webhooks"].verify(ask(b"{}", **headers), [f"whsec_{KEY}"], NOW)
    assert found == Verified("msg_1")


@pytest.mark.parametrize("seconds", [-301, 301, -86400])
def test_a_signed_time_further_away_is_stale(seconds: int) -> None:
    headers = standard_headers(b"{}", at=NOW + timedelta(seconds=seconds))
    found = SOURCES["standard-webhooks"].verify(ask(b"{}", **headers), [f"whsec_{KEY}"], NOW)
    assert isinstance(found, Refused)
    assert found.code == "stale"


def test_only_who_knows_a_secret_is_told_that_it_is_stale() -> None:
    headers = standard_headers(b"{}", at=NOW - timedelta(days=1))
    other = f"whsec_{base64.b64encode(b'another').decode()}"
    found = SOURCES["standard-webhooks"].verify(ask(b"{}", **headers), [other], NOW)
    assert isinstance(found, Refused)
    assert found.code == "bad_signature"


def test_a_signed_delivery_cannot_be_given_another_id() -> None:
    headers = {**standard_headers(b"{}"), "webhook_id": "msg_2"}
    found = SOURCES["standard-webhooks"].verify(ask(b"{}", **headers), [f"whsec_{KEY}"], NOW)
    assert isinstance(found, Refused)


def test_a_secret_that_is_no_base64_is_the_key_itself() -> None:
    headers = standard_headers(b"{}", key=base64.b64encode(b"not base64!").decode())
    source = SOURCES["standard-webhooks"]
    assert isinstance(source.verify(ask(b"{}", **headers), ["not base64!"], NOW), Verified)
    assert isinstance(source.verify(ask(b"{}", **headers), ["whsec_not base64!"], NOW), Refused)


def proofs(source: str, secret: str, body: bytes) -> HookRequest:
    """Return a request that proves itself with the secret, in the source's own way."""
    match source:
        case "github":
            return ask(body, x_hub_signature_256=hub_signature(body, secret))
        case "gitlab":
            return ask(body, x_gitlab_token=secret)
        case "jenkins":
            return ask(body, x_jenkins_token=secret)
        case "standard-webhooks":
            key = base64.b64encode(secret.encode()).decode()
            return ask(body, **standard_headers(body, key))
        case "generic" | "cdevents":
            return ask(body, x_headway_signature=hub_signature(body, secret))
        case _:
            return ask(body, authorization=f"Bearer {secret}")


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_either_of_two_secrets_proves_and_a_third_does_not(name: str) -> None:
    verify = SOURCES[name].verify
    for secret in ("old secret!", "new secret!"):
        request = proofs(name, secret, b'{"a": 1}')
        assert isinstance(verify(request, ["old secret!", "new secret!"], NOW), Verified)
        assert isinstance(verify(request, [secret], NOW), Verified)
    found = verify(proofs(name, "third secret!", b"{}"), ["old secret!", "new secret!"], NOW)
    assert isinstance(found, Refused)
    assert found.code == "bad_signature"


@pytest.mark.parametrize("name", sorted(SOURCES))
@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_an_empty_secret_proves_nothing(name: str, secrets: list[str]) -> None:
    found = SOURCES[name].verify(proofs(name, "", b"{}"), secrets, NOW)
    assert isinstance(found, Refused)


@pytest.mark.parametrize("name", ["github", "generic", "cdevents", "standard-webhooks"])
def test_a_signed_body_of_which_one_byte_differs_is_refused(name: str) -> None:
    signed = proofs(name, "the secret!", b'{"a": 1}')
    changed = HookRequest(headers=signed.headers, body=b'{"a": 2}')
    assert isinstance(SOURCES[name].verify(signed, ["the secret!"], NOW), Verified)
    assert isinstance(SOURCES[name].verify(changed, ["the secret!"], NOW), Refused)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_refusals_say_nothing_of_secrets_and_of_what_was_sent(name: str) -> None:
    found = SOURCES[name].verify(proofs(name, "what-was-sent", b"{}"), ["what-is-right"], NOW)
    assert isinstance(found, Refused)
    said = repr(found)
    sent = proofs(name, "what-was-sent", b"{}").headers.values()
    assert not any(text in said for text in ("what-was-sent", "what-is-right", *sent))


def test_a_request_that_is_logged_shows_nothing_of_itself() -> None:
    request = HookRequest(headers={"a": "hidden"}, body=b"hidden", query={"a": "hidden"})
    assert "hidden" not in repr(request)


TOKENS = ["alertmanager", "docker-registry", "s3", "jenkins", "cdevents", "generic"]


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize(
    ("authorization", "secret"),
    [
        ("Bearer tok", "tok"),
        ("bearer  tok ", "tok"),
        (basic("anybody:tok"), "tok"),
        (basic(":tok"), "tok"),
        (basic("anybody:t:o:k"), "t:o:k"),
        (basic("me:tok"), "me:tok"),
        ("Bearer t\u00c3\u00b6k", "t\u00f6k"),  # as servers read the header: Latin-1
    ],
)
def test_a_token_in_authorization_is_taken(name: str, authorization: str, secret: str) -> None:
    request = ask(b"{}", authorization=authorization)
    assert isinstance(SOURCES[name].verify(request, [secret], NOW), Verified)


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize(
    "authorization",
    [
        *("tok", "Token tok", "Bearer", "Bearer ", "Bearer to", "Bearer tokk", "Basic tok"),
        *(basic("tok"), basic("tok:"), basic("you:tok"), "Basic \u2603", "Bearer \u2603"),
        *("Digest tok", "Bearer Bearer tok", " "),
    ],
)
def test_any_other_authorization_is_refused(name: str, authorization: str) -> None:
    request = ask(b"{}", authorization=authorization)
    found = SOURCES[name].verify(request, ["me:tok"], NOW)
    assert isinstance(found, Refused)


def test_a_wrong_signature_is_not_made_good_by_a_token() -> None:
    request = ask(b"{}", x_headway_signature="sha256=0", authorization=f"Bearer {SECRET}")
    assert isinstance(SOURCES["generic"].verify(request, [SECRET], NOW), Refused)


def test_gitlabs_signature_decides_alone_where_a_signing_token_is_active() -> None:
    verify = SOURCES["gitlab"].verify
    signing = f"whsec_{KEY}"
    signed = standard_headers(b"{}")
    assert verify(ask(b"{}", **signed), [signing], NOW) == Verified("msg_1")
    both = ask(b"{} ", **signed, x_gitlab_token=SECRET)
    assert isinstance(verify(both, [SECRET, signing], NOW), Refused)
    # A hook that signs, and whose signing token Headway was not given: its secret token counts.
    assert isinstance(verify(both, [SECRET], NOW), Verified)


def test_gitlabs_signature_is_stale_after_five_minutes() -> None:
    headers = standard_headers(b"{}", at=NOW - timedelta(seconds=301))
    found = SOURCES["gitlab"].verify(ask(b"{}", **headers), [f"whsec_{KEY}"], NOW)
    assert isinstance(found, Refused)
    assert found.code == "stale"


def test_who_waits_to_be_asked_for_a_password_is_asked() -> None:
    asked = {name for name, source in SOURCES.items() if source.challenge}
    assert asked == set(TOKENS)
