"""Addresses to listen on: what they mean, and that a wrong one is told where it is given."""

from __future__ import annotations

import pytest

from headway.listening import checked, host_and_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8470", "127.0.0.1", 8470),
        (":0", "127.0.0.1", 0),
        ("[::1]:65535", "::1", 65_535),
        ("headway.example:80", "headway.example", 80),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert host_and_port(text) == (host, port)
    assert checked(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "foo", "8470", "h:", "h:-1", "h:65536", "h:99999999999", "h:٣", "http://h:80", "a b:80"],
)
def test_what_is_none_is_told_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|above 65535"):
        checked(text)
