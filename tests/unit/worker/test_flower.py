"""How Flower is started: never without a password, never with it in sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headway.errors import DefinitionError
from headway_worker.flower import arguments, replace_with_flower, variables
from headway_worker.settings import FlowerSettings

BROKER = "redis://broker:6379/0"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTH", "AUTH_FILE", "LISTEN"):
        monkeypatch.delenv(f"HEADWAY_FLOWER_{name}", raising=False)
    monkeypatch.setenv("HEADWAY_BROKER_URL", BROKER)


def settings(**given: Any) -> FlowerSettings:
    """Return what is given, and the rest from the environment."""
    return FlowerSettings(**given)


@pytest.mark.parametrize(
    "auth", ["", "looker", "looker:", ":only-a-password", "looker:short", "a:twelve chars", "a,b:x"]
)
def test_no_password_no_flower(auth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_FLOWER_AUTH", auth)
    with pytest.raises(DefinitionError, match="HEADWAY_FLOWER_AUTH") as caught:
        replace_with_flower({}, {})
    assert caught.value.hint is not None
    assert auth == "" or auth not in f"{caught.value} {caught.value.hint}"


def test_the_password_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "auth"
    monkeypatch.setenv("HEADWAY_FLOWER_AUTH_FILE", str(file))
    with pytest.raises(DefinitionError, match="HEADWAY_FLOWER_AUTH_FILE cannot be read"):
        settings().sign_in()
    file.write_text("looker:a-long-password\n")
    assert settings().sign_in() == "looker:a-long-password"


def test_a_wrong_address_is_named() -> None:
    with pytest.raises(DefinitionError, match="HEADWAY_FLOWER_LISTEN"):
        replace_with_flower({"flower_listen": "localhost"}, {})
    with pytest.raises(DefinitionError, match="HEADWAY_BROKER_URL: it names Sentinels"):
        replace_with_flower({"broker_url": "sentinel://a,b/0"}, {})


def test_the_command_line_closes_what_flower_leaves_open() -> None:
    argv = arguments(settings(flower_listen=":5556"))
    assert {"--address=127.0.0.1", "--port=5556", "--read_only=True"} < set(argv)
    assert "--enable_events=False" in argv


def test_the_environment_holds_no_other_secret_and_opens_nothing() -> None:
    given = {
        "PATH": "/bin",
        "HEADWAY_TOKEN": "hw_hush",
        "HEADWAY_SECRET_KEY": "hush",
        "FLOWER_UNAUTHENTICATED_API": "true",
        "FLOWER_URL_PREFIX": "flower",
    }
    assert variables(settings(), "a:b", given) == {
        "PATH": "/bin",
        "FLOWER_URL_PREFIX": "flower",
        "HEADWAY_BROKER_URL": BROKER,
        "FLOWER_BASIC_AUTH": "a:b",
    }
