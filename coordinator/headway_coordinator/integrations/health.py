"""Asks every 2 s whether an API answers: if none does, workers cannot renew their leases."""

from __future__ import annotations

from datetime import timedelta

import httpx2
import structlog

from headway.clock import Clock

log = structlog.get_logger("headway.health")

_EVERY_S = 2.0


class ApiWatch:
    """A duty. `healthy_for` may be read from any thread."""

    name = "api-watch"

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url.rstrip("/") + "/readyz"
        self._clock = clock
        self._since: float | None = None
        self._client = httpx2.Client(timeout=2.0)

    def healthy_for(self) -> timedelta:
        """Return for how long every look has succeeded."""
        since = self._since
        return timedelta() if since is None else timedelta(seconds=self._clock.monotonic() - since)

    def tick(self) -> float:
        asked = self._clock.monotonic()
        try:
            healthy = self._client.get(self._url).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            healthy = False
        if not healthy:
            if self._since is not None:
                log.warning("api_unreachable", url=self._url)
            self._since = None
        elif self._since is None:
            self._since = asked
        return _EVERY_S

    def close(self) -> None:
        self._client.close()
