"""The API process: holds no run state, so that any number of them serve side by side."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

import structlog
import uvicorn

from headway.clock import SystemClock
from headway.errors import UnavailableError
from headway.garbage import spare_what_stays
from headway.listening import host_and_port
from headway_coordinator.api.app import App, create_app
from headway_coordinator.api.wire import GatheringProtocol
from headway_coordinator.application.services import Services
from headway_coordinator.broker.pinging import BrokerPing
from headway_coordinator.broker.publishing import Publisher
from headway_coordinator.examination import Examiner
from headway_coordinator.integrations.api_metrics import ApiMetrics
from headway_coordinator.integrations.store import open_store
from headway_coordinator.integrations.webhooks import SOURCES, cloudevents
from headway_coordinator.page import page_routes
from headway_coordinator.settings import CoordinatorSettings
from headway_coordinator.storage.opening import open_storage

log = structlog.get_logger("headway.api")

_GRACE_S = 10
_LATE = 3  # claim deadlines: what is lost was rung again by then


class QuietServer(uvicorn.Server):
    """uvicorn's own looks ten times a second whether it is to end; this one is woken for it.

    uvicorn's tick also tells the time to the answers; here the protocol does, when it needs it.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Sleep until a signal comes."""
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._told.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)


def server_config(app: App, listen: str) -> uvicorn.Config:
    """Return how the app is served on `host:port`."""
    host, port = host_and_port(listen)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=GatheringProtocol,
        log_config=None,
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
        date_header=False,
    )


def serve(settings: CoordinatorSettings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    Raises:
        UnavailableError: the address to listen on is taken.
    """
    storage = open_storage(
        settings.database_url.get_secret_value(), application_name=f"headway-api:{settings.holder}"
    )
    publisher = Publisher(settings.broker_url.get_secret_value(), "api")
    metrics = ApiMetrics()
    clock = SystemClock()
    services = Services(
        storage=storage,
        store=open_store(settings.store_url),
        secret_key=settings.key(),
        former_keys=settings.former_keys(),
        clock=clock,
        nudge=publisher.nudge,
        nudge_triggers=publisher.nudge_triggers,
        nudge_notifications=publisher.nudge_notifications,
        worker_lease=settings.worker_lease,
        heartbeat=settings.heartbeat,
        late_after=_LATE * settings.claim_deadline,
        refused=metrics.refused,
        examine=Examiner(
            settings.database_url.get_secret_value(),
            settings.broker_url.get_secret_value(),
            clock,
            lambda: [row["queue"] for row in storage.queries.queues(teams=None)],
        ),
        hook_sources=SOURCES,
        cloudevents=cloudevents.parse,
        broker_answers=BrokerPing(settings.broker_url.get_secret_value(), clock),
    )
    app = create_app(services, page_routes(services))
    server = QuietServer(server_config(app, settings.listen))
    listener, metrics_port = metrics.serve(settings.api_metrics_listen)
    log.info("settings", **settings.redacted())
    log.info("api_started", pid=os.getpid(), listen=settings.listen, metrics_port=metrics_port)
    spare_what_stays()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again when it has ended; there is work left to be done then.
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit as error:
        raise UnavailableError(
            "address_in_use", f"cannot listen on {settings.listen}", "set HEADWAY_LISTEN"
        ) from error
    finally:
        listener.shutdown()
        listener.server_close()
        publisher.close()
        storage.close()
    log.info("api_stopped")
    return 0
