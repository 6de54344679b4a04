"""What the address of a broker says, in kombu's own terms.

One address holds all that a process is told of its broker: hosts, user, TLS, and the name of the
master that Sentinels watch. kombu wants these apart. RabbitMQ's addresses are kombu's already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from headway.errors import DefinitionError

_NAMES = {"valkey": "redis", "valkeys": "rediss"}
_READ_HERE = ("redis", "rediss", "sentinel")
_KOMBUS_OWN = ("amqp", "amqps", "pyamqp", "redis+socket")
_BEFORE_ANOTHER = re.compile(r";(?=[a-z][a-z+]*://)")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")
_TLS = (*_FILES, "ssl_cert_reqs", "ssl_check_hostname")
_SENTINEL = ("master_name", "sentinel_username", "sentinel_password")
_CHECKS = ("none", "optional", "required")
_TRUTHS = {"true": True, "false": False}
_ENCODE = "write / : ? # @ ; and % in a user or password as %2F %3A %3F %23 %40 %3B and %25"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """`url` is kombu's, with `;` between several; the rest is said beside it."""

    scheme: str
    url: str
    tls: Mapping[str, Any] | None = None
    master_name: str | None = None
    sentinel: Mapping[str, str] | None = None  # how to sign in at the Sentinels themselves


def parse(broker_url: str) -> BrokerAddress:
    """Return what an address says.

    Raises:
        DefinitionError: it cannot be one; says why and the mend, and shows nothing of the address.
    """
    parts = [_split(text) for text in _BEFORE_ANOTHER.split(broker_url)]
    schemes = {_NAMES.get(part.scheme, part.scheme) for part in parts}
    if len(schemes) != 1:
        raise _wrong("its addresses are of several kinds", "name one kind of broker")
    (scheme,) = schemes
    if scheme in _KOMBUS_OWN:
        return BrokerAddress(scheme, broker_url)
    if scheme not in _READ_HERE:
        hint = "it is redis://…, rediss://…, valkey://…, sentinel://…, amqp://… or amqps://…"
        raise _wrong("it is of no broker that Headway knows", hint)
    said = {name: value for part in parts for name, value in parse_qsl(part.query)}
    _demand_known(scheme, said)
    if scheme == "sentinel":
        urls, sentinel = _sentinels(parts), _Sentinels(said)
        return BrokerAddress(scheme, urls, _tls(said), sentinel.master, sentinel.sign_in)
    urls = ";".join(_url(scheme, part.netloc, part.path) for part in parts)
    return BrokerAddress(scheme, urls, _tls(said, wanted=scheme == "rediss"))


def check(broker_url: str) -> str:
    """Return the address if it can be one, and the files that it names can be read.

    Raises:
        DefinitionError: as `parse`, or a file is not there.
    """
    for name, value in (parse(broker_url).tls or {}).items():
        if name in _FILES:
            _demand_readable(name, Path(value))
    return broker_url


def redacted(broker_url: str) -> str:
    """Return the address without its passwords, however wrong it is."""
    return ";".join(_redacted(text) for text in _BEFORE_ANOTHER.split(broker_url))


def _redacted(text: str) -> str:
    address, mark, query = text.partition("?")
    scheme, slashes, rest = address.partition("://")
    sign_in, at, place = rest.rpartition("@")
    if ":" in sign_in:
        sign_in = f"{sign_in.partition(':')[0]}:***"
    query = re.sub(r"(?<=password=)[^&]*", "***", query)
    return f"{scheme}{slashes}{sign_in}{at}{place}{mark}{query}"


def _split(text: str) -> SplitResult:
    """Return the parts of one address; `netloc` may still name several hosts."""
    try:
        part = urlsplit(text)
        for host in _hosts(part):
            _ = urlsplit(f"//{host}").port
    except ValueError:
        # What it says may be a password that was cut in two.
        raise _wrong("a port is no number from 0 to 65535", _ENCODE) from None
    if not part.scheme or "://" not in text:
        raise _wrong(
            "it has no scheme", "begin it with redis://, rediss://, sentinel:// or amqp://"
        )
    return part


def _hosts(part: SplitResult) -> list[str]:
    return part.netloc.rpartition("@")[2].split(",")


def _demand_known(scheme: str, said: Mapping[str, str]) -> None:
    known = {"redis": (), "rediss": _TLS, "sentinel": (*_TLS, *_SENTINEL)}[scheme]
    for name in said:
        if name in known:
            continue
        if name in _TLS:
            raise _wrong(f"`{name}` asks for TLS, and redis:// has none", "begin it with rediss://")
        mend = f"{scheme}:// knows {', '.join(known)}" if known else "leave it out"
        raise _wrong(f"`{name}` is not known", mend)


def _url(scheme: str, netloc: str, path: str) -> str:
    """Return one address as kombu reads it: `;` would end it, and the path is a number."""
    sign_in, at, hosts = netloc.rpartition("@")
    if path.strip("/") and not path.strip("/").isdecimal():
        raise _wrong("after the host comes the number of a database, as in /0", _ENCODE)
    if "," in hosts and scheme != "sentinel":
        raise _wrong("several hosts need Sentinels", "see docs/operations.md, Redis with Sentinel")
    return f"{scheme}://{quote(sign_in, safe='%:!$&()*+,=~')}{at}{hosts}{path}"


def _sentinels(parts: Sequence[SplitResult]) -> str:
    """Return an address for each Sentinel, each with the sign-in and database that one names."""
    sign_in = next((p.netloc.rpartition("@")[0] for p in parts if "@" in p.netloc), None)
    path = next((p.path for p in parts if p.path.strip("/")), "/0")
    hosts = [host for part in parts for host in _hosts(part)]
    if not all(hosts):
        raise _wrong("a Sentinel has no host", "write sentinel://host1:26379,host2:26379/0?…")
    before = "" if sign_in is None else f"{sign_in}@"
    return ";".join(_url("sentinel", f"{before}{host}", path) for host in hosts)


class _Sentinels:
    """What the query of a Sentinel's address says of them."""

    def __init__(self, said: Mapping[str, str]) -> None:
        if not said.get("master_name"):
            raise _wrong(
                "it names Sentinels, but not the master that they watch",
                "add ?master_name=NAME, the name after `sentinel monitor` in their configuration",
            )
        self.master = said["master_name"]
        self.sign_in = {
            name.removeprefix("sentinel_"): value
            for name, value in said.items()
            if name.startswith("sentinel_")
        }


def _tls(said: Mapping[str, str], *, wanted: bool = False) -> dict[str, Any] | None:
    """Return kombu's `ssl`: certificates and host names are checked unless it says otherwise."""
    given = {name: value for name, value in said.items() if name in _TLS}
    if not given and not wanted:
        return None
    check = given.pop("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if check not in _CHECKS:
        raise _wrong("ssl_cert_reqs is not known", f"it is one of {', '.join(_CHECKS)}")
    host = given.pop("ssl_check_hostname", "true").lower()
    if host not in _TRUTHS:
        raise _wrong("ssl_check_hostname is not known", "it is true or false")
    checks = {"ssl_cert_reqs": check, "ssl_check_hostname": _TRUTHS[host] and check != "none"}
    return {**checks, **given}


def _demand_readable(name: str, path: Path) -> None:
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            path.open("rb").close()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise _wrong(f"{name}: cannot read {path}: {why}", "name a file that is there") from error


def _wrong(message: str, hint: str) -> DefinitionError:
    return DefinitionError(f"HEADWAY_BROKER_URL: {message}", code="invalid_settings", hint=hint)
