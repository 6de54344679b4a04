"""`headway pipelines versions|diff|rollback`, and `headway export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headway.spec import load
from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply

TEXT = "headway: 1\npipeline: sales\nteam: demo\nowner: o\nsteps:\n  a:\n    run: echo one\n"
ROUTE = "GET /pipelines/demo/sales"


def stored(version: int, text: str = TEXT) -> dict[str, Any]:
    spec = load(text, "f").spec
    assert spec is not None
    head = {"pipeline": "sales", "team": "demo", "version": version, "digest": spec.digest}
    return {**head, "definition": spec.canonical, "source": text}


@pytest.fixture
def installed(api: ApiDouble) -> ApiDouble:
    rows = [{"pipeline": "sales", "team": "demo"}, {"pipeline": "sums", "team": "demo"}]
    rows += [{"pipeline": "sums", "team": "risk"}]
    api.on("GET /pipelines", Reply({"pipelines": rows, "next": None}))
    api.on(ROUTE, Reply(stored(2, TEXT.replace("one", "two"))))
    api.on(f"{ROUTE}/versions/1", Reply(stored(1)))
    api.on(f"{ROUTE}/versions/2", Reply(stored(2, TEXT.replace("one", "two"))))
    at = "2026-01-01T00:00:00Z"
    row = {"owner": "o", "created_at": at, "actor": "ann"}
    versions = [
        {**row, "version": 3, "digest": "a" * 64, "current": True},
        {**row, "version": 2, "digest": "b" * 64, "current": False},
        {**row, "version": 1, "digest": "a" * 64, "current": False},
    ]
    api.on(f"{ROUTE}/versions", Reply({"versions": versions, "next": None}))
    return api


def test_versions(headway: Command, installed: ApiDouble) -> None:
    lines = headway("pipelines", "versions", "sales").out.splitlines()
    assert lines[1].startswith(
        "3        aaaaaaaaaaaa  2026-01-01 00:00:00Z  ann  current, the same as 1"
    )
    document = headway("pipelines", "versions", "demo/sales", "--json").document
    assert [row["version"] for row in document["versions"]] == [3, 2, 1]
    assert (document["pipeline"], document["team"]) == ("sales", "demo")


@pytest.mark.parametrize("ends", [(), ("1",), ("1", "2")])
def test_diff(headway: Command, installed: ApiDouble, ends: tuple[str, ...]) -> None:
    done = headway("pipelines", "diff", "sales", *ends)
    assert done.out.splitlines() == [
        "demo/sales: version 1 → 2",
        "  ~ steps.a.run: echo one → echo two",
    ]
    document = headway("pipelines", "diff", "sales", *ends, "--json").document
    assert (document["from"]["version"], document["to"]["version"]) == (1, 2)
    change = {"change": "changed", "path": "steps.a.run", "old": "echo one", "new": "echo two"}
    assert document["changes"] == [change]


def test_diff_of_a_single_version(headway: Command, installed: ApiDouble) -> None:
    installed.on(ROUTE, Reply(stored(1)))
    done = headway("pipelines", "diff", "sales")
    assert done.status == 2
    assert "has one version" in done.err


def test_rollback_says_how_to_undo_it(headway: Command, installed: ApiDouble) -> None:
    answer = {"pipeline": "sales", "team": "demo", "digest": "a" * 64, "version": 3}
    answer |= {"changed": True, "restored": 1, "previous": 2}
    installed.on("POST /pipelines/demo/sales/rollback", Reply(answer))
    done = headway("pipelines", "rollback", "sales", "1")
    assert done.out.splitlines() == [
        "demo/sales: version 3 is version 1 again",
        "undo: headway pipelines rollback demo/sales 2",
    ]
    assert installed.asked[-1].body == {"version": 1}
    assert headway("pipelines", "rollback", "sales", "1", "--json").document == answer


def test_a_name_that_is_unknown_or_not_enough(headway: Command, installed: ApiDouble) -> None:
    unknown = headway("pipelines", "versions", "slaes")
    assert unknown.status == 4
    assert "did you mean `sales`?" in unknown.err
    several = headway("pipelines", "versions", "sums")
    assert several.status == 2
    assert "demo, risk" in several.err
    assert headway("pipelines", "versions", "demo/sums").status == 4  # the double has no route


def test_export_writes_files_and_replaces_none(
    headway: Command, installed: ApiDouble, tmp_path: Path
) -> None:
    done = headway("export", "sales", "--to", str(tmp_path), "--json")
    [row] = done.document["exported"]
    file = tmp_path / "demo" / "sales.yaml"
    assert (row["file"], row["version"]) == (str(file), 2)
    assert file.read_text() == TEXT.replace("one", "two")
    assert headway("validate", str(file)).status == 0
    file.write_text("mine")
    refused = headway("export", "sales", "--to", str(tmp_path))
    assert (refused.status, file.read_text()) == (4, "mine")
    assert "--force" in refused.err
    assert headway("export", "sales", "--to", str(tmp_path), "--force").status == 0
    assert file.read_text() != "mine"


def test_export_to_stdout(headway: Command, installed: ApiDouble) -> None:
    assert headway("export", "sales").out == TEXT.replace("one", "two")
    [row] = headway("export", "sales", "--to", "-", "--json").document["exported"]
    assert (row["file"], row["text"]) == (None, TEXT.replace("one", "two"))


@pytest.mark.parametrize("words", [(), ("sales", "--all")])
def test_export_wants_names_or_all(
    headway: Command, installed: ApiDouble, words: tuple[str, ...]
) -> None:
    assert headway("export", *words).status == 2


def test_export_of_everything(headway: Command, installed: ApiDouble, tmp_path: Path) -> None:
    for team, name in (("demo", "sums"), ("risk", "sums")):
        text = TEXT.replace("sales", name).replace("demo", team)
        row = {**stored(1, text), "pipeline": name, "team": team}
        installed.on(f"GET /pipelines/{team}/{name}", Reply(row))
    assert headway("export", "--all", "--to", str(tmp_path)).status == 0
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.yaml"))
    assert files == ["demo/sales.yaml", "demo/sums.yaml", "risk/sums.yaml"]
