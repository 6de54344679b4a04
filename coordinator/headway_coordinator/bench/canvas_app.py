"""The Celery application of the other side: one task that does nothing, results in the broker."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("headway_bench")
app.conf.update(
    broker_url=os.environ.get("HEADWAY_BENCH_CANVAS_URL", "memory://"),
    result_backend=os.environ.get("HEADWAY_BENCH_CANVAS_URL", "cache+memory://"),
    task_default_queue="canvas",
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
)


@app.task(name="bench.done")  # type: ignore[untyped-decorator]
def done(*_: object) -> int:
    """Do nothing."""
    return 1
