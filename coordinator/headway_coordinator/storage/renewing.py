"""When a renewed lease of an attempt is over."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, case

from headway_coordinator.storage.database import Database
from headway_coordinator.storage.schema import attempt


def renewed(database: Database) -> ColumnElement[datetime]:
    """Return the time `lease` from now, or the old one where that is later.

    A worker trusts the lease that it was told last. A shorter one, since the setting changed, holds
    from the next renewal on: a worker that is stopped before it reads this one's answer lets its
    steps run for as long as the one before was to last.
    """
    later = database.later("lease")
    old = attempt.c.lease_expires_at
    return case((old > later, old), else_=later)
