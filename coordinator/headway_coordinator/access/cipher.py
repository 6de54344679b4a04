"""Secrets' values, encrypted and authenticated: AES-256-GCM under keys derived from the secret key.

What is decrypted is bound to its team, name and version: a row that was copied to another team, or
put back from before, is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A value as it is stored: under which key, and nonce and ciphertext in one."""

    team: str
    name: str
    version: int
    key_id: str
    box: bytes = field(repr=False)

    @property
    def bound_to(self) -> bytes:
        """What the ciphertext is authenticated with; neither names nor numbers hold a `|`."""
        return f"{self.team}|{self.name}|{self.version}".encode()


class UnreadableSecretError(Exception):
    """A value cannot be decrypted: its key is not known here, or it was tampered with."""


class Cipher:
    """Seals under the secret key; opens what was sealed under it or under a former one."""

    def __init__(self, key: bytes, former: Sequence[bytes] = ()) -> None:
        boxes = [
            (_derived(each, b"id", 8).hex(), _derived(each, b"value", 32))
            for each in (key, *former)
        ]
        self.key_id = boxes[0][0]
        self._ciphers = {id: AESGCM(derived) for id, derived in reversed(boxes)}

    def knows(self, key_id: str) -> bool:
        """Say whether what was sealed under that key can be opened."""
        return key_id in self._ciphers

    def seal(self, team: str, name: str, version: int, value: str, nonce: bytes) -> SealedSecret:
        """Return the value encrypted under the present key; `nonce` is 12 random bytes."""
        empty = SealedSecret(team, name, version, self.key_id, b"")
        sealed = self._ciphers[self.key_id].encrypt(nonce, value.encode(), empty.bound_to)
        return SealedSecret(team, name, version, self.key_id, nonce + sealed)

    def open(self, sealed: SealedSecret) -> str:
        """Return the value.

        Raises:
            UnreadableSecretError: says why.
        """
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise UnreadableSecretError("it was encrypted under another HEADWAY_SECRET_KEY")
        nonce, box = sealed.box[:NONCE_BYTES], sealed.box[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, box, sealed.bound_to).decode()
        except (InvalidTag, ValueError):
            raise UnreadableSecretError("what is stored is not what was encrypted") from None


def _derived(key: bytes, purpose: bytes, size: int) -> bytes:
    # A key of its own: no completion token or session is made with what encrypts values.
    info = b"headway secrets " + purpose
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(key)
