from __future__ import annotations

from pathlib import Path

import pytest

from headway_coordinator.embedded import Stack, workers


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, "localhost,127.0.0.0/8,::1"),
        ("", ""),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_http_steps_reach_loopback_unless_something_else_is_said(
    said: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADWAY_HTTP_ALLOW", raising=False)
    if said is not None:
        monkeypatch.setenv("HEADWAY_HTTP_ALLOW", said)
    stack = Stack(tmp_path, "127.0.0.1:1", 2, "password", teams={"demo": frozenset()})
    children = workers(stack, {"demo": "token"}, slots=1)
    assert [child.env["HEADWAY_HTTP_ALLOW"] for child in children] == [told, told]
