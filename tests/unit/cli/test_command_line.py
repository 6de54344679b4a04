"""The command line as a whole: help, wrong use, exit statuses, one document on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

from headway import __version__
from headway.cli import edge
from headway.cli.catalogue import CATALOGUE, Entry, find, overview
from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply, dead_address, problem


def test_help_names_every_command(headway: Command) -> None:
    done = headway("--help")
    assert done.status == 0
    assert done.err == ""
    for entry in CATALOGUE:
        assert f"  {entry.name:<12} {entry.help}\n" in done.out
    assert headway().out == headway("-h").out == done.out


def test_version(headway: Command) -> None:
    assert headway("--version").out == f"headway {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from headway.cli.main import run; run(['--help']);"
        "print([m for m in ('typer', 'rich', 'pydantic', 'httpx2', 'celery', 'sqlalchemy',"
        " 'fastapi', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_each_command_is_where_the_table_says_with_the_same_help(entry: Entry) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    entry.load()(app)
    command = typer.main.get_group(app).commands[entry.name]
    assert command.help == entry.help


@pytest.mark.parametrize(
    "line",
    [
        "nope",
        "runs",
        "runs nope",
        "runs list --nope",
        "runs list --limit many",
        "runs list --limit 0",
        "run",
        "token create --role king --subject me",
        "runs logs x --attempt 1",
        "run weather -p unit",
        "run weather -p =1",
        "validate",
        "validate no/such/file.yaml",
        "apply no/such/file.yaml",
        "run no/such/file.yaml",
        "run weather -p @no/such/file.json",
        "token create --role viewer --subject me --expires soon",
    ],
)
def test_wrong_use(headway: Command, line: str) -> None:
    text = headway(*line.split())
    assert text.status == 2
    assert text.out == ""
    assert text.err.startswith("error: ")
    assert "Traceback" not in text.err

    as_json = headway(*line.split(), "--json")
    assert as_json.status == 2
    assert as_json.document["error"]["message"]
    assert set(as_json.document["error"]) == {"code", "message", "hint", "problems"}


def test_a_typo_is_answered_with_the_command_that_was_meant(headway: Command) -> None:
    assert "did you mean `queues`?" in headway("queue").err


def test_nothing_answers(headway: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with dead_address() as dead:
        monkeypatch.setenv("HEADWAY_API_URL", dead)
        done = headway("queues", "--json")
    assert done.status == 3
    assert done.document["error"]["code"] == "unreachable"
    assert "headway up" in done.err


@pytest.mark.parametrize("status", [401, 403, 404, 409, 429])
def test_refused(headway: Command, api: ApiDouble, status: int) -> None:
    api.on("GET /queues", problem(status, "some_code", "not like this", hint="do that"))
    done = headway("queues")
    assert done.status == 4
    assert done.err == "error: not like this\nhint: do that\n"
    assert headway("queues", "--json").document["error"]["code"] == "some_code"


def test_a_crash_is_one_line(
    headway: Command, api: ApiDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET /runs", Reply({"runs": [{"id": 1}], "next": None}))

    def broken(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("headway.cli.runs._row", broken)
    done = headway("runs", "list")
    assert done.status == 1
    assert done.err.splitlines()[0] == "error: RuntimeError: two lines"
    assert "Traceback" not in done.err
    monkeypatch.setenv("HEADWAY_DEBUG", "1")
    assert "Traceback" in headway("runs", "list").err


def test_a_missing_extra_is_named(headway: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def register(app: typer.Typer) -> None:
        @app.command("up")
        def up() -> None:
            import_module("a_library_that_only_an_extra_brings")

    monkeypatch.setattr(edge, "find", lambda name: find(name) if name != "up" else _entry("up"))
    monkeypatch.setattr(Entry, "load", lambda self: register)
    done = headway("up")
    assert done.status == 2
    assert "pip install 'headway[embedded]'" in done.err


def _entry(name: str) -> Entry:
    return next(entry for entry in CATALOGUE if entry.name == name)


def test_text_cannot_steer_the_terminal(headway: Command, api: ApiDouble) -> None:
    api.on("GET /queues", problem(403, "c", "bad \x1b[2J news", hint="\x07"))
    assert "\x1b" not in headway("queues").err
    api.on("GET /teams", Reply({"teams": [{"name": "a\x1b[31m"}]}))
    assert "\x1b" not in headway("team", "list").out


def test_the_overview_fits_a_screen() -> None:
    assert all(len(line) <= 100 for line in overview().splitlines())


def test_a_plug_in_adds_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint, EntryPoints

    point = EntryPoint("extra-thing", "somewhere:register", "headway.commands")
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda **wanted: EntryPoints([point]).select(**wanted)
    )
    entry = find("extra-thing")
    assert entry is not None
    assert entry.target == "somewhere:register"
    own = find("runs")
    assert own is not None
    assert own.target == "headway.cli.runs:register"


@pytest.mark.parametrize(
    ("typed", "offered"), [("headway ru", ["run", "runs"]), ("headway runs sh", ["show"])]
)
def test_completion(typed: str, offered: list[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", "from headway.cli.main import main; main()"],
        env={**os.environ, "_HEADWAY_COMPLETE": "complete_bash", **words},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == offered, done.stderr


SHELL = (
    "import sys; sys.argv = ['headway', *sys.argv[1:]]; from headway.cli.main import main; main()"
)


def in_shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `headway` stands for the command."""
    script = f'set -o pipefail; headway() {{ "{sys.executable}" -c "{SHELL}" "$@"; }}; {line}'
    with dead_address() as nobody:
        return subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "HEADWAY_API_URL": nobody, **env},
        )


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("headway --help | true", 0, ""),
        ("headway runs list --json | true", 3, "error:"),
        ("headway runs list --json > /dev/full", 3, "error:"),
        ("headway runs list >&-", 3, "error:"),
        ("headway --help >&-", 0, ""),
        ("headway runs list >&- 2>&-", 3, ""),
        ("headway --help > /dev/full", 1, "error: cannot write to the standard output"),
    ],
)
def test_an_output_that_nobody_reads_changes_no_status(line: str, status: int, said: str) -> None:
    done = in_shell(line)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_none_is_told_and_shows_no_password() -> None:
    done = in_shell("headway runs list --json", HEADWAY_API_URL="ftp://u:hush@host")
    assert done.returncode == 2
    assert "invalid_settings" in done.stdout
    assert "hush" not in done.stdout + done.stderr


def test_a_file_name_that_is_no_text_is_shown_as_json(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/\xff.yaml"
    with open(file, "wb") as stream:
        stream.write(b"steps: {a: {rnu: x}}\n")
    done = in_shell(f"cd {tmp_path}; headway validate --json *.yaml")
    assert done.returncode == 2
    problems = json.loads(done.stdout)["problems"]
    assert {problem["file"] for problem in problems} == {"\ufffd.yaml"}
