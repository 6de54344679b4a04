"""The Celery worker inside this process, and beside it the listener that feeds its pool."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import structlog

from headway.broker_options import celery_settings, declaration, is_redis
from headway.clock import Clock
from headway.protocol.envelope import task_id
from headway.protocol.messages import Dispatch
from headway_worker import app as celery_app
from headway_worker.broker.contract import Ring, Source
from headway_worker.broker.listener import Listener
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
        clock: Clock,
    ) -> None:
        from kombu import Queue

        celery_app.serve(intake)
        self._intake = intake
        self._name = name
        self._clock = clock
        self._active: dict[str, dict[str, Any]] = {}
        self._returned = threading.Event()
        self._told_to_end = False
        app = celery_app.app
        app.conf.update(celery_settings(broker_url))
        app.conf.update(
            task_queues=[Queue(**declaration(queue)) for queue in (*queues, probe)],
            worker_concurrency=slots,
            worker_consumer="headway_worker.celery_consumer:StepConsumer",
        )
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
        self._listener = Listener(
            lambda: _source(broker_url, queues, probe, slots, intake, clock), intake
        )
        intake.submit = self._submit
        intake.slot_freed = self._listener.wake
        keep_inspect_commands(active=lambda *_, **__: [*self._active.values()])

    def run(self, gave_up: Callable[[], None]) -> None:
        """Consume until `end`; calls `gave_up` when Celery stops without having been told to.

        Celery waits for the steps that run before it returns; `gave_up` is called before that, so
        that they can be ended in time.
        """

        def stopped() -> None:
            if not self._told_to_end:
                gave_up()

        consumer = self._controller.consumer
        consumer.refusals = self._intake.refusals
        consumer.on_start, consumer.on_end = self._listener.start, stopped
        try:
            self._controller.start()
        finally:
            self._returned.set()
            stopped()

    def pause(self) -> None:
        """Take no further messages; what still arrives goes back to its queue."""
        self._intake.is_draining = True
        self._listener.wake()

    def reconnect(self) -> None:
        """Let the listener connect anew; steps go on."""
        self._listener.reconnect()

    def end(self, status: int) -> None:
        """Make `run` return; end the process if it does not, as all that matters is on disk."""
        from celery.worker import state

        self._told_to_end = True
        self._listener.end()
        state.should_stop = status
        hub = getattr(self._controller, "hub", None)
        if hub is not None:
            hub.call_soon(lambda: None)
        if not self._returned.wait(_UNYIELDING_SECONDS):
            _log.error("consumer_did_not_end")
            os._exit(status)

    def _submit(self, dispatch: Dispatch, ring: Ring) -> None:
        """Let a thread of Celery's pool perform the task, and who inspects see it meanwhile."""
        id = task_id(dispatch)
        self._active[id] = {
            "id": id,
            "name": celery_app.execute.name,
            "args": [dispatch.attempt],
            "kwargs": {},
            "hostname": self._name,
            "time_start": self._clock.now().timestamp(),
            "acknowledged": False,
            "delivery_info": {"exchange": "", "routing_key": ring.queue},
            "worker_pid": os.getpid(),
        }
        try:
            self._controller.pool.apply_async(
                self._perform, (id, dispatch, ring), callback=_take_no_result
            )
        except BaseException:
            self._active.pop(id, None)
            raise

    def _perform(self, id: str, dispatch: Dispatch, ring: Ring) -> None:
        try:
            celery_app.execute.run(dispatch, ring)
        finally:
            self._active.pop(id, None)


def _source(
    broker_url: str, queues: list[str], probe: str, slots: int, intake: Intake, clock: Clock
) -> Source:
    if is_redis(broker_url):
        from headway_worker.broker.redis_source import RedisSource

        return RedisSource(broker_url, queues, probe, intake.refusals)
    from headway_worker.broker.rabbit_source import RabbitSource

    return RabbitSource(broker_url, queues, probe, slots=slots, clock=clock)


def _take_no_result(_result: None) -> None: ...


def keep_inspect_commands(**ours: Callable[..., Any]) -> None:
    """Remove every remote control command that is not an inspection; replace some by `ours`."""
    from celery.worker.control import Panel

    for name in [name for name in Panel.data if name not in INSPECT_COMMANDS]:
        if not name.startswith("dump_"):
            del Panel.data[name]
    for name, command in ours.items():
        Panel.data[name] = Panel.data[f"dump_{name}"] = command
