from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from headway.clock import SystemClock
from headway.errors import DefinitionError
from headway_worker.command import load_settings
from headway_worker.identity import StateFolder
from headway_worker.settings import LocalSettings, loaded

ENV = {
    "HEADWAY_BROKER_URL": "redis://user:hush@broker:6379/0",
    "HEADWAY_API_URL": "http://a:8080, http://b:8080",
    "HEADWAY_TOKEN": "hw_hush",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_SLOTS", "7")
    assert load_settings({}).slots == 7
    settings = load_settings({"slots": 2, "classes": ("small", "io")})
    assert settings.slots == 2
    assert settings.queues("analytics") == ["analytics.small", "analytics.io"]
    assert settings.api_url == ("http://a:8080", "http://b:8080")


def test_shown_settings_hold_no_secret() -> None:
    shown = json.dumps(load_settings({}).redacted())
    assert "hush" not in shown
    assert "broker:6379" in shown


def test_a_wrong_address_of_the_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_BROKER_URL", "redis://:hush@broker:port/0")
    with pytest.raises(DefinitionError, match="HEADWAY_BROKER_URL: a port") as caught:
        load_settings({})
    assert caught.value.hint is not None
    url = "sentinel://:hush@a,b/0?master_name=m&sentinel_password=hush"
    monkeypatch.setenv("HEADWAY_BROKER_URL", url)
    assert "hush" not in json.dumps(load_settings({}).redacted())


def test_nothing_private_is_reached_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    private = ip_address("10.1.2.3")
    assert load_settings({}).reachable().refusal("inside", private) == "private"
    monkeypatch.setenv("HEADWAY_HTTP_ALLOW", "10.1.0.0/16, *.svc")
    assert load_settings({}).reachable().refusal("inside", private) is None
    monkeypatch.setenv("HEADWAY_HTTP_ALLOW", "10.1.0.0/33")
    with pytest.raises(DefinitionError, match=r"HEADWAY_HTTP_ALLOW: .*10\.1\.0\.0/33"):
        load_settings({})


def test_a_worker_inside_another_process_may_reach_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loopback = ip_address("127.0.0.1")
    assert loaded(LocalSettings, {}).reachable().refusal("localhost", loopback) is None
    monkeypatch.setenv("HEADWAY_HTTP_ALLOW", "")
    assert loaded(LocalSettings, {}).reachable().refusal("localhost", loopback) == "loopback"


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADWAY_TOKEN")
    with pytest.raises(DefinitionError, match="HEADWAY_TOKEN"):
        load_settings({})


def test_the_token_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hw_from_the_file\n")
    monkeypatch.setenv("HEADWAY_TOKEN_FILE", str(file))
    assert load_settings({}).token.get_secret_value() == "hw_hush"
    monkeypatch.delenv("HEADWAY_TOKEN")
    assert load_settings({}).token.get_secret_value() == "hw_from_the_file"
    file.unlink()
    with pytest.raises(DefinitionError, match=str(file)):
        load_settings({})


def test_workers_beside_each_other_have_folders_and_names_of_their_own(tmp_path: Path) -> None:
    clock = SystemClock()
    first, second = StateFolder.open(tmp_path), StateFolder.open(tmp_path)
    one, two = first.identity(clock), second.identity(clock)
    assert (first.path.name, second.path.name) == ("worker-0", "worker-1")
    assert one.worker != two.worker
    first.close()
    again = StateFolder.open(tmp_path)
    back = again.identity(clock)
    assert back.worker == one.worker, "the name stays with the folder"
    assert back.boot != one.boot
    again.close()
    second.close()


@pytest.mark.parametrize("text", ["90", "90s", "1m30s"])
def test_a_duration_is_seconds_or_has_units(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HEADWAY_DRAIN_TIMEOUT", text)
    assert load_settings({}).drain_timeout.total_seconds() == 90


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADWAY_API_URL", "garbage"),
        ("HEADWAY_API_URL", "http://a:8080,ftp://b"),
        ("HEADWAY_BROKER_URL", "http://x"),
        ("HEADWAY_METRICS_LISTEN", "9000"),
    ],
)
def test_an_address_that_is_none_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(DefinitionError, match=name):
        load_settings({})
