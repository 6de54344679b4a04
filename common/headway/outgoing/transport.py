"""HTTP requests that reach allowed addresses only.

A name is resolved once; all its addresses are looked at, and the connection goes to one of those
that were looked at. So a name that changes between the look and the connection (DNS rebinding)
gains nothing. Host, SNI and certificate stay those of the name. A client that follows redirects
comes through here for each of them.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import httpx2

from headway.outgoing.addresses import Address, Allowed

Resolve = Callable[[str, int], Sequence[Address]]


class AddressRefused(httpx2.TransportError):
    """The host has an address that requests may not go to."""

    def __init__(self, host: str, address: Address, kind: str) -> None:
        shown = host if host == str(address) else f"{host} ({address})"
        super().__init__(f"{shown} is a {kind} address, where no request may go")
        self.host = host
        self.address = address
        self.kind = kind


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, whichever way it is written, in the system's order.

    Raises:
        OSError: there is no such host.
        UnicodeError: it cannot be the name of one.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = [str(sockaddr[0]).partition("%")[0] for *_, sockaddr in found]
    return [ip_address(text) for text in dict.fromkeys(texts)]


class GuardedTransport(httpx2.BaseTransport):
    """Resolves, checks, then connects to what it checked; otherwise as httpx2's own transport."""

    def __init__(
        self,
        allowed: Allowed,
        *,
        resolve: Resolve = resolve,
        verify: ssl.SSLContext | bool = True,
        below: httpx2.BaseTransport | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        # Connections are made to addresses: kept ones would serve another name of the same address,
        # whose certificate nobody has looked at.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._below = below or httpx2.HTTPTransport(verify, trust_env=False, limits=limits)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request to the first of the host's addresses that takes a connection.

        Raises:
            AddressRefused: one of its addresses is not allowed.
            httpx2.ConnectError: it has none, or none takes a connection.
        """
        addresses = self._checked(request.url)
        for address in addresses[:-1]:
            try:
                return self._below.handle_request(_pinned(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # nothing of the request was sent
        return self._below.handle_request(_pinned(request, addresses[-1]))

    def close(self) -> None:
        self._below.close()

    def _checked(self, url: httpx2.URL) -> Sequence[Address]:
        host = _name(url)
        if not host:
            raise httpx2.UnsupportedProtocol(f"{url.scheme or 'this'} URL names no host")
        try:
            addresses = self._resolve(host, url.port or _PORTS.get(url.scheme, 0))
        except (OSError, ValueError) as error:
            raise httpx2.ConnectError(f"{host} has no address: {error}") from error
        if not addresses:
            raise httpx2.ConnectError(f"{host} has no address")
        for address in addresses:
            kind = self._allowed.refusal(host, address)
            if kind is not None:
                raise AddressRefused(host, address, kind)
        return addresses


_PORTS = {"http": 80, "https": 443}


def _name(url: httpx2.URL) -> str:
    return url.raw_host.decode("ascii").strip("[]")


def _pinned(request: httpx2.Request, address: Address) -> httpx2.Request:
    """Return the request as one to the address; its Host header is already that of the name."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": _name(request.url)},
    )
