"""Whom the client asks and with which token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headway.errors import DefinitionError
from headway.settings import ClientSettings, connection


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HEADWAY_API_URL", "HEADWAY_TOKEN", "HEADWAY_TOKEN_FILE", "HEADWAY_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def left_by_up(folder: Path, url: str = "http://127.0.0.1:9999", token: str = "hw_local") -> None:
    folder.mkdir()
    (folder / "credentials.json").write_text(json.dumps({"api_url": url, "token": token}))


def test_the_default() -> None:
    assert connection(ClientSettings()) == (("http://127.0.0.1:8470",), None)


def test_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_API_URL", " http://a:1/, http://b:2 ,")
    monkeypatch.setenv("HEADWAY_TOKEN", "hw_mine")
    assert connection(ClientSettings()) == (("http://a:1", "http://b:2"), "hw_mine")


def test_what_up_left_is_taken_here(tmp_path: Path) -> None:
    left_by_up(tmp_path / ".headway")
    assert connection(ClientSettings()) == (("http://127.0.0.1:9999",), "hw_local")


def test_what_up_left_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left_by_up(tmp_path / "state")
    monkeypatch.setenv("HEADWAY_STATE_DIR", str(tmp_path / "state"))
    assert connection(ClientSettings())[1] == "hw_local"


def test_the_local_token_never_goes_to_another_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left_by_up(tmp_path / ".headway")
    monkeypatch.setenv("HEADWAY_API_URL", "http://elsewhere:1")
    assert connection(ClientSettings()) == (("http://elsewhere:1",), None)


def test_my_token_never_goes_to_an_address_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left_by_up(tmp_path / ".headway", url="http://elsewhere:1")
    monkeypatch.setenv("HEADWAY_TOKEN", "hw_mine")
    assert connection(ClientSettings()) == (("http://127.0.0.1:8470",), "hw_mine")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"api_url": 1}', "\udc80"])
def test_a_broken_file_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / ".headway").mkdir()
    file = tmp_path / ".headway" / "credentials.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert connection(ClientSettings()) == (("http://127.0.0.1:8470",), None)


def test_the_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_TOKEN", "hw_mine")
    assert "hw_mine" not in repr(ClientSettings())


def test_a_token_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hw_kept\n")
    left_by_up(tmp_path / ".headway")
    monkeypatch.setenv("HEADWAY_TOKEN_FILE", str(tmp_path / "token"))
    assert connection(ClientSettings()) == (("http://127.0.0.1:8470",), "hw_kept")
    monkeypatch.setenv("HEADWAY_TOKEN", "hw_mine")
    assert connection(ClientSettings())[1] == "hw_mine"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_token_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("HEADWAY_TOKEN_FILE", str(file))
    with pytest.raises(DefinitionError, match=f"HEADWAY_TOKEN_FILE.*{file}"):
        connection(ClientSettings())
