"""The coordinator's settings: checked across fields, shown without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.errors import DefinitionError
from headway_coordinator.settings import load_settings

GOOD = {
    "HEADWAY_DATABASE_URL": "postgresql://user:hunter2@db/headway",
    "HEADWAY_BROKER_URL": "redis://:swordfish@broker/0",
    "HEADWAY_SECRET_KEY": "0123456789abcdef0123456789abcdef",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_no_secret_is_shown() -> None:
    shown = str(load_settings().redacted())
    for secret in ("hunter2", "swordfish", GOOD["HEADWAY_SECRET_KEY"]):
        assert secret not in shown
    assert "user" in shown
    assert "redis://" in shown


@pytest.mark.parametrize("name", ["HEADWAY_DATABASE_URL", "HEADWAY_BROKER_URL"])
def test_a_missing_address_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(DefinitionError, match=name):
        load_settings()


def test_sentinels_need_the_name_of_their_master(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_BROKER_URL", "sentinel://:swordfish@a,b/0")
    with pytest.raises(DefinitionError, match=r"HEADWAY_BROKER_URL: .*not the master") as caught:
        load_settings()
    assert "master_name" in str(caught.value.hint)
    url = "sentinel://:swordfish@a,b/0?master_name=m&sentinel_password=swordfish"
    monkeypatch.setenv("HEADWAY_BROKER_URL", url)
    shown = str(load_settings().redacted())
    assert "master_name=m" in shown
    assert "swordfish" not in shown


def test_a_key_must_be_given_somehow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADWAY_SECRET_KEY")
    with pytest.raises(DefinitionError, match="HEADWAY_SECRET_KEY_FILE"):
        load_settings()


def test_the_key_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEADWAY_SECRET_KEY")
    (tmp_path / "key").write_text("abcdefghijklmnopqrst\n")
    monkeypatch.setenv("HEADWAY_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert load_settings().key() == b"abcdefghijklmnopqrst"


def test_a_short_key_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_SECRET_KEY", "short")
    with pytest.raises(DefinitionError, match="at least 16") as caught:
        load_settings().key()
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("text", "seconds"), [("9", 9), ("9s", 9), ("1m30s", 90), ("500ms", 0.5), ("2.5", 2.5)]
)
def test_durations_are_seconds_or_have_a_unit(
    text: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_EXPRESSION_BUDGET", text)
    assert load_settings().expression_budget.total_seconds() == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [("HEADWAY_LEASE_TERM", "0"), ("HEADWAY_WORKER_LEASE", "5"), ("HEADWAY_LEASE_TERM", "soon")],
)
def test_times_that_do_not_fit_are_refused_by_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(DefinitionError, match=name):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADWAY_LISTEN", "foo"),
        ("HEADWAY_LISTEN", "127.0.0.1:99999"),
        ("HEADWAY_METRICS_LISTEN", "9000"),
        ("HEADWAY_API_METRICS_LISTEN", "host:"),
        ("HEADWAY_BROKER_URL", "http://x"),
        ("HEADWAY_LOG_LEVEL", "loud"),
        ("HEADWAY_CLAIM_DEADLINE", "0"),
        ("HEADWAY_HEARTBEAT", "-1"),
        ("HEADWAY_EXPRESSION_BUDGET", "0s"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(DefinitionError, match=name) as caught:
        load_settings()
    assert (caught.value.code, caught.value.exit_status) == ("invalid_settings", 2)


@pytest.mark.parametrize(
    ("listen", "watched"),
    [
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        (":81", "http://127.0.0.1:81"),
        ("[::1]:82", "http://[::1]:82"),
        ("[::]:83", "http://127.0.0.1:83"),
    ],
)
def test_the_own_api_is_watched(listen: str, watched: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_LISTEN", listen)
    assert load_settings().watched_api() == watched
