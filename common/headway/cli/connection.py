"""The client that this command line talks through, and short ways to name what has an id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headway.errors import ConflictError, ForbiddenError

if TYPE_CHECKING:
    from headway.client import Client

_FULL_LENGTH = 26
_SHORTEST = 6


def connect() -> Client:
    """Return a client for the addresses and the token that the settings name."""
    from headway.client import Client
    from headway.settings import ClientSettings, connection

    urls, token = connection(ClientSettings())
    return Client(urls, token)


def run_id(client: Client, text: str) -> str:
    """Return the id of the run that `text` names: an id, the beginning of one, or `latest`.

    Raises ForbiddenError (not found) or ConflictError (several runs begin so).
    """
    return _named(text, "run", "runs", lambda most: client.runs(limit=most)["runs"])


def backfill_id(client: Client, text: str) -> str:
    """Return the id of the backfill that `text` names, in the same ways as a run."""
    return _named(
        text, "backfill", "backfill", lambda most: client.backfills(limit=most)["backfills"]
    )


def event_id(client: Client, text: str) -> str:
    """Return the id of the event that `text` names, in the same ways as a run."""
    return _named(text, "event", "events", lambda most: client.events(limit=most)["events"])


def notification_id(client: Client, text: str) -> str:
    """Return the id of the notification that `text` names, in the same ways as a run."""
    return _named(
        text,
        "notification",
        "notifications",
        lambda most: client.notifications(limit=most)["notifications"],
    )


def _named(
    text: str, noun: str, command: str, newest: Callable[[int], Sequence[Mapping[str, Any]]]
) -> str:
    if len(text) >= _FULL_LENGTH or (len(text) < _SHORTEST):
        return text
    found = [str(row["id"]) for row in newest(1 if text == "latest" else 500)]
    matching = found[:1] if text == "latest" else [id for id in found if id.startswith(text)]
    if not matching:
        message = f"no {noun} begins with `{text}`"
        if text == "latest":
            message = f"there is no {noun} yet"
        raise ForbiddenError("not_found", message, f"see `headway {command} list`", status=404)
    if len(matching) > 1:
        message = f"{len(matching)} of the last {noun}s begin with `{text}`"
        raise ConflictError("ambiguous", message, "give more of the id")
    return matching[0]
