"""Mistakes stand where the author wrote them, to the column."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.errors import Problem
from headway.loading import read_python
from headway.spec import load_all

HEAD = """\
from datetime import timedelta
from headway import http, pipeline, shell, step

@step(outputs={"rows": int})
def load(n: int = 1): ...

@pipeline(team="demo", owner="me@example.com")
def first(n: int = 3):
"""


def problems(folder: Path, text: str, name: str = "flow.py") -> list[Problem]:
    file = folder / name
    file.write_text(text)
    loaded, yaml = read_python(file)
    found = [problem for each in loaded for problem in each.problems]
    assert {problem.file for problem in found} <= {str(file)}
    assert bool(found) is not bool(yaml)
    assert all(problem.hint for problem in found), "each says the mend"
    return found


def shown(folder: Path, text: str) -> list[str]:
    """Return each problem as its code and the source from its place to the end of the line."""
    lines = text.split("\n")
    return [f"{p.code}: {lines[p.line - 1][p.column - 1 :]}" for p in problems(folder, text)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('    shell("é ${{ x }}", name="a")', ['injection: ${{ x }}", name="a")']),
        ("    load(n).with_x", ["python_error: load(n).with_x"]),
        (
            '    shell("true", name="a", env={"É": 1, "B": f"{n} ${{ params.m }}"})',
            ['bad_name: "É": 1, "B": f"{n} ${{ params.m }}"})'],
        ),
        (
            '    shell("true", name="a", env={"B":\n        "x ${{ params.m }}"})',
            ['unknown_name: m }}"})'],
        ),
        ('    shell("true", name="a", retry=dict(max=-1))', ["bad_value: -1))"]),
        ('    shell("true", name="a", retry=-1, tmeout=3)', [
            "bad_value: -1, tmeout=3)",
            "unknown_key: tmeout=3)",
        ]),
        ('    shell("é ☃", name="a", retry=-1)', ["bad_value: -1)"]),
        ('    load(n).when("al_done")', ['bad_value: "al_done")']),
        ('    load(n).if_("n > 1 &&")', ['bad_expression: &&")']),
        ('    load(n).after("nobody")', ['unknown_need: "nobody")']),
        ('    load(n)["row"]', ['unknown_name: load(n)["row"]']),
        ("    load(n, timedelta(1))", ["bad_arguments: load(n, timedelta(1))"]),
        ("    load(object())", ["bad_value: object())"]),
        ('    load({"a": [1, timedelta(microseconds=1)]})', [
            "bad_duration: timedelta(microseconds=1)]})"
        ]),
        ('    http("ftp://x", name="a", expect=[200, "x"])', [
            'bad_value: "ftp://x", name="a", expect=[200, "x"])',
            'wrong_type: "x"])',
        ]),
        ("    pass", ["bad_value: pipeline(team=\"demo\", owner=\"me@example.com\")"]),
    ],
)  # fmt: skip
def test_a_mistake_stands_where_it_was_written(
    tmp_path: Path, body: str, expected: list[str]
) -> None:
    assert shown(tmp_path, HEAD + body + "\n") == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("a: complex, n: int = 'x'", "unmappable_type: a: complex, n: int = 'x'):"),
        ("a: int, n: int = 'x'", "wrong_type: 'x'):"),
        ("a: int, *, N: int = 1", "bad_name: N: int = 1):"),
        ("a: str = '${{ run.nope }}'", "unknown_name: nope }}'):"),
    ],
)
def test_a_param_stands_in_the_signature(tmp_path: Path, params: str, expected: str) -> None:
    text = HEAD.replace("n: int = 3", params) + '    shell("true", name="a")\n'
    assert expected in shown(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("x = 1\ndef f(:", "python_syntax", 2, 7),
        ("import nothing_of_the_kind", "python_error", 1, 1),
        ("x = 1\n\ny = {}['a']", "python_error", 3, 5),
        ("import sys\nsys.exit(3)", "python_error", 2, 1),
        ("import urllib.request as u\nu.urlopen('http://127.0.0.1:1')", "connects", 2, 1),
        ("x = bytearray(5 * 1024**3)", "out_of_memory", 1, 5),
        ("import os\nos.kill(os.getpid(), 9)", "python_error", 1, 1),
        ("import os\nos._exit(0)", "python_error", 1, 1),
        ("x = 1", "empty", 1, 1),
    ],
)
def test_a_file_that_cannot_be_run(
    tmp_path: Path, text: str, code: str, line: int, column: int
) -> None:
    [problem] = problems(tmp_path, text)
    assert (problem.code, problem.line, problem.column) == (code, line, column)


def test_a_file_whose_name_hides_a_module_or_cannot_be_imported(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, HEAD + "    load(n)\n", "json.py")
    assert (problem.code, problem.line) == ("not_importable", 1)
    [problem] = problems(tmp_path, HEAD + "    load(n)\n", "daily-sales.py")
    assert (problem.code, problem.line, problem.column) == ("not_importable", 4, 2)
    assert problems(tmp_path, HEAD + '    shell("true", name="a")\n', "daily-sales.py") == []


def test_only_the_authors_frames_are_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = HEAD + "    raise ValueError('the reason')\n"
    [problem] = problems(tmp_path, "print('read')\n" + text)
    said = capfd.readouterr().err
    assert (problem.line, problem.message) == (10, "ValueError: the reason")
    assert said.startswith("read\nTraceback (most recent call last):\n")
    assert said.count('  File "') == 1
    assert f'File "{tmp_path / "flow.py"}", line 10, in first' in said


def test_a_part_of_another_file_stands_there(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(
        "from headway import step\n\n@step(retry=-1)\ndef load(n: int): ...\n"
    )
    (tmp_path / "flow.py").write_text(
        HEAD.replace('@step(outputs={"rows": int})\ndef load(n: int = 1): ...', "import steps")
        + "    steps.load(n)\n"
    )
    [loaded], _ = read_python(tmp_path / "flow.py")
    [problem] = loaded.problems
    assert problem.file.endswith("steps.py")
    assert (problem.line, problem.column) == (3, 13)


def test_several_pipelines_in_packages_and_loops(tmp_path: Path) -> None:
    package = tmp_path / "sales" / "flows"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "flow.py").write_text(
        "from headway import pipeline, step\n\n@step\ndef load(n: int): ...\n\n"
        "for region in ('eu', 'us'):\n"
        "    @pipeline(team='demo', owner='me', name=f'sales-{region}')\n"
        "    def sales(n: int = 3): load(n)\n"
    )
    loaded, text = read_python(package / "flow.py")
    specs = [each.spec for each in loaded if each.spec]
    assert [spec.pipeline for spec in specs] == ["sales-eu", "sales-us"]
    assert specs[0].canonical["steps"][0]["python"] == "sales.flows.flow:load"
    again = [each.spec for each in load_all(text, "f")]
    assert [spec.digest for spec in again if spec] == [spec.digest for spec in specs]


def test_two_pipelines_of_one_name(tmp_path: Path) -> None:
    one = "@pipeline(team='demo', owner='me', name='x')\ndef a(): shell('true', name='a')\n"
    file = tmp_path / "flow.py"
    file.write_text("from headway import pipeline, shell\n" + one + one)
    found = [problem for each in read_python(file)[0] for problem in each.problems]
    assert [(p.code, p.line) for p in found] == [("duplicate_pipeline", 4)]


def test_tokens_are_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_TOKEN", "hw_x")
    [problem] = problems(tmp_path, "import os\nos.environ['HEADWAY_TOKEN']")
    assert problem.message == "KeyError: 'HEADWAY_TOKEN'"


def test_a_mistake_in_a_trigger(tmp_path: Path) -> None:
    text = """\
from headway import pipeline, shell

@pipeline(team="demo", owner="o", overlap="wait", triggers=[
    {"schedule": {"cron": "61 * * * *"}},
    {"pipeline": {"name": "other", "on": "done"}, "if": "event.x >"},
])
def first():
    shell("true", name="a", produces=["sales"])
"""
    assert shown(tmp_path, text) == [
        'bad_value: "wait", triggers=[',
        'bad_cron: "61 * * * *"}},',
        'bad_value: "done"}, "if": "event.x >"},',
        'bad_expression: >"},',
        'bad_uri: "sales"])',
    ]
