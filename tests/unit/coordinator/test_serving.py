"""The server that sleeps until it is told to end."""

from __future__ import annotations

import asyncio
import signal

import pytest
import uvicorn

from headway_coordinator.serving import QuietServer


@pytest.fixture
def server() -> QuietServer:
    return QuietServer(uvicorn.Config(lambda: None, log_config=None))


def test_it_ends_when_a_signal_comes(server: QuietServer) -> None:
    async def live() -> None:
        serving = asyncio.create_task(server.main_loop())
        await asyncio.sleep(0)
        assert not serving.done()
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.wait_for(serving, 20)

    asyncio.run(live())


def test_a_signal_before_it_serves_is_not_missed(server: QuietServer) -> None:
    server.handle_exit(signal.SIGTERM, None)
    asyncio.run(asyncio.wait_for(server.main_loop(), 20))
