"""`headway up`: raises the embedded stack, runs an example through it, and keeps it up."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx2

from headway.clock import Clock, SystemClock
from headway.errors import DefinitionError, UnavailableError
from headway.ids import new_id
from headway.loading import read_python
from headway.plan import build
from headway.spec import load_all
from headway_coordinator.access.roles import ROLES
from headway_coordinator.access.tokens import fingerprint, new_token
from headway_coordinator.application.access_ports import Token
from headway_coordinator.application.ports import Storage
from headway_coordinator.embedded import (
    HEADWAY,
    Stack,
    answers,
    broker,
    classes_of,
    coordinator,
    prepare,
    workers,
    write_credentials,
)
from headway_coordinator.logging import set_up_logging
from headway_coordinator.storage.exclusive import exclusive
from headway_coordinator.storage.migrating import upgrade
from headway_coordinator.storage.opening import open_storage
from headway_coordinator.supervision import Supervisor, stop_on_signals

_READY_WITHIN_S = 60.0


def raise_stack(files: Sequence[Path], *, once: bool, slots: int, listen: str, state: Path) -> int:
    """Run the stack until Ctrl-C, or with `once` until the first definition's run has ended.

    Returns the exit status: with `once` the run's, else 0.
    """
    teams = _teams(files)
    if once and not files:
        raise DefinitionError("--once needs a definition to run", code="wrong_use")
    stack = prepare(state, listen, teams)
    set_up_logging(file=stack.state / "logs" / "supervisor.log")
    stop = stop_on_signals()
    with exclusive(stack.database_url):
        return _Raised(stack, SystemClock(), stop).run(files, once=once, slots=slots)


class _Raised:
    """The stack while it is up; all children are started and watched by the calling thread."""

    def __init__(self, stack: Stack, clock: Clock, stop: threading.Event) -> None:
        self._stack = stack
        self._clock = clock
        self._stop = stop
        self._supervisor = Supervisor(clock)

    def run(self, files: Sequence[Path], *, once: bool, slots: int) -> int:
        try:
            token = self._start(slots)
            if token is None:
                return 130
            status = self._perform(files) if files else 0
            if once or self._stop.is_set():
                return status
            self._welcome(token)
            while not self._stop.wait(0.2):
                self._supervisor.tick()
            return 0
        finally:
            self._end()

    def _end(self) -> None:
        """End all children; a second signal ends them at once."""
        if self._stop.is_set():
            _say("\nEnding: running steps get 30 s; Ctrl-C again ends them at once")
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self._supervisor.hurry())
        self._supervisor.stop()

    def _start(self, slots: int) -> str | None:
        """Start all children; return the local token, or None if a signal came first."""
        stack = self._stack
        _say(f"Starting Headway in {_shown(stack.state)}")
        child = broker(stack)
        if child is not None:
            self._supervisor.start(child)
            if not self._until(lambda: answers(f"127.0.0.1:{stack.broker_port}"), "broker"):
                return None
        upgrade(stack.database_url)
        storage = open_storage(stack.database_url, application_name="headway:up")
        try:
            token, worker_tokens = _tokens(storage, stack)
        finally:
            storage.close()
        write_credentials(stack, token)
        for child in coordinator(stack):
            self._supervisor.start(child)
        for child in workers(stack, worker_tokens, slots):
            self._supervisor.start(child)
        if not self._until(self._ready, "api"):
            return None
        names = ", ".join(self._supervisor.pids())
        _say(f"Running: {names}")
        return token

    def _until(self, holds: Callable[[], bool], what: str) -> bool:
        """Wait for the condition; False if a signal came.

        Raises:
            UnavailableError: it did not come true in time; names the log to read.
        """
        deadline = self._clock.monotonic() + _READY_WITHIN_S
        while not holds():
            self._supervisor.tick()
            if self._stop.wait(0.05):
                return False
            if self._clock.monotonic() > deadline:
                raise UnavailableError(
                    "not_ready",
                    f"{what} was not ready within {_READY_WITHIN_S:g} s",
                    f"see {self._stack.state / 'logs' / f'{what}.log'}",
                )
        return True

    def _ready(self) -> bool:
        try:
            url = f"{self._stack.api_url}/readyz"
            return httpx2.get(url, timeout=2.0).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    def _perform(self, files: Sequence[Path]) -> int:
        """Apply all definitions, run the first; the commands' own words are what people see."""
        status = self._command("apply", *(str(f) for f in files))
        if status != 0:
            return status
        return self._command("run", str(files[0]), "--wait")

    def _command(self, *args: str) -> int:
        env = {
            "HEADWAY_STATE_DIR": str(self._stack.state),
            "HEADWAY_API_URL": "",
            "HEADWAY_TOKEN": "",
            "HEADWAY_TOKEN_FILE": "",
        }
        process = subprocess.Popen([*HEADWAY, *args], env=_environment(env))
        while process.poll() is None:
            self._supervisor.tick()
            if self._stop.wait(0.1):
                process.terminate()
                process.wait(10)
                return 130
        return process.returncode

    def _welcome(self, token: str) -> None:
        url = self._stack.api_url
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=10.0) as client:
            ticket = client.post("/api/v1/tickets", json={}).json()["ticket"]
            runs = client.get("/api/v1/runs", params={"limit": 1}).json()["runs"]
        page = f"/r/{runs[0]['id']}" if runs else "/"
        _say(f"\nOpen   {url}/sign-in?ticket={ticket}&next={page}")
        _say(f"Use    headway runs list   (here; the token lies in {_shown(self._stack.state)})")
        _say("Stop   Ctrl-C")


def make_token(storage: Storage, *, subject: str, role: str, team: str | None) -> str:
    """Store a new token and return its text; a team that is new is added.

    Raises:
        DefinitionError: there is no such role, or a worker's token names no team.
    """
    if role not in ROLES:
        known = ", ".join(sorted(ROLES))
        raise DefinitionError(
            f"there is no role `{role}`", code="wrong_use", hint=f"one of: {known}"
        )
    if role == "worker" and team is None:
        raise DefinitionError("a worker's token needs a team", code="wrong_use", hint="--team T")
    if team is not None:
        storage.access.add_team(team, subject)
    clock = SystemClock()
    text = new_token(secrets.token_bytes)
    token = Token(new_id(clock), subject, team, role, clock.now())  # type: ignore[arg-type]
    storage.access.add_token(token, fingerprint(text))
    return text


def _tokens(storage: Storage, stack: Stack) -> tuple[str, dict[str, str]]:
    """Make the local token and one for each team's workers; earlier local ones are revoked."""
    for token in storage.access.tokens():
        if token.subject in ("local", "local-worker") and token.revoked_at is None:
            storage.access.revoke_token(token.id)
    workers = {
        team: make_token(storage, subject="local-worker", role="worker", team=team)
        for team in stack.teams
    }
    return make_token(storage, subject="local", role="admin", team=None), workers


def _teams(files: Sequence[Path]) -> dict[str, frozenset[str]]:
    """Return the teams and resource classes that the definitions name.

    Raises:
        DefinitionError: a file cannot be read, or is no valid definition.
    """
    found = []
    for file in files:
        try:
            text = file.read_bytes()
        except OSError as error:
            raise DefinitionError(f"{file} cannot be read: {error.strerror}") from error
        python = file.suffix == ".py"
        for loaded in read_python(file)[0] if python else load_all(text, str(file)):
            if loaded.spec is None:
                raise DefinitionError(f"{file} is not a valid definition", loaded.problems)
            plan = build(loaded.spec.canonical)
            classes = frozenset(s.resource_class for s in plan.steps)
            found.append((loaded.spec.team, classes))
    return classes_of(found)


def _environment(values: Mapping[str, str]) -> dict[str, str]:
    merged = {**os.environ, **values}
    return {name: value for name, value in merged.items() if value}


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
