"""A worker's interpreter and every command import these; they must stay cheap."""

from __future__ import annotations

import json
import subprocess
import sys

import headway
from headway import authoring

HEAVY = {
    *("pydantic", "yaml", "celpy", "httpx2", "typer", "rich", "celery", "kombu", "redis"),
    *("sqlalchemy", "orjson", "structlog", "asyncio", "multiprocessing", "socket", "subprocess"),
}
OF_AUTHORS = {"headway", "headway.authoring", "headway.errors", "headway.spelling"}


def loaded_by(statement: str) -> set[str]:
    program = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_headway_alone_imports_nothing_of_its_own() -> None:
    loaded = loaded_by("import headway")
    assert {name for name in loaded if name.startswith("headway.")} == set()


def test_what_authors_import_is_the_standard_library_and_the_front_end() -> None:
    loaded = loaded_by("from headway import pipeline, step")
    ours = {name for name in loaded if name.partition(".")[0] == "headway"}
    assert {n for n in ours if not n.startswith("headway.authoring.")} <= OF_AUTHORS
    assert not {"headway.authoring.definition", "headway.authoring.trees"} & ours
    assert not HEAVY & loaded


def test_every_name_is_exported() -> None:
    assert set(authoring.__all__) <= set(dir(headway))
    for name in authoring.__all__:
        assert getattr(headway, name) is getattr(authoring, name)
