"""The client that this command line talks through, and the short ways to name a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    if len(text) >= _FULL_LENGTH or (len(text) < _SHORTEST):
        return text
    found = [str(row["id"]) for row in client.runs(limit=1 if text == "latest" else 500)["runs"]]
    matching = found[:1] if text == "latest" else [id for id in found if id.startswith(text)]
    if not matching:
        message = f"no run begins with `{text}`" if text != "latest" else "there is no run yet"
        raise ForbiddenError("not_found", message, "see `headway runs list`", status=404)
    if len(matching) > 1:
        message = f"{len(matching)} of the last runs begin with `{text}`"
        raise ConflictError("ambiguous", message, "give more of the id")
    return matching[0]
