from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headway_worker.outputs import OutputError, check, ensure_size, read_output_file


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "output"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ("", {}),
        ("rows=3\n", {"rows": "3"}),
        ("a=1\n\nb=x=y\n", {"a": "1", "b": "x=y"}),
        ("a=1\na=2\n", {"a": "2"}),
        ("text= kept \n", {"text": " kept "}),
        ('{"rows": 3, "parts": ["a"]}', {"rows": 3, "parts": ["a"]}),
        ('\n {"a": null}\n', {"a": None}),
    ],
)
def test_an_output_file_is_lines_or_one_object(
    tmp_path: Path, text: str, outputs: dict[str, Any]
) -> None:
    assert read_output_file(written(tmp_path, text)) == outputs


def test_no_file_is_no_outputs(tmp_path: Path) -> None:
    assert read_output_file(tmp_path / "output") == {}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no equals sign\n", "bad_output"),
        ('{"a": 1} trailing', "bad_output"),
        ('{"a": ' * 100_000, "outputs_too_large"),
        (b"a=\xff\n", "bad_output"),
        ("a=" + "x" * 600_000, "outputs_too_large"),
    ],
)
def test_what_is_neither_is_refused(tmp_path: Path, text: str | bytes, code: str) -> None:
    with pytest.raises(OutputError) as refused:
        read_output_file(written(tmp_path, text))
    assert refused.value.code == code


def made_pipe(path: Path) -> None:
    os.mkfifo(path)


def made_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [made_pipe, made_endless, Path.mkdir])
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "output"
    make(path)
    with pytest.raises(OutputError, match="output is no regular file") as refused:
        read_output_file(path)
    assert refused.value.code == "bad_output"


def test_a_script_s_text_becomes_the_declared_type() -> None:
    declared = {"n": "int", "ok": "bool", "parts": "list", "day": "date", "name": "string"}
    given = {"n": "3", "ok": "true", "parts": '["a"]', "day": "2026-01-31", "name": "3"}
    checked = check(declared, given, text=True)
    assert checked == {"n": 3, "ok": True, "parts": ["a"], "day": "2026-01-31", "name": "3"}


def test_a_function_s_values_are_not_read_as_text() -> None:
    with pytest.raises(OutputError, match="output n must be of type int"):
        check({"n": "int"}, {"n": "3"}, text=False)


@pytest.mark.parametrize(
    ("declared", "given", "code"),
    [
        ({}, {"extra": 1}, "undeclared_output"),
        ({"rows": "int"}, {}, "missing_output"),
        ({"rows": "int"}, {"rows": "many"}, "bad_output"),
    ],
)
def test_outputs_must_be_those_declared(
    declared: dict[str, str], given: dict[str, Any], code: str
) -> None:
    with pytest.raises(OutputError) as refused:
        check(declared, given, text=True)
    assert refused.value.code == code


def test_outputs_over_the_limit_are_refused_and_those_at_it_are_not() -> None:
    ensure_size({"a": "x" * (256 * 1024 - len('{"a": ""}'))})
    with pytest.raises(OutputError) as refused:
        ensure_size({"a": "x" * (256 * 1024 - len('{"a": ""}') + 1)})
    assert refused.value.code == "outputs_too_large"


@pytest.mark.parametrize(
    "value", [float("nan"), 2**63, [-(2**63) - 1], {"n": [10**400]}, float("inf"), {1, 2}]
)
def test_what_not_every_reader_holds_is_refused(value: Any) -> None:
    with pytest.raises(OutputError) as refused:
        ensure_size({"a": value})
    assert refused.value.code == "bad_output"


def test_the_largest_numbers_are_taken() -> None:
    ensure_size({"a": [2**63 - 1, -(2**63), 1.7e308]})


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    value = "a\u2028b\x85c\x0bd\x0ce\x1cf\rg"
    file = tmp_path / "outputs"
    file.write_bytes(f"text={value}\r\nnext=1\n".encode())
    assert read_output_file(file) == {"text": value, "next": "1"}


def test_outputs_nested_too_deep_to_be_reported_are_refused() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    with pytest.raises(OutputError, match="nested deeper than 100 levels"):
        ensure_size({"deep": deep})
