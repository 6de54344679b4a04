"""Webhook sources and CloudEvents: bytes and headers in, proven events out. No I/O and no clock.

One file a source, each with `verify` (is it the sender's?) and `events` (what happened?). The proof
is always taken over the raw body, before anything of it is read. `proof` knows the ways to prove,
`reading` how a foreign document is read, `forming` the form that all sources give their events.
"""

from headway_coordinator.integrations.webhooks.registry import SOURCES
from headway_coordinator.triggers.hooks import (
    HookRequest,
    MalformedEvent,
    Refused,
    Source,
    Verified,
)

__all__ = ["SOURCES", "HookRequest", "MalformedEvent", "Refused", "Source", "Verified"]
