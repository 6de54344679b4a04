"""A request goes to an address that was looked at, under the name that was asked for."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address

import httpx2
import pytest

from headway.outgoing.addresses import Address, Allowed
from headway.outgoing.transport import AddressRefused, GuardedTransport, resolve


class Names:
    """A resolver that answers each question about a name with the next of its answers."""

    def __init__(self, **answers: str) -> None:
        self._answers = {name: text.split() for name, text in answers.items()}
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append((host, port))
        answers = self._answers.get(host.removesuffix(".test"))
        if answers is None:
            return resolve(host, port)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(text) for text in answer.split(",")]


class Net:
    """Takes what would go out; addresses in `closed` take no connection."""

    def __init__(self, *closed: str, redirect: str | None = None) -> None:
        self.came: list[httpx2.Request] = []
        self._closed = closed
        self._redirect = redirect

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.came.append(request)
        if request.url.host in self._closed:
            raise httpx2.ConnectError("refused")
        if self._redirect is not None and len(self.came) == 1:
            return httpx2.Response(302, headers={"Location": self._redirect})
        return httpx2.Response(200)

    @property
    def hosts(self) -> list[str]:
        return [request.url.host for request in self.came]


def client(net: Net, names: Names, *allowed: str) -> httpx2.Client:
    below = httpx2.MockTransport(net)
    guarded = GuardedTransport(Allowed.parse(allowed), resolve=names, below=below)
    return httpx2.Client(transport=guarded, trust_env=False, follow_redirects=True)


def test_the_connection_goes_to_the_address_and_the_name_stays() -> None:
    net, names = Net(), Names(shop="93.184.216.34")
    client(net, names).get("https://shop.test:8443/a?b=c")
    [request] = net.came
    assert str(request.url) == "https://93.184.216.34:8443/a?b=c"
    assert request.headers["Host"] == "shop.test:8443"
    assert request.extensions["sni_hostname"] == "shop.test"
    assert names.asked == [("shop.test", 8443)]


def test_a_name_that_changes_after_the_look_gains_nothing() -> None:
    net, names = Net(), Names(rebinding="93.184.216.34 127.0.0.1")
    client(net, names).get("http://rebinding.test/")
    assert net.hosts == ["93.184.216.34"]
    assert names.asked == [("rebinding.test", 80)]


def test_one_address_that_is_not_allowed_refuses_the_name() -> None:
    net, names = Net(), Names(half="93.184.216.34,10.0.0.7")
    with pytest.raises(AddressRefused, match=r"half\.test \(10\.0\.0\.7\) is a private address"):
        client(net, names).get("http://half.test/")
    assert net.came == []


def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    net, names = Net("2606:4700::1"), Names(two="2606:4700::1,93.184.216.34")
    assert client(net, names).post("http://two.test/", content=b"body").status_code == 200
    assert net.hosts == ["2606:4700::1", "93.184.216.34"]
    assert net.came[1].read() == b"body"


def test_no_connection_at_all_is_an_error() -> None:
    with pytest.raises(httpx2.ConnectError):
        client(Net("93.184.216.34"), Names(one="93.184.216.34")).get("http://one.test/")


@pytest.mark.parametrize(
    "target",
    ["http://inside.test/", "http://169.254.169.254/latest", "//127.0.0.1/", "http://[::1]/"],
)
def test_each_redirect_is_looked_at(target: str) -> None:
    net, names = Net(redirect=target), Names(outside="93.184.216.34", inside="10.0.0.1")
    with pytest.raises(AddressRefused):
        client(net, names).get("http://outside.test/")
    assert net.hosts == ["93.184.216.34"]


def test_a_redirect_to_a_public_address_is_made() -> None:
    net = Net(redirect="https://other.test/")
    names = Names(outside="93.184.216.34", other="93.184.216.34")
    client(net, names).get("http://outside.test/")
    assert net.came[1].extensions["sni_hostname"] == "other.test"
    assert net.came[1].headers["Host"] == "other.test"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1"),
        *("0", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        *("localhost", "LOCALHOST", "user@127.0.0.1", "example.com@127.0.0.1"),
        *("169.254.169.254", "2852039166", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]"),
        *("10.0.0.1", "192.168.0.1", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
        *("①②⑦.⓪.⓪.①", "127。0。0。1", "%31%32%37.0.0.1"),
    ],
)
def test_no_way_of_writing_a_host_leads_inside(host: str) -> None:
    """By the system's resolver, which knows octal, hexadecimal and short forms."""
    net = Net()
    with pytest.raises((httpx2.TransportError, httpx2.InvalidURL)):
        client(net, Names()).get(f"http://{host}/")
    assert net.came == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_other_ways_of_writing_an_allowed_address_are_allowed(host: str) -> None:
    net = Net()
    client(net, Names(), "127.0.0.1").get(f"http://{host}/")
    assert len(net.came) == 1


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label empty")])
def test_a_host_without_an_address_is_a_connection_error(error: Exception) -> None:
    def unknown(host: str, port: int) -> Sequence[Address]:
        raise error

    guarded = GuardedTransport(Allowed(), resolve=unknown)
    with httpx2.Client(transport=guarded) as outgoing, pytest.raises(httpx2.ConnectError):
        outgoing.get("http://nowhere.test/")


@pytest.mark.parametrize(
    "url", ["ftp://93.184.216.34/", "file:///etc/passwd", "gopher://x/", "http:///"]
)
def test_other_schemes_are_refused(url: str) -> None:
    guarded = GuardedTransport(Allowed(), resolve=Names(x="93.184.216.34"))
    with httpx2.Client(transport=guarded) as outgoing, pytest.raises(httpx2.UnsupportedProtocol):
        outgoing.get(url)
