"""A real registry of Docker images, and the few calls by which an image gets into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2

from tests.servers.debian import Program
from tests.servers.processes import Child, Processes
from tests.servers.sources import free_port

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_BYTES = "application/octet-stream"


@dataclass
class Registry:
    """A running registry without users, its images in the folder."""

    url: str
    child: Child

    @classmethod
    def started(
        cls, processes: Processes, program: Program, folder: Path, notifications: Mapping[str, Any]
    ) -> Registry:
        """Start it with this part of its configuration."""
        folder.mkdir()
        port = free_port()
        settings = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
            "http": {"addr": f"127.0.0.1:{port}", "secret": "of this test alone"},
            "notifications": notifications,
        }
        file = folder / "config.yml"
        file.write_text(json.dumps(settings))  # JSON is YAML too
        child = processes.start([program.path, "serve", str(file)], name="registry", cwd=folder)
        made = cls(f"http://127.0.0.1:{port}", child)
        child.wait_for(made._is_ready, what="a ready registry")
        return made

    def push(self, repository: str, tag: str, content: bytes) -> str:
        """Push an image of one layer; return the digest of its manifest."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._upload(repository, b"{}", _CONFIG),
            "layers": [self._upload(repository, content, _LAYER)],
        }
        body = json.dumps(manifest).encode()
        url = f"{self.url}/v2/{repository}/manifests/{tag}"
        answer = httpx2.put(url, content=body, headers={"Content-Type": MANIFEST})
        answer.raise_for_status()
        return _digest(body)

    def pull(self, repository: str, tag: str) -> None:
        """Fetch the manifest, as who pulls the image does first."""
        url = f"{self.url}/v2/{repository}/manifests/{tag}"
        httpx2.get(url, headers={"Accept": MANIFEST}).raise_for_status()

    def _upload(self, repository: str, content: bytes, media: str) -> dict[str, Any]:
        """Upload a blob in one piece; return what a manifest says of it."""
        begun = httpx2.post(f"{self.url}/v2/{repository}/blobs/uploads/")
        begun.raise_for_status()
        place = httpx2.URL(urljoin(self.url, begun.headers["location"]))
        digest = _digest(content)
        answer = httpx2.put(
            place.copy_add_param("digest", digest),
            content=content,
            headers={"Content-Type": _BYTES},
        )
        answer.raise_for_status()
        return {"mediaType": media, "size": len(content), "digest": digest}

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/v2/").status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
