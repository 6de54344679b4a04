"""`headway doctor` before a server that answers what a test wants: statuses, words, doubts."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import headway as package
from headway.clock import SystemClock, rfc3339
from headway.findings import Finding, fine, note, unknown, wrong
from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply

GOOD = [fine("leader", "coordinator-1 leads")]
KEY = "0a1b2c3d"


@pytest.fixture(autouse=True)
def nothing_of_a_coordinator(monkeypatch: pytest.MonkeyPatch, api: ApiDouble) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "SECRET_KEY_FILE"):
        monkeypatch.delenv(f"HEADWAY_{name}", raising=False)


def answer(*findings: Finding, **more: Any) -> Reply:
    return Reply(
        {
            "version": package.__version__,
            "at": rfc3339(SystemClock().now()),
            "key": KEY,
            "servers": [fine("broker.reachable", "Redis 7.4.1 answers").as_dict()],
            "findings": [each.as_dict() for each in findings or GOOD],
            **more,
        }
    )


def rows(document: Any) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in document["findings"]}


def test_nothing_is_wrong(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HEADWAY_STATE_DIR")
    api.on("GET /diagnosis", answer())
    done = headway("doctor", "--json")
    assert done.status == 0
    found = rows(done.document)
    assert found["leader"]["where"] == api.url
    assert found["clock.here"]["status"] == "fine"
    assert found["api.version"]["status"] == "fine"
    assert found["broker.reachable"]["message"] == "Redis 7.4.1 answers"
    assert "state_dir" not in found
    # One coordinator's key could be compared with nobody's: not wrong, and not fine either.
    assert found["secret_key"]["status"] == "unknown"
    assert done.document["verdict"] == "unknown"
    assert headway("doctor").out.splitlines()[-1].startswith("Nothing is wrong as far as can be")


def test_all_is_well_once_all_could_be_seen(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from headway_coordinator.application.diagnosing import key_fingerprint

    (tmp_path / "state").mkdir()
    monkeypatch.setenv("HEADWAY_SECRET_KEY", "the key of this test")
    api.on("GET /diagnosis", answer(key=key_fingerprint(b"the key of this test")))
    done = headway("doctor")
    assert done.status == 0
    assert done.out.splitlines()[-1].startswith("All is well: ")
    monkeypatch.setenv("HEADWAY_SECRET_KEY", "another key than this")
    done = headway("doctor", "--json")
    assert done.status == 1
    assert rows(done.document)["secret_key"]["status"] == "wrong"


@pytest.mark.parametrize(
    ("finding", "status", "verdict"),
    [
        (wrong("leader", "nobody leads", "start one"), 1, "wrong"),
        (unknown("leader", "in the dark", "make light"), 0, "unknown"),
        (note("leader", "so so", "as you like"), 0, "unknown"),  # the key alone is unknown
    ],
)
def test_the_exit_status(
    headway: Command, api: ApiDouble, finding: Finding, status: int, verdict: str, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    api.on("GET /diagnosis", answer(finding))
    done = headway("doctor", "--json")
    assert (done.status, done.document["verdict"]) == (status, verdict)
    text = headway("doctor")
    assert text.status == status
    assert finding.mend is not None
    assert f"→ {finding.mend}" in text.out


def test_nobody_answers(headway: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_API_URL", "http://127.0.0.1:9")
    done = headway("doctor", "--json")
    assert (done.status, done.document["verdict"]) == (3, "unreachable")
    assert rows(done.document)["api.reachable"]["status"] == "wrong"
    assert headway("doctor").out.splitlines()[-1].startswith("No coordinator answers")


def test_one_of_two_addresses_is_away(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET /diagnosis", answer())
    monkeypatch.setenv("HEADWAY_API_URL", f"http://127.0.0.1:9,{api.url}")
    done = headway("doctor", "--json")
    assert done.status == 1
    reached = [row for row in done.document["findings"] if row["check"] == "api.reachable"]
    assert [(row["where"], row["status"]) for row in reached] == [
        ("http://127.0.0.1:9", "wrong"),
        (api.url, "fine"),
    ]
    assert rows(done.document)["leader"]["status"] == "fine"


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_that_are_apart(headway: Command, api: ApiDouble, hours: int) -> None:
    api.on("GET /diagnosis", answer(at=rfc3339(SystemClock().now() + timedelta(hours=hours))))
    found = rows(headway("doctor", "--json").document)["clock.here"]
    assert found["status"] == "wrong"
    # An hour, give or take what it takes to ask.
    assert re.search(r"\b3[56]\d\d s apart", found["message"])


@pytest.mark.parametrize(
    ("more", "check"),
    [
        ({"at": None}, "clock.here"),
        ({"servers": None}, "servers"),
        ({"findings": [{"check": 1}]}, "findings"),
        ({"findings": [{"check": "new", "message": "x", "status": "glorious"}]}, "new"),
        ({"key": None}, "secret_key"),
    ],
)
def test_what_is_not_told_is_unknown(
    headway: Command, api: ApiDouble, more: dict[str, Any], check: str
) -> None:
    api.on("GET /diagnosis", answer(**more))
    assert rows(headway("doctor", "--json").document)[check]["status"] == "unknown"


def test_another_version(headway: Command, api: ApiDouble) -> None:
    api.on("GET /diagnosis", answer(version="9.9.9"))
    found = rows(headway("doctor", "--json").document)["api.version"]
    assert found["status"] == "note"
    assert "9.9.9" in found["message"]


def test_a_state_folder_that_is_not_there(headway: Command, api: ApiDouble) -> None:
    api.on("GET /diagnosis", answer())
    done = headway("doctor", "--json")
    assert done.status == 1
    assert rows(done.document)["state_dir"]["status"] == "wrong"


def test_a_state_folder_in_memory(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET /diagnosis", answer())
    monkeypatch.setenv("HEADWAY_STATE_DIR", "/dev/shm")
    found = rows(headway("doctor", "--json").document)["state_dir"]
    assert found["status"] == "wrong"
    assert "in memory" in found["message"]


def test_a_key_file_that_cannot_be_read(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.on("GET /diagnosis", answer())
    monkeypatch.setenv("HEADWAY_SECRET_KEY_FILE", str(tmp_path / "none"))
    findings = headway("doctor", "--json").document["findings"]
    told = [row["message"] for row in findings if row["check"] == "secret_key"]
    assert any("HEADWAY_SECRET_KEY_FILE cannot be read" in each for each in told)
