"""Runs as the API shows them, spelled only where a test looks."""

from __future__ import annotations

from typing import Any


def attempt(no: int = 1, state: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {
        "no": no,
        "state": state,
        "worker": "w1",
        "queued_at": "2026-01-01T00:00:00.000Z",
        "started_at": "2026-01-01T00:00:01.000Z",
        "finished_at": None if state == "running" else "2026-01-01T00:00:03.000Z",
        "exit_code": None,
        "error": None,
        **more,
    }


def step(name: str, state: str = "succeeded", **more: Any) -> dict[str, Any]:
    attempts = [] if state in ("pending", "ready") else [attempt(state=state)]
    return {
        "step": name,
        "state": state,
        "reason": None,
        "error": None,
        "outputs": {},
        "artifacts": [],
        "due_at": None,
        "attempts": attempts,
        **more,
    }


def run_of(*steps: dict[str, Any], state: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "pipeline": "weather",
        "team": "demo",
        "state": state,
        "reason": None,
        "digest": "d" * 64,
        "version": 3,
        "params": {"unit": "celsius"},
        "actor": "ada",
        "created_at": "2026-01-01T00:00:00.000Z",
        "started_at": "2026-01-01T00:00:00.500Z",
        "finished_at": "2026-01-01T00:00:04.000Z",
        "steps": list(steps),
        **more,
    }


ID = "01kf0000000000000000000001"
STARTED = {"id": ID, "pipeline": "weather", "state": "queued", "created": True}
