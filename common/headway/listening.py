"""Addresses to listen on, as settings give them: `host:port`, `[::1]:port`, `:port`."""

from __future__ import annotations

_LAST_PORT = 65_535


def host_and_port(text: str) -> tuple[str, int]:
    """Return the host, loopback if none is given, and the port; 0 stands for any free one.

    Raises:
        ValueError: it is no such address; says why.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        raise ValueError(f"`{text[:100]}` is no host:port, such as 127.0.0.1:8470")
    if int(port[:6]) > _LAST_PORT:
        raise ValueError(f"the port of `{text[:100]}` is above {_LAST_PORT}")
    if any(letter in host for letter in "/@ "):
        raise ValueError(f"`{text[:100]}` is no host:port, such as 127.0.0.1:8470")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def checked(text: str) -> str:
    """Return the address as it is. Raises ValueError as `host_and_port`."""
    host_and_port(text)
    return text
