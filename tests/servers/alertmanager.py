"""A real Alertmanager, alone and in a hurry: it notifies at once, and again every second."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2

from tests.servers.debian import Program
from tests.servers.processes import Child, Processes
from tests.servers.sources import free_port

TEMPLATES = "/usr/share/prometheus/alertmanager"  # where it looks for them, whatever is said
_ROUTE = {
    "group_by": ["alertname"],
    "group_wait": "50ms",
    "group_interval": "1s",
    "repeat_interval": "1s",
}


@dataclass
class Alertmanager:
    """A running server; `notified` and `failed` count its calls of webhooks."""

    url: str
    child: Child

    @classmethod
    def started(
        cls, processes: Processes, program: Program, folder: Path, receivers: Sequence[Any]
    ) -> Alertmanager:
        """Start it with these receivers, the first of which gets all alerts."""
        folder.mkdir()
        settings = {"route": {**_ROUTE, "receiver": receivers[0]["name"]}, "receivers": receivers}
        file = folder / "alertmanager.yml"
        file.write_text(json.dumps(settings))  # JSON is YAML too
        port = free_port()
        argv = [
            program.path,
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",  # no gossip: it would listen on every address
        ]
        child = processes.start(argv, name="alertmanager", cwd=program.folder)
        made = cls(f"http://127.0.0.1:{port}", child)
        child.wait_for(made._is_ready, what="a ready Alertmanager")
        return made

    def post(self, labels: Mapping[str, str], *, ends_at: datetime | None = None) -> None:
        """Tell it of an alert; one with a past end is resolved."""
        alert: dict[str, Any] = {"labels": dict(labels), "generatorURL": "http://prom.example/g"}
        if ends_at is not None:
            alert["endsAt"] = ends_at.isoformat()
        httpx2.post(f"{self.url}/api/v2/alerts", json=[alert]).raise_for_status()

    def notified(self) -> int:
        """Return how many notifications it has tried to send, the failed ones too."""
        return self._count("alertmanager_notifications_total")

    def failed(self) -> int:
        return self._count("alertmanager_notifications_failed_total")

    def _count(self, name: str) -> int:
        text = httpx2.get(f"{self.url}/metrics").text
        lines = re.findall(rf'^{name}{{integration="webhook"[^}}]*}} (\S+)$', text, re.MULTILINE)
        return sum(int(float(line)) for line in lines)

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/-/ready").status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False
