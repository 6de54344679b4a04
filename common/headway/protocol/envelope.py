"""Broker messages as they lie in Redis, written whole.

kombu builds each message of several nested objects and encodes it twice; at a thousand steps a
second that is most of what publishing costs. These functions write the same JSON at once: the
envelope of kombu's virtual transports around Celery's message protocol 2
(https://docs.celeryq.dev/en/stable/internals/protocol.html). Any Celery worker reads them, which
a test on a real broker shows. On brokers that are not Redis kombu publishes as usual.
"""

from __future__ import annotations

from typing import Any

import orjson

from headway.protocol.messages import Dispatch
from headway.protocol.queues import PROBE, TASK

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def task_id(dispatch: Dispatch) -> str:
    """Return the Celery task id of a dispatch: the attempt and the dispatch number."""
    return f"{dispatch.attempt}.{dispatch.dispatch_no}"


def task_arguments(dispatch: Dispatch) -> list[Any]:
    """Return the body of the task message: positional, keyword and embedded arguments."""
    return [[dispatch.model_dump()], {}, EMBED]


def task_json(dispatch: Dispatch) -> str:
    """Return the body of the task message as JSON."""
    return orjson.dumps(task_arguments(dispatch)).decode()


def task_headers(dispatch: Dispatch) -> dict[str, Any]:
    """Return the headers of the task message."""
    id = task_id(dispatch)
    return {
        "lang": "py",
        "task": TASK,
        "id": id,
        "root_id": id,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "eta": None,
        "expires": None,
        "timelimit": [None, None],
        "argsrepr": dispatch.attempt,
        "kwargsrepr": "{}",
        "ignore_result": True,
    }


def redis_task(dispatch: Dispatch) -> bytes:
    """Return the dispatch as an element of its queue's Redis list."""
    id = task_id(dispatch)
    return _redis_message(task_json(dispatch), dispatch.queue, task_headers(dispatch), id)


def redis_json(body: str, queue: str, tag: str) -> bytes:
    """Return a JSON text as an element of the queue's Redis list; `tag` tells messages apart."""
    return _redis_message(body, queue, {}, tag)


def probe_headers(probe: str) -> dict[str, Any]:
    """Return the headers of a message by which a worker hears itself."""
    return {"lang": "py", "task": PROBE, "id": probe}


def redis_probe(queue: str, probe: str) -> bytes:
    """Return a probe as an element of the queue's Redis list."""
    return _redis_message("[]", queue, probe_headers(probe), probe)


def _redis_message(body: str, queue: str, headers: dict[str, Any], tag: str) -> bytes:
    return orjson.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                "correlation_id": tag,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": None,
                "delivery_tag": tag,
            },
        }
    )
