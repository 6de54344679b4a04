"""Notifications as people see them: whom a run's end was told, how far that came, and once more."""

from __future__ import annotations

from typing import Any

from headway.errors import ConflictError, ForbiddenError
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.notify_ports import (
    Notification,
    NotificationFilter,
    Notifications,
)
from headway_coordinator.application.notifying import TRIES, shown_address


def listed(
    notifications: Notifications, wanted: NotificationFilter
) -> tuple[list[dict[str, Any]], str | None]:
    """Return rows, newest first, and the cursor of the next page."""
    found, following = notifications.listing(wanted)
    return [_row(each) for each in found], following


def shown(notifications: Notifications, identity: Identity, id: str) -> dict[str, Any]:
    """Return one with what is sent. Raises ForbiddenError (404)."""
    found = _visible(notifications, identity, id)
    return {**_row(found), "body": dict(found.body)}


def retried(notifications: Notifications, identity: Identity, id: str) -> dict[str, Any]:
    """Let one be sent again now, with all its tries.

    Raises:
        ForbiddenError: it is not within the identity's scope (404).
        ConflictError: it was sent.
    """
    _visible(notifications, identity, id)
    if not notifications.retry(id, actor=identity.subject):
        raise ConflictError("nothing_to_do", f"the notification {id} was sent")
    return shown(notifications, identity, id)


def _visible(notifications: Notifications, identity: Identity, id: str) -> Notification:
    found = notifications.get(id)
    if found is None or not identity.covers(found.team):
        hint = "see headway notifications list"
        raise ForbiddenError("not_found", f"there is no notification {id}", hint, status=404)
    return found


def _row(each: Notification) -> dict[str, Any]:
    return {
        "id": each.id,
        "team": each.team,
        "pipeline": each.pipeline,
        "run": each.run,
        "event": each.event,
        "to": shown_address(each.webhook),
        "state": each.state,
        "attempts": each.attempts,
        "tries": TRIES,
        "created_at": each.created_at,
        "tried_at": each.tried_at,
        "due_at": each.due_at if each.state == "waiting" else None,
        "problem": each.problem,
    }
