"""`headway secret`: the value comes from anywhere but the command line, and is never printed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply, problem

SET = {"name": "token", "team": "demo", "version": 1, "changed": True}


class Stdin:
    """Standard input of given bytes, or a terminal."""

    def __init__(self, data: bytes | None) -> None:
        self.buffer = io.BytesIO(data or b"")
        self._is_terminal = data is None

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"one\ntwo\n", "one\ntwo\n"),
        ("hünter\n".encode(), "hünter"),
    ],
)
def test_a_value_from_stdin(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch, given: bytes, sent: str
) -> None:
    api.on("PUT /secrets/token", Reply(SET))
    monkeypatch.setattr("sys.stdin", Stdin(given))
    done = headway("secret", "set", "token", "--team", "demo")
    assert done.status == 0
    assert done.out == "secret token of team demo is set, version 1\n"
    assert api.asked[0].body == {"value": sent, "team": "demo"}
    assert sent not in done.out + done.err


def test_a_value_from_a_file(headway: Command, api: ApiDouble, tmp_path: Path) -> None:
    api.on("PUT /secrets/token", Reply({**SET, "changed": False}))
    file = tmp_path / "key"
    file.write_text("hunter2\n")
    done = headway("secret", "set", "token", "--from-file", str(file))
    assert "is unchanged" in done.out
    assert api.asked[0].body == {"value": "hunter2"}
    done = headway("secret", "set", "token", "--from-file", str(file), "--json")
    assert done.document == {**SET, "changed": False}
    missing = headway("secret", "set", "token", "--from-file", str(tmp_path / "none"))
    assert missing.status == 2


def test_a_terminal_is_asked_without_an_echo(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("PUT /secrets/token", Reply(SET))
    monkeypatch.setattr("sys.stdin", Stdin(None))
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed value")
    assert headway("secret", "set", "token").status == 0
    assert api.asked[0].body == {"value": "typed value"}


def test_a_value_on_the_command_line_is_refused_and_not_sent(
    headway: Command, api: ApiDouble
) -> None:
    done = headway("secret", "set", "token", "hunter2")
    assert done.status == 2
    assert "seen by others" in done.err
    assert "hunter2" not in done.err
    assert api.asked == []


def test_a_value_that_is_no_text_is_refused(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(b"\xff\xfe"))
    done = headway("secret", "set", "token")
    assert done.status == 2
    assert "base64" in done.err
    assert api.asked == []


def test_the_list_has_everything_but_values(headway: Command, api: ApiDouble) -> None:
    row: dict[str, Any] = {
        "name": "token",
        "team": "demo",
        "version": 3,
        "changed_at": "2026-01-01T00:00:00.000Z",
        "changed_by": "ada",
        "readable": True,
    }
    api.on("GET /secrets", Reply({"secrets": [row, {**row, "name": "old", "readable": False}]}))
    done = headway("secret", "list", "--team", "demo")
    assert "token  demo  3        2026-01-01 00:00:00Z  ada" in done.out
    assert "cannot be decrypted" in done.out.splitlines()[-1]
    assert api.asked[0].query["team"] == "demo"
    assert headway("secret", "list", "--json").document["secrets"][0] == row
    api.on("GET /secrets", Reply({"secrets": []}))
    assert "headway secret set NAME" in headway("secret", "list").out


def test_removing(headway: Command, api: ApiDouble) -> None:
    api.on("DELETE /secrets/token", Reply({"name": "token", "team": "demo", "removed": True}))
    done = headway("secret", "rm", "token")
    assert done.out == "secret token of team demo is removed\n"
    api.on("DELETE /secrets/token", problem(404, "not_found", "team demo has no secret `token`"))
    done = headway("secret", "rm", "token")
    assert done.status == 4
    assert "has no secret `token`" in done.err


def test_changing_keys_names_what_is_lost(headway: Command, api: ApiDouble) -> None:
    api.on("POST /secrets/rekey", Reply({"rekeyed": 2, "unreadable": []}))
    assert headway("secret", "rekey").status == 0
    lost = [{"team": "demo", "name": "token"}]
    api.on("POST /secrets/rekey", Reply({"rekeyed": 1, "unreadable": lost}))
    done = headway("secret", "rekey")
    assert done.status == 1
    assert "secret token of team demo cannot be decrypted" in done.err
