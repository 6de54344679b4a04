"""The API behind a real HTTP server: bodies without a length, downloads, a stream that follows."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from headway.clock import ManualClock
from headway_coordinator.api.wire import GatheringProtocol
from headway_coordinator.serving import server_config
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until
from tests.unit.api.house import START, House


class Server:
    """A house whose app is served on a loopback port by a thread."""

    def __init__(self, house: House) -> None:
        self.house = house
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._server = uvicorn.Server(server_config(house.app, f"127.0.0.1:{port}"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self._server.started, what="a listening server")

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def client(self, role: Any = "viewer") -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.house.token(role)}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    house = House(tmp_path)
    served = Server(house)
    served.start()
    yield served
    served.stop()
    house.close()


def test_answers_are_dated_when_they_are_asked_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(START)
    monkeypatch.setattr(GatheringProtocol, "clock", clock)
    with server.client() as client:
        first = client.get("/healthz")
        clock.advance(timedelta(hours=18, seconds=1))
        then = client.get("/healthz")
        lost = client.get("/nowhere")
    assert first.headers["date"] == "Sun, 01 Mar 2026 06:00:00 GMT"
    assert then.headers["date"] == lost.headers["date"] == "Mon, 02 Mar 2026 00:00:01 GMT"


def test_a_large_artifact_is_streamed_both_ways(server: Server) -> None:
    house = server.house
    run = house.running()
    won = house.won("extract")
    block = bytes(range(256)) * 256
    count = 200  # 13 MB
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(block)
    sha256 = digest.hexdigest()
    path = f"/worker/v1/artifacts/{won.dispatch.attempt}"
    with server.client("worker") as worker:
        stored = worker.put(
            path,
            params={"path": "big.bin", "fence": won.dispatch.fence},
            headers={"X-Headway-Sha256": sha256, "X-Headway-Token": won.token},
            content=(block for _ in range(count)),
        )
        assert stored.json() == {"path": "big.bin", "sha256": sha256, "size": len(block) * count}
        back = worker.get(f"{path}/{sha256}", headers={"X-Headway-Token": won.token})
        assert hashlib.sha256(back.content).hexdigest() == sha256
    assert [key for key, _ in house.store.list(f"artifacts/{run}")] == [f"artifacts/{run}/{sha256}"]


def test_an_upload_that_is_cut_leaves_nothing(server: Server) -> None:
    house = server.house
    run = house.running()
    won = house.won("extract")

    def cut() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise RuntimeError("the line is cut")

    with server.client("worker") as worker, pytest.raises(RuntimeError):
        worker.put(
            f"/worker/v1/artifacts/{won.dispatch.attempt}",
            params={"path": "cut.bin", "fence": won.dispatch.fence},
            headers={"X-Headway-Sha256": "0" * 64, "X-Headway-Token": won.token},
            content=cut(),
        )
    with server.client("worker") as worker:
        held = {"attempt": won.dispatch.attempt, "fence": won.dispatch.fence}
        beat = {"worker": "w1", "boot": "b1", "slots": 4, "slots_free": 3, "running": [held]}
        answer = worker.post("/worker/v1/heartbeat", json=beat)
        assert answer.json()["renewed"] == [won.dispatch.attempt]
    assert house.store.list(f"artifacts/{run}") == []


def test_an_endless_body_is_cut_off(server: Server) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200:
            sent += 1
            yield b"x" * 100_000

    with server.client("operator") as operator:
        try:
            response = operator.post("/api/v1/runs", content=endless())
        except httpx2.TransportError:
            pass  # the server closed the connection while we were sending
        else:
            assert response.status_code == 413
    assert sent < 200


def test_a_stream_follows_a_run_to_its_end(server: Server) -> None:
    house = server.house
    run = house.running()
    seen: list[str] = []
    with server.client() as client, client.stream("GET", f"/api/v1/runs/{run}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        seen.append(next(lines))
        house.finish("extract", outputs={"rows": 1})
        house.finish("load")
        seen += lines
    assert [line for line in seen if line.startswith("event:")][-1] == "event: end"
    assert any('"id":"load"' in line and '"to":"succeeded"' in line for line in seen)


def test_a_stream_ends_when_its_token_is_revoked(server: Server) -> None:
    house = server.house
    run = house.running()
    text, token = house.new_token("viewer")
    headers = {"Authorization": f"Bearer {text}"}
    with (
        httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client,
        client.stream("GET", f"/api/v1/runs/{run}/events") as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        house.ask("admin", "DELETE", f"/api/v1/tokens/{token.id}")
        rest = list(lines)
    assert 'data: {"reason":"unavailable"}' in rest
