"""The Celery worker inside this process: consumes the step queues with a pool of threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import structlog

from headway.broker_options import celery_settings, declaration
from headway_worker import app as celery_app
from headway_worker.intake import Intake

# What Flower and `celery inspect` ask. Everything else of Celery's remote control could stop or
# change a worker, and whoever may publish to the broker could send it.
INSPECT_COMMANDS = frozenset(
    (
        *("active", "active_queues", "clock", "conf", "hello", "ping", "query_task"),
        *("registered", "report", "reserved", "revoked", "scheduled", "stats"),
    )
)
_UNYIELDING_SECONDS = 15.0
_log = structlog.get_logger()


class Consumer:
    """Runs in the main thread; `pause` and `end` are called from another."""

    def __init__(
        self,
        broker_url: str,
        queues: list[str],
        *,
        probe: str,
        name: str,
        slots: int,
        intake: Intake,
    ) -> None:
        from kombu import Queue

        celery_app.serve(intake)
        self._intake = intake
        self._queues = queues
        self._returned = threading.Event()
        self._told_to_end = False
        app = celery_app.app
        app.conf.update(celery_settings(broker_url))
        app.conf.update(
            task_queues=[Queue(**declaration(queue)) for queue in (*queues, probe)],
            worker_concurrency=slots,
            worker_consumer="headway_worker.celery_consumer:StepConsumer",
        )
        keep_inspect_commands()
        self._controller: Any = app.WorkController(
            app=app,
            hostname=name,
            pool_cls="threads",
            concurrency=slots,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            heartbeat_interval=10,
        )

    def run(self, gave_up: Callable[[], None]) -> None:
        """Consume until `end`; calls `gave_up` when Celery stops without having been told to.

        Celery waits for the steps that run before it returns; `gave_up` is called before that, so
        that they can be ended in time.
        """

        def stopped() -> None:
            if not self._told_to_end:
                gave_up()

        self._controller.consumer.on_end = stopped
        try:
            self._controller.start()
        finally:
            self._returned.set()
            stopped()

    def pause(self) -> None:
        """Take no further messages; what still arrives goes back to its queue."""
        self._intake.is_draining = True
        consumer = getattr(self._controller, "consumer", None)
        if consumer is None:
            return
        for queue in self._queues:
            try:
                consumer.call_soon(consumer.cancel_task_queue, queue)
            except AttributeError:
                return  # not connected: nothing arrives

    def reconnect(self) -> None:
        """Let Celery connect anew, as if the broker had cut its connection; steps go on."""
        hub = getattr(self._controller, "hub", None)
        if hub is not None:
            hub.call_soon(_cut)

    def end(self, status: int) -> None:
        """Make `run` return; end the process if it does not, as all that matters is on disk."""
        from celery.worker import state

        self._told_to_end = True
        state.should_stop = status
        hub = getattr(self._controller, "hub", None)
        if hub is not None:
            hub.call_soon(lambda: None)
        if not self._returned.wait(_UNYIELDING_SECONDS):
            _log.error("consumer_did_not_end")
            os._exit(status)


def _cut() -> None:
    raise ConnectionResetError("its queues are not heard any more")


def keep_inspect_commands() -> None:
    """Remove every remote control command that is not an inspection."""
    from celery.worker.control import Panel

    for name in [name for name in Panel.data if name not in INSPECT_COMMANDS]:
        if not name.startswith("dump_"):
            del Panel.data[name]
