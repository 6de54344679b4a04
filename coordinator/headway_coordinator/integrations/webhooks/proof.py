"""The ways in which a sender proves itself: signatures of the body, and tokens.

Everything is compared as bytes and in constant time, with every secret that is active, so that
neither the answer nor its time tells which one was nearly right.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from headway_coordinator.triggers.hooks import HookRequest, Refused, Verified

WINDOW = timedelta(minutes=5)
"""How far a signed time may lie from now, before or after."""
CHALLENGE = 'Basic realm="headway"'
_LONGEST_NAME = 200
_SECONDS = re.compile("[0-9]{1,12}")
_PREFIX = "whsec_"
_SIGNATURE = "sha256="


def same(given: bytes, expected: Iterable[bytes]) -> bool:
    """Return whether `given` is one of the expected; all are compared, none is empty."""
    return sum(hmac.compare_digest(given, each) for each in expected if each) > 0


def check_token(header: str, request: HookRequest, secrets: Sequence[str]) -> Verified | Refused:
    """Prove the request by a header that holds one of the secrets itself."""
    given = request.headers.get(header)
    if not given:
        return unsigned(f"the header {header} is missing")
    return _verdict(request, same(sent(given), usable(secrets)), f"{header} is not the secret")


def check_authorization(request: HookRequest, secrets: Sequence[str]) -> Verified | Refused:
    """Prove the request by `Authorization`: Bearer with a secret, or Basic with it as password.

    A secret `user:password` is compared with both parts, any other with the password alone.
    """
    given = request.headers.get("authorization")
    if not given:
        return unsigned("the header authorization is missing")
    scheme, _, credentials = given.partition(" ")
    match scheme.lower():
        case "bearer":
            good = same(sent(credentials.strip()), usable(secrets))
        case "basic":
            good = _is_basic(credentials.strip(), secrets)
        case _:
            good = False
    return _verdict(request, good, "Authorization does not hold the secret")


def _is_basic(credentials: str, secrets: Sequence[str]) -> bool:
    pair = decoded(credentials)
    if pair is None:
        return False
    password = pair.partition(b":")[2]
    # Both are always compared, so that the time does not tell which form a secret has.
    return sum((same(pair, usable(secrets)), same(password, usable(secrets)))) > 0


def check_body(header: str, request: HookRequest, secrets: Sequence[str]) -> Verified | Refused:
    """Prove the request by a header `sha256=<hex>`: the HMAC of the raw body under a secret."""
    given = request.headers.get(header)
    if not given:
        return unsigned(f"the header {header} is missing")
    expected = [
        f"{_SIGNATURE}{hmac.new(key, request.body, hashlib.sha256).hexdigest()}".encode()
        for key in usable(secrets)
    ]
    return _verdict(request, same(sent(given), expected), f"{header} does not fit the body")


def check_standard(
    request: HookRequest, secrets: Sequence[str], now: datetime
) -> Verified | Refused:
    """Prove the request as Standard Webhooks says: id, time and body under one signature.

    The signature is looked at before the time, so that `stale` is only said to who knows a secret.
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    missing = [name for name in names if not request.headers.get(name)]
    if missing:
        return unsigned(f"the header {missing[0]} is missing")
    delivery, timestamp, signatures = (request.headers[name] for name in names)
    if not _is_standard(sent(delivery), sent(timestamp), request.body, signatures, secrets):
        return Refused("bad_signature", "webhook-signature does not fit id, time and body")
    if not _SECONDS.fullmatch(timestamp):
        return Refused("bad_signature", "webhook-timestamp is not a time in whole seconds")
    if abs(now.timestamp() - int(timestamp)) > WINDOW.total_seconds():
        return Refused("stale", "webhook-timestamp is more than five minutes from now")
    return Verified(delivery_name(delivery))


def _is_standard(
    delivery: bytes, timestamp: bytes, body: bytes, signatures: str, secrets: Sequence[str]
) -> bool:
    content = b".".join((delivery, timestamp, body))
    expected = [
        base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()) for key in _keys(secrets)
    ]
    # Other versions stand beside v1 while a sender changes its keys or its scheme.
    given = [entry[3:] for entry in signatures.split(" ") if entry.startswith("v1,")]
    return sum(same(sent(each), expected) for each in given) > 0


def _keys(secrets: Sequence[str]) -> list[bytes]:
    """Return the keys that the secrets stand for: base64, or a plain text without the prefix."""
    keys = []
    for secret in secrets:
        key = decoded(secret.removeprefix(_PREFIX))
        if key is None and not secret.startswith(_PREFIX):
            key = _bytes(secret)
        if key:
            keys.append(key)
    return keys


def is_signing_key(secret: str) -> bool:
    """Return whether the secret is written as the key of a Standard Webhooks signature."""
    return secret.startswith(_PREFIX)


def digest_of(*parts: bytes) -> str:
    """Return a name for what the parts say together: 64 hexadecimal digits."""
    summed = hashlib.sha256()
    for part in parts:
        summed.update(b"%d:" % len(part) + part)
    return summed.hexdigest()


def delivery_name(given: str) -> str:
    """Return the sender's own name of a delivery; a digest of one that is too long to keep."""
    return given if len(given) <= _LONGEST_NAME else digest_of(sent(given))


def named(verdict: Verified | Refused, request: HookRequest, *headers: str) -> Verified | Refused:
    """Return the verdict, with the delivery named by the first of the headers that is there.

    The senders do not sign these names. They tell a repeated delivery from a new one that says the
    same; against who can read the connection, only TLS and signed times help.
    """
    given = next((request.headers[name] for name in headers if request.headers.get(name)), None)
    if given is None or isinstance(verdict, Refused):
        return verdict
    return Verified(delivery_name(given))


def unsigned(message: str) -> Refused:
    return Refused("unsigned", message)


def _verdict(request: HookRequest, good: bool, otherwise: str) -> Verified | Refused:
    """Return the verdict, with the delivery named by what it says: the digest of its body."""
    return Verified(digest_of(request.body)) if good else Refused("bad_signature", otherwise)


def usable(secrets: Sequence[str]) -> list[bytes]:
    """Return the secrets as bytes; an empty one proves nothing and is left out."""
    return [_bytes(secret) for secret in secrets if secret]


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")


def sent(value: str) -> bytes:
    """Return the bytes of a header's value, which servers read as Latin-1."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return _bytes(value)


def decoded(text: str) -> bytes | None:
    """Return what base64 stands for, with or without padding; None if it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
