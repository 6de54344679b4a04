"""Requests that are meant to hurt cost the API less than 100 MB."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.api.house import House
from tests.unit.api.test_bodies import HEAVY, JSON

MEMORY_BYTES = 100 * 1024 * 1024
WORKERS = {
    "claims": '{"worker":"w1","boot":"b1","claims":[',
    "heartbeat": '{"worker":"w1","boot":"b1","running":[',
    "completions": '{"completions":[',
    "logs": '{"worker":"w1","boot":"b1","chunks":[',
    "register": '{"worker":"w1","boot":"b1","classes":[',
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    built = House(tmp_path)
    built.apply()
    built.register()
    yield built
    built.close()


def cost(house: House, role: str, path: str, body: bytes) -> tuple[int, int]:
    """Return the status of the answer, and by how many bytes the process grew meanwhile."""
    team = None if role == "admin" else "analytics"
    house.ask(role, "POST", path, team=team, headers=JSON, content=b"{}")  # type: ignore[arg-type]
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _bytes_of("VmRSS")
    answer = house.ask(role, "POST", path, team=team, headers=JSON, content=body)  # type: ignore[arg-type]
    return answer.status_code, _bytes_of("VmHWM") - before


def _bytes_of(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("kind", HEAVY)
def test_a_person_s_request_is_refused_in_bounds(house: House, kind: str) -> None:
    path, body, status, _ = HEAVY[kind]
    answered, grown = cost(house, "admin", path, body)
    assert answered == status
    assert grown < MEMORY_BYTES


@pytest.mark.parametrize("unit", ["[],", "{},", '{"a":1},', '"x",', "1,"])
@pytest.mark.parametrize("call", WORKERS)
def test_a_worker_s_call_is_refused_in_bounds(house: House, call: str, unit: str) -> None:
    body = (WORKERS[call] + unit * (8_000_000 // len(unit)) + "0]}").encode()
    answered, grown = cost(house, "worker", f"/worker/v1/{call}", body)
    assert answered == 422
    assert grown < MEMORY_BYTES
