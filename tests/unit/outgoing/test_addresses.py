"""Which addresses a request that a definition asks for may go to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from headway.outgoing.addresses import LOOPBACK, Allowed

PUBLIC = (
    "1.1.1.1",
    "93.184.216.34",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "168.63.129.15",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2002:101:101::",
    "2001:4860:4860::8888",
)
REFUSED = {
    "unspecified": "0.0.0.0 :: ::ffff:0.0.0.0 64:ff9b::",
    "loopback": "127.0.0.1 127.1.2.3 127.255.255.255 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 "
    "64:ff9b::7f00:1 2002:7f00:1:: 2002:7f00:1::5 2606::200:5efe:127.0.0.1",
    "private": "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 fc00::1 "
    "fdff::1 fec0::1 ::ffff:10.1.2.3 64:ff9b::c0a8:1 2002:c0a8:101:: 2606::5efe:10.0.0.1",
    "link-local": "169.254.0.1 169.254.169.253 fe80::1 ::ffff:169.254.1.1",
    "metadata": "169.254.169.254 169.254.170.2 169.254.170.23 168.63.129.16 100.100.100.200 "
    "192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 ::ffff:169.254.169.254 "
    "64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: 2606::5efe:169.254.169.254",
    "multicast": "224.0.0.1 239.255.255.255 ff02::1 ::ffff:224.0.0.1",
    "reserved": "0.0.0.1 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 "
    "240.0.0.1 255.255.255.255 ::127.0.0.1 ::ffff:0:7f00:1 64:ff9b:1::7f00:1 100::1 5f00::1 "
    "2001::1 2001:0:7f00:1:: 2001:10::1 2001:db8::1 3fff::1 4000::1",
}


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_may_be_reached(text: str) -> None:
    assert Allowed().refusal("example.com", ip_address(text)) is None


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in REFUSED.items() for text in texts.split()]
)
def test_what_is_not_public_is_refused_by_its_kind(kind: str, text: str) -> None:
    assert Allowed().refusal("example.com", ip_address(text)) == kind


@pytest.mark.parametrize(
    ("entry", "host", "text"),
    [
        ("10.0.0.0/8", "x", "10.1.2.3"),
        ("10.1.2.3", "x", "::ffff:10.1.2.3"),
        ("10.1.2.3", "x", "64:ff9b::a01:203"),
        ("fd00::/8", "x", "fd00::5"),
        ("Warehouse.", "WAREHOUSE", "10.1.2.3"),
        ("warehouse", "warehouse.", "fd00::5"),
        ("*.svc.cluster.local", "api.team.svc.cluster.local", "10.1.2.3"),
        ("169.254.169.254", "x", "169.254.169.254"),
        ("fd00:ec2::254/128", "x", "fd00:ec2::254"),
    ],
)
def test_what_is_allowed_may_be_reached(entry: str, host: str, text: str) -> None:
    assert Allowed().refusal(host, ip_address(text)) is not None
    assert Allowed.parse([entry]).refusal(host, ip_address(text)) is None


@pytest.mark.parametrize(
    ("entry", "host", "text"),
    [
        ("10.0.0.0/8", "x", "172.16.0.1"),
        ("10.0.0.0/9", "x", "10.128.0.1"),
        ("::/0", "x", "10.0.0.1"),
        ("0.0.0.0/0", "x", "fd00::1"),
        ("warehouse", "warehouse.evil", "10.0.0.1"),
        ("warehouse", "evil.warehouse", "10.0.0.1"),
        ("*.local", "local", "10.0.0.1"),
        ("*.local", "evillocal", "10.0.0.1"),
        ("2606::/16", "x", "2606::5efe:10.0.0.1"),
    ],
)
def test_an_allowance_opens_nothing_else(entry: str, host: str, text: str) -> None:
    address = ip_address(text)
    kind = Allowed().refusal(host, address)
    assert kind is not None
    assert Allowed.parse([entry]).refusal(host, address) == kind


@pytest.mark.parametrize(
    "entry", ["0.0.0.0/0", "169.254.0.0/16", "metadata.internal", "*.internal"]
)
def test_metadata_are_opened_by_their_own_address_alone(entry: str) -> None:
    address = ip_address("169.254.169.254")
    assert Allowed.parse([entry]).refusal("metadata.internal", address) == "metadata"
    assert Allowed.parse([entry]).refusal("metadata.internal", ip_address("169.254.1.1")) is None


@pytest.mark.parametrize(
    "entry", ["", " ", "10.0.0.1/8", "10.0.0.0/33", "127.1", "0x7f000001", "a b", "a/b", "*", "*."]
)
def test_what_is_no_allowance_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is no address, network or host name"):
        Allowed.parse([entry])


def test_loopback_is_all_that_localhost_may_mean() -> None:
    allowed = Allowed.parse(LOOPBACK)
    for text in ("127.0.0.1", "127.8.8.8", "::1"):
        assert allowed.refusal("localhost", ip_address(text)) is None
    assert allowed.refusal("example.com", ip_address("10.0.0.1")) == "private"
