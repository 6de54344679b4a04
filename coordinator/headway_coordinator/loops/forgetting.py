"""Deletes events and settled notifications older than their retention, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from headway_coordinator.application.ports import Storage, StorageUnavailable

log = structlog.get_logger("headway.triggers")

_EVERY_S = 600.0
_FOLLOW_S = 10.0  # whoever begins to lead looks soon
_PAGE = 1000
_SOON_S = 1.0  # between full pages, so that others get their turn


class Forgetting:
    """A duty of whoever leads. It needs no fence: what is old is old, whoever deletes it."""

    name = "forgetting"

    def __init__(self, storage: Storage, leads: Callable[[], bool], keep: timedelta) -> None:
        self._storage = storage
        self._leads = leads
        self._keep = keep

    def tick(self) -> float:
        if not self._leads():
            return _FOLLOW_S
        try:
            events = self._storage.events.forget(self._keep, _PAGE)
            notifications = self._storage.notifications.forget(self._keep, _PAGE)
        except StorageUnavailable as error:
            log.warning("database_unavailable", reason=error.message)
            return _EVERY_S
        if events:
            log.info("events_forgotten", count=events)
        if notifications:
            log.info("notifications_forgotten", count=notifications)
        return _SOON_S if max(events, notifications) >= _PAGE else _EVERY_S
