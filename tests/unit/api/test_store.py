"""The artifact and log store, in a folder and in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.errors import ConflictError, DefinitionError, ForbiddenError, UnavailableError
from headway_coordinator.integrations.store import ObjectStore, open_store

LARGE = b"0123456789" * 600_000  # over what is written at once


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(f"file://{tmp_path / 'a store'}" if request.param == "file" else "memory:")


def content(store: ObjectStore, key: str) -> bytes:
    return b"".join(store.get(key))


@pytest.mark.parametrize("data", [b"", b"small", LARGE])
def test_what_goes_in_comes_out(store: ObjectStore, data: bytes) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    assert store.put("a/b", [data[:3], data[3:]], sha256=sha256, limit=len(data)) == len(data)
    assert content(store, "a/b") == data
    assert store.list("a") == [("a/b", len(data))]


@pytest.mark.parametrize("second", [b"other and longer", LARGE])
def test_a_key_is_written_once(store: ObjectStore, second: bytes) -> None:
    assert store.put("a/b", [b"first"]) == 5
    assert store.put("a/b", [second]) == 5
    assert content(store, "a/b") == b"first"


def test_content_that_is_not_right_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="SHA-256"):
        store.put("a/b", [b"x"], sha256="0" * 64)
    with pytest.raises(ForbiddenError) as refused:
        store.put("a/b", [b"123", b"456"], limit=5)
    assert refused.value.status == 413

    def cut() -> Iterator[bytes]:
        yield LARGE
        raise RuntimeError("the line was cut")

    with pytest.raises(RuntimeError):
        store.put("a/b", cut())
    assert store.list("a") == []
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    assert store.list("nothing") == []
    with pytest.raises(ForbiddenError) as missing:
        store.get("nothing/here")
    assert missing.value.status == 404


def test_a_list_is_of_one_folder_in_order(store: ObjectStore) -> None:
    for key in ["log/r1/00020", "log/r1/00003", "log/r10/00000", "log/r2/00000"]:
        store.put(key, [b"x"])
    assert store.list("log/r1") == [("log/r1/00003", 1), ("log/r1/00020", 1)]


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a b", "a\0"]
)
def test_no_key_leaves_the_store(store: ObjectStore, key: str) -> None:
    with pytest.raises(ForbiddenError):
        store.put(key, [b"x"])
    with pytest.raises(ForbiddenError):
        store.get(key)
    with pytest.raises(ForbiddenError):
        store.list(key)


@pytest.mark.parametrize("url", ["", "ftp://host/x", "/plain/path", "file://host/x", "s3://"])
def test_an_address_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        open_store(url)
    assert refused.value.code == "bad_url"


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UnavailableError):
        open_store(f"file://{tmp_path / 'taken'}")
