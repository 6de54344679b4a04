"""What an address is, and whether a request that a definition asks for may go there.

The tables are the special-purpose registries of IANA (RFC 6890 and what was added to them since).
Of IPv6 only 2000::/3 is given out for the public; what lies outside is refused as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK = ("localhost", "127.0.0.0/8", "::1")
METADATA = "metadata"

# Where clouds tell a machine its credentials: AWS, Azure, Google and others; ECS and EKS; Azure's
# wire server, which has a public address; Alibaba; Oracle.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
_SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), kind)
    for text, kind in (
        ("0.0.0.0/32", "unspecified"),
        ("0.0.0.0/8", "reserved"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "private"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
    )
)
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_ISATAP = frozenset((0x0000_5EFE, 0x0200_5EFE))
_NAME = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be reached besides public addresses."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    domains: tuple[str, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Allowed:
        """Return what the entries allow: addresses, networks, host names, `*.` and a domain.

        Raises:
            ValueError: one is none of these.
        """
        networks: list[Network] = []
        names: list[str] = []
        for entry in entries:
            text = entry.strip().lower().rstrip(".")
            try:
                networks.append(ip_network(text))
            except ValueError as error:
                if not _NAME.fullmatch(text):
                    message = f"{entry!r} is no address, network or host name ({error})"
                    raise ValueError(message) from error
                names.append(text)
        hosts = frozenset(name for name in names if not name.startswith("*."))
        domains = tuple(name[1:] for name in names if name.startswith("*."))
        return cls(tuple(networks), hosts, domains)

    def refusal(self, host: str, address: Address) -> str | None:
        """Return what kind of address forbids a request to the host; None if it may be made.

        Metadata are reached only where their very address is allowed: whoever opens a private
        network, or a name, has not thought of the credentials that lie there.
        """
        for face in _faces(address):
            kind = kind_of(face)
            if kind is None or self._holds(face, alone=kind == METADATA):
                continue
            if kind != METADATA and self._names(host):
                continue
            return kind
        return None

    def _holds(self, address: Address, *, alone: bool) -> bool:
        return any(
            network.version == address.version
            and address in network
            and (not alone or network.num_addresses == 1)
            for network in self.networks
        )

    def _names(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return name in self.hosts or name.endswith(self.domains)


def kind_of(address: Address) -> str | None:
    """Return what is special about an address, None if it is public.

    It is judged as it stands; `Allowed.refusal` looks at the addresses inside it, too.
    """
    if address in _METADATA:
        return METADATA
    for network, kind in _SPECIAL:
        if address.version == network.version and address in network:
            return kind
    if address.version == 6 and address not in _PUBLIC_IPV6:
        return "reserved"
    return None


def _faces(address: Address) -> tuple[Address, ...]:
    """Return the addresses at which a packet to this one may arrive.

    IPv4-mapped (RFC 4291), NAT64 (RFC 6052) and 6to4 (RFC 3056) stand for the IPv4 address within;
    ISATAP (RFC 5214) may be taken as either. Teredo, IPv4-compatible and local NAT64 addresses are
    reserved or outside 2000::/3, so that they are refused as they stand.
    """
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    number = int(address)
    if address in _NAT64:
        return (IPv4Address(number & 0xFFFF_FFFF),)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & 0xFFFF_FFFF),)
    if number >> 32 & 0xFFFF_FFFF in _ISATAP:
        return (address, IPv4Address(number & 0xFFFF_FFFF))
    return (address,)
