"""A token in a file, for services that are set up without a person: made once, then kept."""

from __future__ import annotations

import os
from pathlib import Path

from headway.errors import ConflictError, UnavailableError
from headway_coordinator.access.tokens import fingerprint, is_token
from headway_coordinator.application.ports import Storage
from headway_coordinator.embedded import write_private
from headway_coordinator.raising import make_token


def save_token(storage: Storage, file: Path, *, subject: str, role: str, team: str | None) -> bool:
    """Have a token of that role and team in `file`; return whether a new one was made.

    The one that is there is kept while it is good for the same. The file is its owner's alone.

    Raises:
        ConflictError: the file holds something that is no token.
        UnavailableError: it cannot be read or written.
        DefinitionError: there is no such role, or a worker's token names no team.
    """
    try:
        found = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        if found and not is_token(found):
            message = f"{file} holds something else than a token"
            raise ConflictError("not_a_token", message, "name another file, or move it away")
        if found and _is_good(storage, found, role=role, team=team):
            return False
        _try_to_write(file)
        text = make_token(storage, subject=subject, role=role, team=team)
        write_private(file, text + "\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} cannot be used: {error}"
        raise UnavailableError("unusable_file", message, "let it be writable here") from error
    return True


def _is_good(storage: Storage, text: str, *, role: str, team: str | None) -> bool:
    token = storage.access.find_token(fingerprint(text))
    return token is not None and (token.role, token.team) == (role, team)


def _try_to_write(file: Path) -> None:
    """Raise OSError before a token is made that could not be kept."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(file.parent, os.W_OK):
        raise PermissionError(f"{file.parent} is not writable")
