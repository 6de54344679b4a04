"""Completion tokens and the MACs made with them.

A completion token is derived from the installation's secret key, so nothing is stored: only the
worker and boot that won the claim can be told it, and every coordinator can compute it again.
"""

from __future__ import annotations

import hashlib
import hmac


def completion_token(key: bytes, *, attempt: str, fence: int, worker: str, boot: str) -> str:
    """Return HMAC-SHA256(key, attempt|fence|worker|boot) in hexadecimal."""
    message = f"{attempt}|{fence}|{worker}|{boot}".encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def seal(body: bytes, token: str) -> str:
    """Return the MAC of `body` under a completion token."""
    return hmac.new(token.encode(), body, hashlib.sha256).hexdigest()


def is_sealed(body: bytes, mac: str, token: str) -> bool:
    """Say whether `mac` is the MAC of `body` under `token`, in constant time."""
    return hmac.compare_digest(seal(body, token), mac)
