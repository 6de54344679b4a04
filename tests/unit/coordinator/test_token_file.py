"""A token in a file: made once, kept while it is good, made again when it is not."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.errors import ConflictError, DefinitionError, UnavailableError
from headway_coordinator.access.tokens import fingerprint
from headway_coordinator.application.ports import Storage
from headway_coordinator.storage.migrating import upgrade
from headway_coordinator.storage.opening import open_storage
from headway_coordinator.token_file import save_token


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    upgrade(url)
    opened = open_storage(url)
    yield opened
    opened.close()


def save(storage: Storage, file: Path, team: str | None = "demo", role: str = "worker") -> bool:
    return save_token(storage, file, subject="workers", role=role, team=team)


def test_a_good_token_is_kept(storage: Storage, tmp_path: Path) -> None:
    file = tmp_path / "tokens" / "demo"
    assert save(storage, file)
    text = file.read_text()
    assert not save(storage, file)
    assert file.read_text() == text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = storage.access.find_token(fingerprint(text.strip()))
    assert found is not None
    assert (found.role, found.team, found.subject) == ("worker", "demo", "workers")
    assert [team["name"] for team in storage.access.teams()] == ["demo"]


def test_a_token_that_is_good_no_more_is_replaced(storage: Storage, tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert save(storage, file)
    [token] = storage.access.tokens()
    storage.access.revoke_token(token.id)
    assert save(storage, file)
    assert not save(storage, file)


@pytest.mark.parametrize(("team", "role"), [("other", "worker"), ("demo", "viewer")])
def test_a_token_for_something_else_is_replaced(
    storage: Storage, tmp_path: Path, team: str, role: str
) -> None:
    file = tmp_path / "token"
    assert save(storage, file)
    assert save(storage, file, team, role)


@pytest.mark.parametrize("content", ["a precious letter", "hw_short"])
def test_what_is_no_token_is_left_alone(storage: Storage, tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(ConflictError, match="something else than a token"):
        save(storage, file)
    assert file.read_text() == content
    assert storage.access.tokens() == []


def test_no_token_is_made_that_could_not_be_kept(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be used"):
        save(storage, tmp_path / "a file" / "token")
    assert storage.access.tokens() == []


def test_a_worker_without_a_team_is_refused(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="needs a team"):
        save(storage, tmp_path / "token", None)
    assert not (tmp_path / "token").exists()
