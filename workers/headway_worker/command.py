"""From the command's options to a running worker: settings, logging, exit status."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

import structlog

from headway import crash_points
from headway.errors import HeadwayError
from headway.lossy_stream import LossyStream
from headway_worker.settings import WorkerSettings, loaded


def start(given: Mapping[str, Any]) -> int:
    """Run a worker with options over the environment; return its exit status."""
    log_to_stderr()
    try:
        settings = load_settings(given)
        crash_points.arm(settings.crash_at)
        from headway_worker.main import run

        return run(settings, os.environ)
    except HeadwayError as error:
        hint = f" ({error.hint})" if error.hint else ""
        print(f"error: {error.message}{hint}", file=sys.stderr)
        return error.exit_status


def load_settings(given: Mapping[str, Any]) -> WorkerSettings:
    """Return the settings. Raises DefinitionError (`invalid_settings`) naming each wrong one."""
    return loaded(WorkerSettings, given)


def log_to_stderr() -> None:
    """Write one line an event to standard error, for people at a terminal and as JSON elsewhere."""
    terminal = sys.stderr.isatty()
    render: Any = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
