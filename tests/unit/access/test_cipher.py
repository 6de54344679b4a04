"""A value opens under its own key and in its own place alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headway_coordinator.access.cipher import Cipher, UnreadableSecretError

KEY, OTHER = b"the key of a test", b"another key of a test"
NONCE = bytes(range(12))


def test_a_value_comes_back_and_is_not_in_what_is_stored() -> None:
    sealed = Cipher(KEY).seal("demo", "token", 1, "hünter2", NONCE)
    assert Cipher(KEY).open(sealed) == "hünter2"
    assert "hünter2".encode() not in sealed.box
    assert "box" not in repr(sealed)
    assert Cipher(KEY).seal("demo", "token", 1, "hünter2", NONCE[::-1]).box != sealed.box


@pytest.mark.parametrize(
    "change",
    [{"team": "risk"}, {"name": "other"}, {"version": 2}, {"box": bytes(40)}, {"box": b""}],
)
def test_a_row_in_another_place_is_not_read(change: dict[str, object]) -> None:
    sealed = Cipher(KEY).seal("demo", "token", 1, "hunter2", NONCE)
    with pytest.raises(UnreadableSecretError, match="not what was encrypted") as raised:
        Cipher(KEY).open(replace(sealed, **change))  # type: ignore[arg-type]
    assert "hunter2" not in str(raised.value)


def test_a_former_key_opens_and_never_seals() -> None:
    sealed = Cipher(KEY).seal("demo", "token", 1, "hunter2", NONCE)
    both = Cipher(OTHER, [KEY])
    assert both.open(sealed) == "hunter2"
    assert both.knows(sealed.key_id)
    assert both.seal("demo", "token", 1, "hunter2", NONCE).key_id == Cipher(OTHER).key_id
    assert not Cipher(OTHER).knows(sealed.key_id)
    with pytest.raises(UnreadableSecretError, match="another HEADWAY_SECRET_KEY"):
        Cipher(OTHER).open(sealed)


def test_what_is_known_of_the_key_is_not_the_key() -> None:
    cipher = Cipher(KEY)
    assert len(cipher.key_id) == 16
    assert KEY.hex() not in cipher.key_id
