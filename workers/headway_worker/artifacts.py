"""Files that steps leave for others, and files that are placed before a step starts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from headway.crash_points import crash_point
from headway.protocol.messages import ArtifactRef
from headway_worker.api import Api
from headway_worker.redaction import Redactor
from headway_worker.regular import open_regular

_CHUNK_BYTES = 256 * 1024
_MOST = 1000
_MAGIC = frozenset("*?[")


class ArtifactError(Exception):
    """An artifact or input that is not as declared; `code` is the failure's stable code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ArtifactTransfer:
    """Moves one attempt's files to and from the store, through the API."""

    def __init__(
        self, api: Api, *, attempt: str, fence: int, token: str, redactor: Redactor
    ) -> None:
        self._api = api
        self._redactor = redactor
        self._attempt = attempt
        self._fence = fence
        self._token = token

    def store(self, patterns: Sequence[str], roots: Sequence[Path]) -> list[ArtifactRef]:
        """Return references to the stored files that match, each pattern in the first root that
        has a match.

        A secret's value in a file's name is struck out of the name; contents are left alone.

        Raises:
            ArtifactError: `missing_artifact`, `bad_artifact`.
            HeadwayError: the coordinator did not take a file.
        """
        files: dict[str, Path] = {}
        for pattern in patterns:
            files |= matches(pattern, roots)
        if len(files) > _MOST:
            raise ArtifactError("bad_artifact", f"{len(files)} files match, more than {_MOST}")
        named = {self._redactor.text(path): file for path, file in sorted(files.items())}
        if len(named) < len(files):
            message = "two files have the same name once secrets are struck out of it"
            raise ArtifactError("bad_artifact", message)
        return [self._upload(path, file) for path, file in named.items()]

    def place(self, inputs: Mapping[str, Sequence[ArtifactRef]], folder: Path) -> None:
        """Download each input's files to `folder`/name/path.

        Raises:
            ArtifactError: `bad_input`, a path leaves the folder or a content is not the named one.
            HeadwayError: the coordinator did not give a file.
        """
        for name, refs in inputs.items():
            root = folder / name
            root.mkdir(parents=True, exist_ok=True)
            for ref in refs:
                self._download(ref, inside(root, ref.path))

    @crash_point("api.artifacts")
    def _upload(self, path: str, file: Path) -> ArtifactRef:
        try:
            opening = open_regular(file, follow=False)
        except OSError as error:
            raise ArtifactError("bad_artifact", f"{path} cannot be read: {error}") from error
        with opening as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            opened.seek(0)
            return self._api.put(
                f"artifacts/{quote(self._attempt, safe='')}",
                _chunks(opened),
                params={"path": path, "fence": str(self._fence)},
                headers={"X-Headway-Sha256": digest, "X-Headway-Token": self._token},
                answer=ArtifactRef,
            )

    def _download(self, ref: ArtifactRef, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        path = f"artifacts/{quote(self._attempt, safe='')}/{ref.sha256}"
        with (
            self._api.download(path, {"X-Headway-Token": self._token}) as chunks,
            target.open("wb") as file,
        ):
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        if digest.hexdigest() != ref.sha256 or size != ref.size:
            raise ArtifactError("bad_input", f"the content of {ref.path} is not what was stored")


def matches(pattern: str, roots: Sequence[Path]) -> dict[str, Path]:
    """Return path → file for a pattern; a plain path must exist, a pattern may match nothing.

    Raises:
        ArtifactError: `bad_artifact`, it leads out of the step's folders; `missing_artifact`.
    """
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        raise ArtifactError("bad_artifact", f"artifact {pattern} leaves the step's folder")
    # Before Python 3.13 a trailing `**` gives folders only.
    glob = pattern + "/*" if Path(pattern).name == "**" else pattern
    for root in roots:
        plain = root / pattern
        found = [plain] if plain.is_file() else sorted(f for f in root.glob(glob) if f.is_file())
        if found:
            return {_name(file, root): _contained(file, root) for file in found}
    if _MAGIC.isdisjoint(pattern):
        raise ArtifactError("missing_artifact", f"the step left no file {pattern}")
    return {}


def _name(file: Path, root: Path) -> str:
    name = str(file.relative_to(root))
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ArtifactError("bad_artifact", f"the file name {name!r} is not UTF-8") from None
    return name


def inside(root: Path, path: str) -> Path:
    """Return the place of a relative path below `root`. Raises ArtifactError if it leaves it."""
    parts = Path(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ArtifactError("bad_input", f"the path {path} leaves its folder")
    return root.joinpath(*parts)


def _contained(file: Path, root: Path) -> Path:
    """Return the file. A link is refused, also one that stays inside: it could be turned later."""
    below = root
    for part in file.relative_to(root).parts:
        below /= part
        if below.is_symlink():
            shown = below.relative_to(root)
            raise ArtifactError("bad_artifact", f"{shown} is a link; keep the file itself")
    return file


def _chunks(opened: object) -> Iterator[bytes]:
    read = opened.read  # type: ignore[attr-defined]
    while chunk := read(_CHUNK_BYTES):
        yield chunk
