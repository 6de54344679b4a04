"""The coordinator's processes: the supervisor, the engine and the API."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import structlog

from headway import crash_points
from headway.clock import SystemClock
from headway_coordinator.embedded import HEADWAY
from headway_coordinator.logging import set_up_logging
from headway_coordinator.settings import CoordinatorSettings
from headway_coordinator.storage.exclusive import exclusive
from headway_coordinator.supervision import (
    WRONG_USE,
    Child,
    Supervisor,
    stop_on_signals,
    supervise,
)

log = structlog.get_logger("headway.coordinator")

SUPERVISED = "HEADWAY_SUPERVISED"


def run_coordinator(settings: CoordinatorSettings) -> int:
    """Supervise an engine and an API until a signal; return the exit status.

    It is that of wrong use when one of them cannot do with these settings.
    """
    set_up_logging(settings.log_level)
    stop = stop_on_signals()
    settings.key()
    with exclusive(settings.database_url.get_secret_value()):
        supervisor = Supervisor(SystemClock())
        for part in ("engine", "api"):
            argv = [*HEADWAY, "coordinator", "--only", part]
            supervisor.start(Child(f"coordinator-{part}", argv, {SUPERVISED: "1"}))
        refused = supervise(supervisor, stop)
        supervisor.stop()
    return 0 if refused is None else WRONG_USE


def run_engine(settings: CoordinatorSettings) -> int:
    """Run the engine until a signal."""
    crash_points.arm(settings.crash_at)
    from headway_coordinator.bootstrap import Engine

    set_up_logging(settings.log_level)
    stop = stop_on_signals()
    with _alone(settings):
        Engine(settings).run(stop)
    return 0


def run_api(settings: CoordinatorSettings) -> int:
    """Serve the API until a signal."""
    crash_points.arm(settings.crash_at)
    from headway_coordinator.serving import serve

    set_up_logging(settings.log_level)
    return serve(settings)


def _alone(settings: CoordinatorSettings) -> AbstractContextManager[None]:
    """Hold the database, unless the supervisor that started this process does."""
    if os.environ.get(SUPERVISED):
        return nullcontext()
    return exclusive(settings.database_url.get_secret_value())
