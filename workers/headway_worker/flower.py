"""Starts Flower as it should run: signed in, read-only, on loopback, and silent towards workers.

Flower's own defaults are others: no password, every address, and an order to all workers every
five seconds to send events.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from headway.listening import host_and_port
from headway_worker.settings import FlowerSettings, loaded

_KEPT_TASKS = 5000
# Each would open what the command closes; the rest of Flower's own variables is let through.
_OPENING = ("FLOWER_UNAUTHENTICATED_API", "FLOWER_AUTH", "FLOWER_AUTH_PROVIDER", "FLOWER_DEBUG")


def replace_with_flower(given: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Become Flower. Returns only by an error.

    Raises:
        DefinitionError: Flower is not installed, or a setting is missing or makes no sense.
    """
    settings = loaded(FlowerSettings, given)
    who = settings.sign_in()
    _demand_flower()
    os.execve(sys.executable, arguments(settings), variables(settings, who, environment))


def arguments(settings: FlowerSettings) -> list[str]:
    """Return the command line; it holds no secret, since everybody on the machine can read it."""
    host, port = host_and_port(settings.flower_listen)
    options = {
        "address": host,
        "port": port,
        "read_only": True,
        "enable_events": False,
        "persistent": False,
        "max_tasks": _KEPT_TASKS,
        "conf": os.devnull,  # a flowerconfig.py that happens to lie here is nobody's wish
    }
    celery = [sys.executable, "-m", "celery", "-A", "headway_worker.app", "flower"]
    return [*celery, *(f"--{name}={value}" for name, value in options.items())]


def variables(settings: FlowerSettings, who: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return Flower's environment: of Headway's own settings only the broker's address."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("HEADWAY_") and name not in _OPENING
    }
    return {**kept, "HEADWAY_BROKER_URL": settings.broker_url, "FLOWER_BASIC_AUTH": who}


def _demand_flower() -> None:
    """Raises ModuleNotFoundError; the command's edge says which extra to install."""
    importlib.import_module("flower")
