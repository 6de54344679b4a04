from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import Message
from structlog.testing import capture_logs

from headway.broker_options import (
    celery_settings,
    connection_arguments,
    transport,
    transport_options,
)
from headway.protocol.envelope import redis_json
from headway.redis_transport import (
    SecureTransport,
    SentinelTransport,
    Transport,
    flaw,
    warn_unchecked,
)

SENTINEL = "sentinel://h:1/2?master_name=m"
ENVELOPE = json.loads(redis_json('{"nudge":1}', "headway.events", "1"))


def envelope(**changed: Any) -> dict[str, Any]:
    return {**ENVELOPE, **{name.replace("_", "-"): value for name, value in changed.items()}}


def with_property(**changed: Any) -> dict[str, Any]:
    return envelope(properties={**ENVELOPE["properties"], **changed})


def test_what_kombu_and_headway_write_is_taken() -> None:
    assert flaw(ENVELOPE) is None
    assert flaw(envelope(headers=None)) is None
    assert flaw(envelope(body=b"{}")) is None, "kombu writes back what it gave up in this way"
    encoded = {"body": base64.b64encode(b"{}").decode()}
    assert flaw({**with_property(body_encoding="base64"), **encoded}) is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "a NoneType"),
        ([1, 2], "a list"),
        ("text", "a str"),
        ({}, "delivery_tag"),
        ({"body": 5}, "delivery_tag"),
        (envelope(properties=[]), "delivery_tag"),
        (with_property(delivery_tag=[1]), "delivery_tag"),
        (with_property(delivery_info=None), "delivery_info"),
        (with_property(delivery_info={"exchange": ""}), "delivery_info"),
        (with_property(body_encoding="rot13"), "body_encoding"),
        (with_property(body_encoding=[1]), "body_encoding"),
        (with_property(body_encoding="base64"), "base64"),
        (envelope(body=5), "body"),
        (envelope(body=None), "body"),
        (envelope(headers=[1]), "headers"),
        (envelope(headers={"compression": "gzip"}), "compressed"),
        (envelope(content_type=5), "content-type"),
        (envelope(content_encoding={}), "content-encoding"),
    ],
)
def test_what_is_no_message_is_told(found: Any, said: str) -> None:
    assert said in (flaw(found) or "")


_VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.just("base64"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.sampled_from([*ENVELOPE, *(f"properties.{name}" for name in ENVELOPE["properties"])]),
    _VALUES,
)
def test_kombu_can_build_whatever_has_no_flaw(place: str, value: Any) -> None:
    outer, _, inner = place.partition(".")
    found = with_property(**{inner: value}) if inner else {**ENVELOPE, outer: value}
    if flaw(found) is None:
        message = Message(found, channel=kombu_redis.Channel.__new__(kombu_redis.Channel))
        assert isinstance(message.headers, dict)
        assert isinstance(message.delivery_tag, str)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/2", Transport),
        ("rediss://h:1/2", SecureTransport),
        (SENTINEL, SentinelTransport),
    ],
)
def test_it_wins_over_the_scheme_of_the_address(url: str, expected: type) -> None:
    app = Celery(set_as_current=False)
    app.conf.update(celery_settings(url))
    with app.connection_for_read() as connection:
        assert type(connection.transport) is expected
        assert type(connection.clone().transport) is expected
        found = connection.as_uri(include_password=True)
        assert found == url.partition("?")[0], "Flower finds the broker by it"
        assert bool(connection.ssl) is (expected is SecureTransport)


def test_certificates_are_checked_also_by_those_who_say_nothing_of_them() -> None:
    url = "rediss://h:1/2"
    with Connection(url, transport=transport(url)) as connection:
        assert connection.transport.client.ssl == {"ssl_cert_reqs": "required"}


@pytest.mark.parametrize(
    "url", ["rediss://h/0?ssl_cert_reqs=none", f"{SENTINEL}&ssl_cert_reqs=none"]
)
def test_an_unchecked_server_is_said_once(url: str) -> None:
    warn_unchecked.cache_clear()
    with capture_logs() as logs:
        for _ in range(2):
            with Connection(**connection_arguments(url)) as connection:
                assert connection.transport is not None
    assert [each["event"] for each in logs] == ["broker_not_verified"]


@pytest.mark.parametrize("url", ["amqp://h", "redis+socket:///run/redis.sock"])
def test_other_brokers_keep_their_own(url: str) -> None:
    assert transport(url) is None
    assert celery_settings(url)["broker_transport"] is None


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", SENTINEL, "redis+socket:///s"])
def test_redis_keeps_no_books_of_what_is_unacknowledged(url: str) -> None:
    assert transport_options(url)["ack_emulation"] is False
    assert celery_settings(url)["broker_transport_options"] == transport_options(url)
