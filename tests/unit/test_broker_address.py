"""What addresses of brokers say, and how wrong ones are told."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from headway.broker_address import check, parse, redacted
from headway.broker_options import celery_settings, connection_arguments, transport_options
from headway.errors import DefinitionError
from headway.redis_transport import SentinelTransport, Transport

CHECKED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
UNCHECKED = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
TWO = "sentinel://:p@a:1/0;sentinel://:p@b:2/0"


@pytest.mark.parametrize(
    ("url", "kombus", "tls"),
    [
        ("redis://h", "redis://h", None),
        ("redis://user:pass@h:1/2", "redis://user:pass@h:1/2", None),
        ("redis://:p%40ss@[::1]:1/2", "redis://:p%40ss@[::1]:1/2", None),
        ("redis://:p@ss@h:1/0", "redis://:p%40ss@h:1/0", None),
        ("redis://:a;b@h:1/0", "redis://:a%3Bb@h:1/0", None),
        ("redis://:a@h:1/0;redis://:b@i:2/1", "redis://:a@h:1/0;redis://:b@i:2/1", None),
        ("valkey://h:1/0", "redis://h:1/0", None),
        ("rediss://u:p@h:1/0", "rediss://u:p@h:1/0", CHECKED),
        ("valkeys://h", "rediss://h", CHECKED),
        (
            "rediss://h/0?ssl_ca_certs=/ca.pem",
            "rediss://h/0",
            CHECKED | {"ssl_ca_certs": "/ca.pem"},
        ),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/0", UNCHECKED),
        ("rediss://h/0?ssl_cert_reqs=CERT_NONE", "rediss://h/0", UNCHECKED),
        (
            "rediss://h/0?ssl_check_hostname=false",
            "rediss://h/0",
            {"ssl_cert_reqs": "required", "ssl_check_hostname": False},
        ),
        ("redis+socket:///run/redis.sock?virtual_host=1", None, None),
        ("amqp://user:a;b@h:1/vhost", None, None),
        ("amqps://h//?heartbeat=5", None, None),
    ],
)
def test_kombu_gets_what_it_understands(
    url: str, kombus: str | None, tls: dict[str, Any] | None
) -> None:
    address = parse(url)
    assert address.url == (kombus or url)
    assert address.tls == tls
    assert address.master_name is None
    assert "master_name" not in transport_options(url)


@pytest.mark.parametrize(
    ("url", "kombus", "more"),
    [
        ("sentinel://h?master_name=m", "sentinel://h/0", {}),
        ("sentinel://:p@a:1,b:2/0?master_name=m", TWO, {}),
        ("sentinel://:p@a:1,b:2?master_name=m", TWO, {}),
        ("sentinel://:p@a:1;sentinel://b:2/0?master_name=m", TWO, {}),
        ("sentinel://:p@a:1/0?master_name=m;sentinel://:p@b:2/0", TWO, {}),
        ("sentinel://a:1,b:2/3?master_name=m", "sentinel://a:1/3;sentinel://b:2/3", {}),
        ("sentinel://:p@a:1,b:2/0?master_name=m&sentinel_password=q", TWO, {"password": "q"}),
        (
            "sentinel://:p@a:1,b:2/0?master_name=m&sentinel_username=u&sentinel_password=%26",
            TWO,
            {"username": "u", "password": "&"},
        ),
        (
            "sentinel://:p@a:1,b:2/0?master_name=m&ssl_ca_certs=/ca.pem",
            TWO,
            {"ssl": True, "ssl_ca_certs": "/ca.pem", **CHECKED},
        ),
    ],
)
def test_sentinels_may_be_written_in_several_ways(
    url: str, kombus: str, more: dict[str, Any]
) -> None:
    arguments = connection_arguments(url)
    options = arguments["transport_options"]
    times = {"socket_timeout": 3, "socket_connect_timeout": 2}
    assert arguments["hostname"] == kombus
    assert options["master_name"] == "m"
    assert options["sentinel_kwargs"] == times | more
    assert bool(arguments["ssl"]) is ("ssl" in more)


@pytest.mark.parametrize(
    ("url", "said", "mend"),
    [
        ("sentinel://:hush@a:1/0", "not the master", "?master_name=NAME"),
        ("sentinel://:hush@a:1;sentinel://b:2", "not the master", "?master_name=NAME"),
        ("sentinel://:hush@a:1,/0?master_name=m", "no host", "host1:26379,host2:26379"),
        ("redis://:hush@h:port/0", "a port is no number", "%2F"),
        ("redis://:hu/sh@h:1/0", "a port is no number", "%2F"),
        ("redis://:hush@h:70000/0", "a port is no number", "%2F"),
        ("sentinel://:hush@a:1,b:x/0?master_name=m", "a port is no number", "%2F"),
        ("amqp://u:hush@h:port/", "a port is no number", "%2F"),
        ("redis://:hush@h:1/zero", "the number of a database", "%2F"),
        ("redis://:hush@a:1,b:2/0", "several hosts need Sentinels", "docs/operations.md"),
        ("redis://:hush@h/0?ssl_ca_certs=/hush", "redis:// has none", "rediss://"),
        ("rediss://:hush@h/0?ssl_ca=/hush", "`ssl_ca` is not known", "ssl_ca_certs"),
        ("rediss://:hush@h/0?ssl_cert_reqs=hush", "ssl_cert_reqs is not known", "required"),
        ("rediss://:hush@h/0?ssl_check_hostname=hush", "ssl_check_hostname is not", "true or"),
        ("redis://:hush@h;amqp://i", "several kinds", "one kind"),
        ("http://:hush@h", "no broker that Headway knows", "redis://"),
        ("hush", "it has no scheme", "redis://"),
        ("", "it has no scheme", "redis://"),
    ],
)
def test_a_wrong_address_is_told_with_the_mend(url: str, said: str, mend: str) -> None:
    with pytest.raises(DefinitionError, match="HEADWAY_BROKER_URL") as caught:
        check(url)
    assert said in caught.value.message
    assert mend in str(caught.value.hint)
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.exit_status == 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    url = f"rediss://h/0?ssl_ca_certs={tmp_path}/ca.pem"
    with pytest.raises(DefinitionError, match=f"ssl_ca_certs: cannot read {tmp_path}/ca.pem"):
        check(url)
    (tmp_path / "ca.pem").touch()
    assert check(url) == url
    assert check(f"rediss://h/0?ssl_ca_path={tmp_path}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://user@h:1/0", "redis://user@h:1/0"),
        ("redis://user:hush@h:1/0", "redis://user:***@h:1/0"),
        ("rediss://u:hu@sh@h/0?ssl_ca_certs=/c", "rediss://u:***@h/0?ssl_ca_certs=/c"),
        ("redis://u:hu/sh:@h/0", "redis://u:***@h/0"),
        ("redis://u:hu;sh@h/0", "redis://u:***@h/0"),
        (
            "sentinel://:hush@a,b/0?sentinel_password=hush&master_name=m",
            "sentinel://:***@a,b/0?sentinel_password=***&master_name=m",
        ),
        ("sentinel://:hush@a;sentinel://:hush@b/0", "sentinel://:***@a;sentinel://:***@b/0"),
        ("amqp://user:hush@h:x/v", "amqp://user:***@h:x/v"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown


@given(st.text())
def test_any_text_can_be_shown_and_is_an_address_or_told_why_not(text: str) -> None:
    assert isinstance(redacted(text), str)
    with suppress(DefinitionError):
        assert parse(text).url


def test_a_connection_that_goes_to_the_next_address_stays_guarded() -> None:
    url = "sentinel://:p@a:1,b:2/3?master_name=m"
    with Connection(**connection_arguments(url)) as connection:
        assert type(connection.transport) is SentinelTransport
        assert connection.alt == ["sentinel://:p@a:1/3", "sentinel://:p@b:2/3"]
        connection.maybe_switch_next()
        assert (connection.hostname, connection.port, connection.password) == ("b", 2, "p")
        assert type(connection.transport) is SentinelTransport
        assert type(connection.clone().transport) is SentinelTransport
    with Connection(**connection_arguments("redis://a:1;redis://b:2")) as connection:
        connection.maybe_switch_next()
        assert type(connection.transport) is Transport


def test_tls_is_kept_by_the_next_address_and_told_to_celery() -> None:
    url = "rediss://a:1/0;rediss://b:2/0?ssl_check_hostname=false"
    with Connection(**connection_arguments(url)) as connection:
        before = connection.ssl
        connection.maybe_switch_next()
        assert connection.ssl == before == parse(url).tls
    app = Celery(set_as_current=False)
    app.conf.update(celery_settings(url))
    with app.connection_for_read() as connection:
        assert connection.ssl == before


def test_celery_tells_nobody_the_passwords_of_sentinels() -> None:
    url = "sentinel://:hush@a:1,b:2/3?master_name=m&sentinel_password=hush"
    app = Celery(set_as_current=False)
    app.conf.update(celery_settings(url))
    assert "hush" not in str(app.conf.table(censored=True))
    assert "hush" not in app.connection_for_read().as_uri()
