"""What happened elsewhere, in one form: a CloudEvent 1.0 in Headway's words.

Webhooks, CloudEvents and messages all become an `Event` before any trigger looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MAX_ID = 512
MAX_TEXT = 2048
"""The longest id, and the longest other attribute, in characters."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as triggers see it.

    `id` is the sender's own, and tells the event from others of the same `source`. `time` is aware
    and in UTC, or None where the sender does not say it. `data` is a JSON value that every part can
    hold. `name` is the short name that a webhook's `event:` is compared with: `push`,
    `pull_request.opened`.
    """

    id: str
    source: str
    type: str
    subject: str | None
    time: datetime | None
    data: Any
    name: str
    extensions: Mapping[str, str | int | bool] = field(default_factory=dict)

    def is_called(self, wanted: str) -> bool:
        """Return whether `wanted` is the event's name or a first part of it, up to a dot."""
        return self.name == wanted or self.name.startswith(f"{wanted}.")

    def as_root(self) -> dict[str, Any]:
        """Return what expressions see as `event`; no extension can stand for an attribute."""
        return {
            **self.extensions,
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time,
            "data": self.data,
            "name": self.name,
        }
