"""The routes of the API as methods; each returns the JSON that the server answers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headway.client.transport import Call, Pause, Transport
from headway.errors import UnavailableError

if TYPE_CHECKING:
    from httpx2 import BaseTransport

Json = dict[str, Any]
_BASE = "/api/v1"
_PAGE = 500
_MOST_PAGES = 100


class Client:
    """A signed-in caller of one installation, which may have several addresses.

    With a `transport` requests go through it instead of the network.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: str | None = None,
        *,
        pause: Pause | None = None,
        transport: BaseTransport | None = None,
        new_key: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._transport = Transport(urls, token, pause=pause, transport=transport)
        self._new_key = new_key

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    @property
    def address(self) -> str:
        """Return the address that answered last."""
        return self._transport.address

    # --- definitions and runs ------------------------------------------------------------------

    def apply(self, files: Sequence[tuple[str, str]]) -> Json:
        """Store the definitions in the files (name, text): all of them or none."""
        body = {"files": [{"name": name, "text": text} for name, text in files]}
        return self._post("/pipelines", body)

    def start_run(
        self,
        pipeline: str,
        *,
        team: str | None = None,
        params: Mapping[str, Any] | None = None,
        logical_date: str | None = None,
        key: str | None = None,
    ) -> Json:
        """Ask for a run; the same `key` again names the same run. It exists when this returns."""
        body: Json = {"pipeline": pipeline, "params": dict(params or {})}
        if team is not None:
            body["team"] = team
        if logical_date is not None:
            body["logical_date"] = logical_date
        return self._post("/runs", body, key=key)

    def runs(
        self,
        *,
        pipeline: str | None = None,
        state: str | None = None,
        team: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Json:
        query = {"pipeline": pipeline, "state": state, "team": team}
        query |= {"since": since, "until": until}
        return self._get("/runs", {**query, "limit": limit, "cursor": cursor})

    def run(self, id: str) -> Json:
        return self._get(f"/runs/{_part(id)}")

    def steps(self, id: str) -> Json:
        """Return the run's steps with every child of each, however many there are."""
        return self._get(f"/runs/{_part(id)}/steps", {"children": "all"})

    def explain(self, id: str) -> Json:
        return self._get(f"/runs/{_part(id)}/explain")

    def artifact(self, run: str, step: str, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file that a step kept."""
        where = f"{_BASE}/artifacts/{_part(run)}/{_part(step)}"
        return self._transport.download(Call("GET", where, {"path": path}))

    def logs(
        self, id: str, *, step: str | None = None, attempt: int | None = None, offset: int = 0
    ) -> tuple[bytes, int]:
        """Return what was written from byte `offset` on, and the offset to ask for next."""
        query = {"step": step, "attempt": attempt, "offset": offset}
        response = self._transport.send(Call("GET", f"{_BASE}/runs/{_part(id)}/logs", query))
        content = response.content
        following = response.headers.get("X-Headway-Next-Offset", "")
        return content, int(following) if following.isdigit() else offset + len(content)

    def cancel(self, id: str, reason: str | None = None, how: Json | None = None) -> Json:
        """Ask a run to stop; `how` is {"force"} or {"grace"}."""
        why = {"reason": reason} if reason else {}
        return self._post(f"/runs/{_part(id)}/cancel", {**why, **(how or {})})

    def retry(self, id: str, reason: str | None = None) -> Json:
        return self.ask_run(id, "retry", {"reason": reason} if reason else {})

    def ask_run(self, id: str, verb: str, body: Json, *, key: str | None = None) -> Json:
        """Ask something of a run: `verb` is the last part of the route's path."""
        return self._post(f"/runs/{_part(id)}/{verb}", body, key=key)

    def ask_runs(self, ids: Sequence[str], verb: str, body: Json) -> Json:
        """Ask the same of up to 500 runs: {asked, refused}."""
        return self._post("/runs/bulk", {"action": verb, "ids": list(ids), **body})

    # --- events and triggers -------------------------------------------------------------------

    def events(self, **query: Any) -> Json:
        """Return a page of events; `query` as the route takes it: pipeline, outcome, type, …"""
        return self._get("/events", query)

    def event(self, id: str) -> Json:
        return self._get(f"/events/{_part(id)}")

    def replay_event(self, id: str) -> Json:
        return self._post(f"/events/{_part(id)}/replay", {})

    def send_event(
        self, event: Mapping[str, Any], *, id: str | None = None, team: str | None = None
    ) -> Json:
        """Send a CloudEvent; the same `id` and source again are the same event."""
        body = {**event, "id": id or self._new_key()}
        headers = {
            "Content-Type": "application/cloudevents+json",
            "Idempotency-Key": self._new_key(),
        }
        return self._json(
            Call("POST", f"{_BASE}/events", {"team": team}, json=body, headers=headers)
        )

    def notifications(self, **query: Any) -> Json:
        """Return a page of notifications; `query`: team, pipeline, state, limit, cursor."""
        return self._get("/notifications", query)

    def notification(self, id: str) -> Json:
        return self._get(f"/notifications/{_part(id)}")

    def retry_notification(self, id: str) -> Json:
        return self._post(f"/notifications/{_part(id)}/retry", {})

    def triggers(self, *, pipeline: str | None = None, team: str | None = None) -> Json:
        return self._get("/triggers", {"pipeline": pipeline, "team": team})

    def steer_trigger(self, team: str, pipeline: str, name: str, *, pause: bool) -> Json:
        """Pause a trigger, or let it go on."""
        where = f"{_pipeline(team, pipeline)}/triggers/{_part(name)}"
        # Not repeated: whoever asks again is told that there is nothing to do.
        return self._json(Call("POST", f"{_BASE}{where}/{'pause' if pause else 'resume'}", json={}))

    def steer(self, path: str, *, pause: bool, reason: str | None = None) -> Json:
        """Pause what the path names (`/queues/TEAM.CLASS`, `/teams/NAME`), or let it go on."""
        body = {"reason": reason} if reason else {}
        # Not repeated: whoever asks again is told that there is nothing to do.
        where = f"{_BASE}{path}/{'pause' if pause else 'resume'}"
        return self._json(Call("POST", where, json=body))

    # --- backfills -----------------------------------------------------------------------------

    def start_backfill(self, wanted: Mapping[str, Any], *, key: str | None = None) -> Json:
        """Start a backfill, or with `dry_run` look at it; `wanted` is the body of the route."""
        return self._post("/backfills", dict(wanted), key=key)

    def backfills(self, **query: Any) -> Json:
        """Return a page of backfills; `query` as the route takes it: pipeline, team, state, …"""
        return self._get("/backfills", query)

    def backfill(self, id: str, *, limit: int | None = None, cursor: str | None = None) -> Json:
        """Return a backfill, its progress and a page of its dates."""
        return self._get(f"/backfills/{_part(id)}", {"limit": limit, "cursor": cursor})

    def steer_backfill(self, id: str, verb: str, body: Mapping[str, Any] | None = None) -> Json:
        """Pause, resume, cancel or retry a backfill."""
        # Not repeated: whoever asks again is told that there is nothing to do.
        return self._json(Call("POST", f"{_BASE}/backfills/{_part(id)}/{verb}", json=body or {}))

    def change_backfill(self, id: str, *, max_in_flight: int) -> Json:
        """Change how many runs of a backfill may be under way; again, it changes nothing."""
        headers = {"Idempotency-Key": self._new_key()}
        body = {"max_in_flight": max_in_flight}
        path = f"{_BASE}/backfills/{_part(id)}"
        return self._json(Call("PATCH", path, json=body, headers=headers))

    # --- the installation ----------------------------------------------------------------------

    def pipelines(self) -> Json:
        return self._whole("pipelines")

    def pipeline(self, team: str, name: str, version: int | None = None) -> Json:
        """Return a version of a pipeline, its canonical form and source: the newest, or one."""
        where = _pipeline(team, name)
        return self._get(where if version is None else f"{where}/versions/{version}")

    def versions(
        self, team: str, name: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Json:
        return self._get(f"{_pipeline(team, name)}/versions", {"limit": limit, "cursor": cursor})

    def roll_back(self, team: str, name: str, version: int) -> Json:
        """Make an earlier version the newest one again."""
        return self._post(f"{_pipeline(team, name)}/rollback", {"version": version})

    def queues(self) -> Json:
        return self._whole("queues")

    def workers(self) -> Json:
        return self._whole("workers")

    def leader(self) -> Json:
        return self._get("/leader")

    def diagnosis(self) -> Json:
        """Return what the coordinator finds wrong with the installation and its servers."""
        return self._get("/diagnosis")

    def teams(self) -> Json:
        return self._whole("teams")

    def add_team(self, name: str) -> Json:
        return self._post("/teams", {"name": name})

    def tokens(self) -> Json:
        return self._whole("tokens")

    def create_token(
        self, *, subject: str, role: str, team: str | None, expires_in: Any = None
    ) -> Json:
        """Make a token; its text is in this answer and never shown again."""
        body: Json = {"subject": subject, "team": team, "role": role}
        if expires_in is not None:
            body["expires_in"] = expires_in
        # Not repeated: a second copy would make a second token that nobody has seen.
        return self._json(Call("POST", f"{_BASE}/tokens", json=body))

    def revoke_token(self, id: str) -> Json:
        return self._json(Call("DELETE", f"{_BASE}/tokens/{_part(id)}"))

    def secrets(self, team: str | None = None) -> Json:
        return self._whole("secrets", {"team": team})

    def put_secret(self, name: str, value: str, *, team: str | None = None) -> Json:
        """Set a secret; the same value again changes nothing."""
        body: Json = {"value": value}
        if team is not None:
            body["team"] = team
        headers = {"Idempotency-Key": self._new_key()}
        return self._json(Call("PUT", f"{_BASE}/secrets/{_part(name)}", json=body, headers=headers))

    def remove_secret(self, name: str, *, team: str | None = None) -> Json:
        return self._json(Call("DELETE", f"{_BASE}/secrets/{_part(name)}", {"team": team}))

    def rekey_secrets(self) -> Json:
        """Encrypt every secret under the coordinators' present key."""
        return self._post("/secrets/rekey", {})

    # --- sending -------------------------------------------------------------------------------

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Json:
        return self._json(Call("GET", _BASE + path, query or {}))

    def _whole(self, name: str, query: Mapping[str, Any] | None = None) -> Json:
        """Return a list with all its pages; lists of an installation's parts are short."""
        rows: list[Any] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = self._get(f"/{name}", {**(query or {}), "limit": _PAGE, "cursor": cursor})
            rows += page.get(name) or []
            cursor = page.get("next")
            if not cursor:
                break
        return {name: rows}

    def _post(self, path: str, body: Json, *, key: str | None = None) -> Json:
        headers = {"Idempotency-Key": key or self._new_key()}
        return self._json(Call("POST", _BASE + path, json=body, headers=headers))

    def _json(self, call: Call) -> Json:
        response = self._transport.send(call)
        try:
            value = response.json()
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        message = f"{self.address} answered something that is no JSON object"
        raise UnavailableError("not_headway", message, "check HEADWAY_API_URL")


def _pipeline(team: str, name: str) -> str:
    return f"/pipelines/{_part(team)}/{_part(name)}"


def _part(text: str) -> str:
    return quote(text, safe="")
