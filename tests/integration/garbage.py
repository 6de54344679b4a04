"""Elements that no consumer of a Redis queue can take, each with why it is refused."""

from __future__ import annotations

import json
from typing import Any

from headway.protocol.envelope import redis_json


def envelope(body: Any = "{}", **changed: Any) -> bytes:
    """Return a message for nobody, with some of its parts changed."""
    whole = json.loads(redis_json("{}", "q", "1"))
    whole.update({name.replace("_", "-"): value for name, value in changed.items()}, body=body)
    return json.dumps(whole).encode()


GARBAGE = [
    (b"not json", "not_json"),
    (b"", "not_json"),
    (b"\xff\x00garbage", "not_json"),
    (b"[" * 100_000, "not_json"),
    (b'{"a":' * 100_000, "not_json"),
    (b'{"__type__": "uuid", "__value__": {"hex": 5}}', "not_json"),
    (b'{"__type__": "decimal", "__value__": "x"}', "not_json"),
    (b'{"__type__": [], "__value__": 1}', "not_json"),
    (b"{}", "not_a_message"),
    (b"[1,2]", "not_a_message"),
    (b"5", "not_a_message"),
    (b'{"body": 5}', "not_a_message"),
    (envelope(5), "not_a_message"),
    (envelope(headers=[1]), "not_a_message"),
    (envelope(properties={"delivery_tag": "1"}), "not_a_message"),
    (envelope("\ud800"), "unreadable"),
]
