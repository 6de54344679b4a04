"""Structured logs on standard error: one line an event, JSON unless a person reads along."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TextIO, cast

import structlog

from headway.lossy_stream import LossyStream


def set_up_logging(log_level: str = "info", file: Path | None = None) -> None:
    """Configure this process's logs: to standard error, or appended to `file`."""
    stream = sys.stderr if file is None else file.open("a", encoding="utf-8")
    level = logging.getLevelNamesMapping().get(log_level.upper(), logging.INFO)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, LossyStream(stream))),
        cache_logger_on_first_use=True,
    )
