"""Whether the broker answers, for whoever asks why a step does not run."""

from __future__ import annotations

import threading

from kombu import Connection

from headway.broker_options import connection_arguments, is_redis
from headway.clock import Clock

_REMEMBER_SECONDS = 5.0
_PATIENCE_SECONDS = 2


class BrokerPing:
    """Asks at most every five seconds, however many want to know: each time it connects anew."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._answers = True
        self._asked_at: float | None = None

    def __call__(self) -> bool:
        """Return whether the broker takes a sign-in; false after 2 s without an answer."""
        with self._lock:
            now = self._clock.monotonic()
            if self._asked_at is None or now - self._asked_at >= _REMEMBER_SECONDS:
                self._answers, self._asked_at = self._ask(), self._clock.monotonic()
            return self._answers

    def _ask(self) -> bool:
        arguments = connection_arguments(self._url)
        times = "socket_timeout", "socket_connect_timeout", "read_timeout", "connect_timeout"
        options = arguments["transport_options"]
        shorter = {name: _PATIENCE_SECONDS for name in times if name in options}
        arguments["transport_options"] = {**options, **shorter}
        arguments["connect_timeout"] = _PATIENCE_SECONDS
        try:
            with Connection(**arguments) as connection:
                if is_redis(self._url):
                    connection.default_channel.client.ping()
                else:
                    connection.connect()
        except Exception:  # the transports raise whatever their libraries do
            return False
        return True
