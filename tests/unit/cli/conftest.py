from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headway.cli.main import run
from tests.unit.client.api_double import ApiDouble, api_double


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ApiDouble]:
    """A server that the commands of this test talk to."""
    with api_double() as double:
        monkeypatch.setenv("HEADWAY_API_URL", double.url)
        monkeypatch.setenv("HEADWAY_TOKEN", "hw_test")
        yield double


@pytest.fixture
def headway(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run a command line in this process."""
    monkeypatch.setenv("HEADWAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HEADWAY_DEBUG", raising=False)

    def command(*args: str) -> Done:
        capfd.readouterr()
        status = run(args)
        out, err = capfd.readouterr()
        return Done(status, out, err)

    return command
