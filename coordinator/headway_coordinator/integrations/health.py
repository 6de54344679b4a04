"""Asks now and then whether an API answers: if none does, workers cannot renew their leases.

What it is for is to give up no attempt whose worker had no API to renew its lease at. A failure
that is shorter than the time between two looks goes unseen, so that time is a twelfth of a lease,
within limits: no lease runs out by it.
"""

from __future__ import annotations

from datetime import timedelta

import httpx2
import structlog

from headway.clock import Clock

log = structlog.get_logger("headway.health")

_LEAST_S, _MOST_S = 2.0, 5.0
_LOOKS_A_LEASE = 12


class ApiWatch:
    """A duty. `healthy_for` may be read from any thread."""

    name = "api-watch"

    def __init__(self, url: str, clock: Clock, *, lease: timedelta) -> None:
        """`lease` is the workers'."""
        self._every = max(_LEAST_S, min(_MOST_S, lease.total_seconds() / _LOOKS_A_LEASE))
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
        return self._every

    def close(self) -> None:
        self._client.close()
