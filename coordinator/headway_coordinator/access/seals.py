"""Signed, expiring statements that a browser carries: sessions and sign-in tickets.

A statement names the fingerprint of the access token it was made from, so that revoking the token
ends its sessions and tickets too. A fingerprint is no secret: no token can be made from it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Literal

Purpose = Literal["session", "ticket"]

SESSION_COOKIE = "headway_session"
SESSION_LIFE = timedelta(hours=12)
TICKET_LIFE = timedelta(hours=1)
_LIVES = {"session": SESSION_LIFE, "ticket": TICKET_LIFE}
_SEAL = re.compile(r"([0-9a-f]{64})\.([0-9]{1,12})\.([0-9a-f]{64})")


def issue(key: bytes, purpose: Purpose, fingerprint: str, now: datetime) -> tuple[str, datetime]:
    """Return the statement's text and when it ends."""
    ends = int((now + _LIVES[purpose]).timestamp())
    text = f"{fingerprint}.{ends}.{_mac(key, purpose, fingerprint, ends)}"
    return text, datetime.fromtimestamp(ends, now.tzinfo)


def verify(key: bytes, purpose: Purpose, text: str, now: datetime) -> str | None:
    """Return the fingerprint that a valid statement of this purpose names, else None."""
    match = _SEAL.fullmatch(text)
    if match is None:
        return None
    fingerprint, ends = match[1], int(match[2])
    if not hmac.compare_digest(_mac(key, purpose, fingerprint, ends), match[3]):
        return None
    return fingerprint if now.timestamp() < ends else None


def _mac(key: bytes, purpose: str, fingerprint: str, ends: int) -> str:
    # A key of its own: no completion token, made with the same secret, can ever be a session.
    own = hmac.new(key, b"headway browser statement", hashlib.sha256).digest()
    return hmac.new(own, f"{purpose}.{fingerprint}.{ends}".encode(), hashlib.sha256).hexdigest()
