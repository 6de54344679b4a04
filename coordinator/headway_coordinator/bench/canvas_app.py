"""The Celery application of the other side: tasks that do nothing or sleep, results in Redis.

A worker is told by three variables where to work; the measuring process calls `make_app`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from celery import Celery
from kombu import Queue

from headway.broker_options import declaration, is_redis

_VARIABLES = ("HEADWAY_BENCH_BROKER", "HEADWAY_BENCH_RESULTS", "HEADWAY_BENCH_QUEUE")


def environment(broker: str, results: str, queue: str) -> Mapping[str, str]:
    """Return the variables that tell a worker where to work."""
    return dict(zip(_VARIABLES, (broker, results, queue), strict=True))


def make_app(broker: str, results: str, queue: str) -> Celery:
    """Return the application that works on `queue`.

    In Celery's default settings, but that on RabbitMQ the queue is declared as Headway's are.
    """
    app = Celery(queue, set_as_current=False)
    app.conf.update(
        broker_url=broker,
        result_backend=results,
        task_default_queue=queue,
        broker_connection_retry_on_startup=True,
    )
    if not is_redis(broker):
        app.conf.update(
            task_queues=[Queue(**declaration(queue))],
            task_default_exchange=queue,
            task_default_routing_key=queue,
        )
    app.task(name="bench.done")(done)
    app.task(name="bench.sleep")(sleep)
    return app


def done() -> int:
    """Do nothing."""
    return 1


def sleep(ms: int) -> int:
    """Sleep for so many milliseconds."""
    time.sleep(ms / 1000)  # the work that is measured
    return 1


if _VARIABLES[0] in os.environ:
    app = make_app(*(os.environ[name] for name in _VARIABLES))
