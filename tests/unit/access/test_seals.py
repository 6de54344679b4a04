"""Sessions, tickets, tokens and where a browser is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headway.protocol.proof import completion_token
from headway_coordinator.access import seals
from headway_coordinator.access.addresses import local_path
from headway_coordinator.access.tokens import fingerprint, is_token, new_token

NOW = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
KEY = b"key"
NAME = fingerprint("hw_x")


def test_a_statement_names_its_token_until_it_ends() -> None:
    text, ends = seals.issue(KEY, "session", NAME, NOW)
    assert ends == NOW + timedelta(hours=12)
    assert seals.verify(KEY, "session", text, ends - timedelta(seconds=1)) == NAME
    assert seals.verify(KEY, "session", text, ends) is None


def test_a_ticket_is_no_session_nor_the_other_way_round() -> None:
    ticket, ends = seals.issue(KEY, "ticket", NAME, NOW)
    session, _ = seals.issue(KEY, "session", NAME, NOW)
    assert ends == NOW + timedelta(hours=1)
    assert seals.verify(KEY, "ticket", ticket, NOW) == NAME
    assert seals.verify(KEY, "session", ticket, NOW) is None
    assert seals.verify(KEY, "ticket", session, NOW) is None


def test_nothing_of_a_statement_can_be_changed() -> None:
    text, _ = seals.issue(KEY, "session", NAME, NOW)
    name, end, mac = text.split(".")
    other = fingerprint("hw_y")
    for forged in [
        f"{other}.{end}.{mac}",
        f"{name}.{int(end) + 1}.{mac}",
        f"{name}.{end}.{'0' * 64}",
        f"{name}.0{end}.{mac}" + "x",
        text.upper(),
        text + "\n",
        "",
        "..",
    ]:
        assert seals.verify(KEY, "session", forged, NOW) is None, forged
    assert seals.verify(b"other key", "session", text, NOW) is None


def test_a_completion_token_makes_no_session() -> None:
    _, ends = seals.issue(KEY, "session", NAME, NOW)
    end = int(ends.timestamp())
    mac = completion_token(KEY, attempt=f"session.{NAME}.{end}", fence=0, worker="", boot="")
    assert seals.verify(KEY, "session", f"{NAME}.{end}.{mac}", NOW) is None


def test_a_token_has_its_form_and_all_its_randomness() -> None:
    token = new_token(lambda size: bytes(range(size)))
    assert token == "hw_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert is_token(token)
    assert len(fingerprint(token)) == 64


@pytest.mark.parametrize(
    "text", ["", "hw_", "hw_" + "a" * 42, "hw_" + "a" * 44, "xx_" + "a" * 43, "hw_" + "é" * 43]
)
def test_what_has_another_form_is_no_token(text: str) -> None:
    assert not is_token(text)


@pytest.mark.parametrize("path", ["/", "/r/abc", "/?pipeline=sales&cursor=x", "/r/a%20b"])
def test_a_path_of_this_server_is_kept(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "r/abc",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        "///evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
        "/" + "a" * 3000,
    ],
)
def test_any_other_address_becomes_the_start(path: str | None) -> None:
    assert local_path(path) == "/"
