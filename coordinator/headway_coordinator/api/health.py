"""Is the process alive, is it ready: the only answers that anybody may have."""

from __future__ import annotations

import threading

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from headway.errors import HeadwayError
from headway_coordinator.api.answers import answer
from headway_coordinator.application.services import Services

_REMEMBER_SECONDS = 1.0


def health_routes(services: Services) -> list[BaseRoute]:
    """Return /healthz and /readyz."""
    readiness = _Readiness(services)

    async def healthz(request: Request) -> Response:
        return answer({"status": "ok"})

    def readyz(request: Request) -> Response:
        if readiness.ready():
            return answer({"status": "ok"})
        return answer({"status": "unavailable"}, 503, {"Retry-After": "2"})

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
    ]


class _Readiness:
    """Asks the database at most once a second, since anybody may ask us."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._ready = False

    def ready(self) -> bool:
        with self._lock:
            now = self._services.clock.monotonic()
            if self._asked_at is None or now - self._asked_at >= _REMEMBER_SECONDS:
                self._ready = self._reachable()
                self._asked_at = now
            return self._ready

    def _reachable(self) -> bool:
        try:
            self._services.storage.sweeps.database_now()
        except HeadwayError:
            return False
        return True
