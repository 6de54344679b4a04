"""The API process: holds no run state, so that any number of them serve side by side."""

from __future__ import annotations

import os
import signal

import structlog
import uvicorn

from headway.clock import SystemClock
from headway.errors import UnavailableError
from headway.garbage import spare_what_stays
from headway_coordinator.api.app import create_app
from headway_coordinator.application.services import Services
from headway_coordinator.broker.publishing import Publisher
from headway_coordinator.examination import Examiner
from headway_coordinator.integrations.api_metrics import ApiMetrics
from headway_coordinator.integrations.store import open_store
from headway_coordinator.page import page_routes
from headway_coordinator.settings import CoordinatorSettings
from headway_coordinator.storage.opening import open_storage

log = structlog.get_logger("headway.api")

_GRACE_S = 10


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
        clock=clock,
        nudge=publisher.nudge,
        worker_lease=settings.worker_lease,
        heartbeat=settings.heartbeat,
        refused=metrics.refused,
        examine=Examiner(
            settings.database_url.get_secret_value(),
            settings.broker_url.get_secret_value(),
            clock,
        ),
    )
    host, _, port = settings.listen.rpartition(":")
    config = uvicorn.Config(
        create_app(services, page_routes(services)),
        host=host or "127.0.0.1",
        port=int(port),
        log_config=None,
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
    )
    server = uvicorn.Server(config)
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
