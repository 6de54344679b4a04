"""Clock, identifiers and randomness are parameters: few named places may read them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.repository import sources, tree

FORBIDDEN = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns"},
    "uuid": {"uuid1", "uuid4"},
    "random": None,  # Every name of it.
}

# Each exception with what it may read, and why it cannot take it as a parameter.
ALLOWED = {
    "common/headway/clock.py": {"datetime.now"},  # It is the clock.
    "coordinator/headway_coordinator/storage/sqlite.py": {
        "random.uniform"
    },  # Spreads lock retries.
}


def test_sources_read_no_clock_id_or_randomness_of_their_own() -> None:
    found = {
        f"{source}:{line} {name}"
        for source in sources()
        for name, line in forbidden(tree(source))
        if name not in allowed(source)
    }
    assert not found, "take a headway.clock.Clock, an id or a random source as a parameter"


def test_every_exception_is_still_needed() -> None:
    unused = {
        f"{source} {name}"
        for source, names in ALLOWED.items()
        for name in names - {found for found, _ in forbidden(tree(Path(source)))}
    }
    assert not unused


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import datetime\ndatetime.datetime.now()", "datetime.now"),
        ("from datetime import datetime as dt\ndt.now(UTC)", "datetime.now"),
        ("from datetime import date\ndate.today()", "date.today"),
        ("import time as t\nt.time()", "time.time"),
        ("from time import time", "time.time"),
        ("from uuid import uuid4 as new", "uuid.uuid4"),
        ("import uuid\nx = uuid.uuid4", "uuid.uuid4"),
        ("from random import choice", "random.choice"),
        ("import random\nrandom.random()", "random.random"),
    ],
)
def test_the_search_finds(text: str, name: str) -> None:
    assert name in {found for found, _ in forbidden(ast.parse(text))}


@pytest.mark.parametrize(
    "text",
    ["clock.now()", "import time\ntime.monotonic()", "self.time()", "from datetime import UTC"],
)
def test_the_search_leaves_alone(text: str) -> None:
    assert not list(forbidden(ast.parse(text)))


def allowed(source: Path) -> set[str]:
    return ALLOWED.get(source.as_posix(), set())


def forbidden(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield `owner.name` and line of each forbidden thing that the module imports or names."""
    names = dict(imported(module))
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                if is_forbidden(node.module, alias.name):
                    yield f"{node.module}.{alias.name}", node.lineno
        elif isinstance(node, ast.Attribute):
            owner = owner_of(node.value, names)
            if owner and is_forbidden(owner, node.attr):
                yield f"{owner}.{node.attr}", node.lineno


def imported(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each local name that an import gives to one of the owners, with the owner."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if alias.name in FORBIDDEN:
                    yield alias.asname or alias.name, alias.name


def owner_of(value: ast.expr, names: dict[str, str]) -> str | None:
    if isinstance(value, ast.Name):
        return names.get(value.id)
    # `datetime.datetime` and `datetime.date` behind a plain `import datetime`.
    if isinstance(value, ast.Attribute) and owner_of(value.value, names) == "datetime":
        return value.attr
    return None


def is_forbidden(owner: str, name: str) -> bool:
    if owner not in FORBIDDEN:
        return False
    names = FORBIDDEN[owner]
    return names is None or name in names
