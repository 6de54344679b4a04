"""No value leaves the worker, in whatever form and parts it is printed."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_worker.redaction import Redactor

TOKEN = "hunter2/pass+word ü'\"\\$%&"
KEY = "-----BEGIN KEY-----\n" + "\n".join("abcdefgh" * 8 + str(n) for n in range(9)) + "\n-----\n"
FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "quote": quote,
    "quote all": lambda v: quote(v, safe=""),
    "quote_plus": quote_plus,
    "lower quote": lambda v: "".join(
        f"%{b:02x}" if b in b"/+ '\"\\$%&" else chr(b) for b in v.encode() if b < 128
    ),
    "json": lambda v: json.dumps(v),
    "json, not ascii": lambda v: json.dumps(v, ensure_ascii=False),
    "repr": repr,
    "repr of bytes": lambda v: repr(v.encode()),
    "shell": shlex.quote,
    "bash -x": lambda v: "'" + v.replace("'", "'\\''") + "'",
}


def streamed(redactor: Redactor, data: bytes, size: int) -> bytes:
    stream = redactor.stream()
    assert stream is not None
    parts = [stream.feed(data[i : i + size]) for i in range(0, len(data), size)]
    return b"".join([*parts, stream.finish()])


@pytest.mark.parametrize("form", [name for name in FORMS if name not in ("lower quote", "shell")])
def test_a_value_is_found_in_every_form(form: str) -> None:
    shown = Redactor([TOKEN]).text(f"a {FORMS[form](TOKEN)} z")
    assert "hunter2" not in shown
    assert "word" not in shown
    assert shown.startswith("a ")
    assert shown.endswith(" z")


def test_lower_case_url_encoding_and_shell_quotes_are_found() -> None:
    value = "hunter2/pass+word'"
    redactor = Redactor([value])
    assert redactor.text("k=hunter2%2fpass%2bword%27&") == "k=***&"
    assert redactor.text(shlex.quote(value)).count("hunter2") == 0


@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("after", range(4))
def test_base64_is_found_at_every_alignment(
    alphabet: Callable[[bytes], bytes], before: int, after: int
) -> None:
    value = "s3cr3t~~??>>value"
    plain = b"u" * before + value.encode() + b"p" * after
    shown = Redactor([value]).text(alphabet(plain).decode())
    assert "***" in shown
    # What is left of the encoding holds at most the bits that the neighbours share.
    assert len(shown.replace("***", "").rstrip("=")) <= 4 + (before * 8 // 6) + after * 2


@pytest.mark.parametrize("columns", [64, 76])
def test_base64_in_lines_is_found(columns: int) -> None:
    encoded = base64.b64encode(KEY.encode()).decode()
    lines = "\n".join(encoded[i : i + columns] for i in range(0, len(encoded), columns))
    shown = Redactor([KEY]).text(lines)
    assert set(shown.split("\n")[:-1]) == {"***"}
    assert len(shown.split("\n")[-1]) < 8


def test_a_value_of_several_lines_is_found_line_by_line() -> None:
    redactor = Redactor([KEY])
    for line in KEY.splitlines():
        assert redactor.text(f"> {line} <") == "> *** <"
    shown = redactor.text(json.dumps(KEY) + quote(KEY) + repr(KEY))
    assert "abcd" not in shown


def test_lines_that_are_too_short_strike_out_nothing() -> None:
    redactor = Redactor(['{\n"user": "joe",\n}\n'])
    assert redactor.text('{ok}\n"user": "joe",') == "{ok}\n***"


def test_short_lines_are_found_with_their_neighbours() -> None:
    value = "ab\ncd\nef"
    redactor = Redactor([value])
    assert redactor.text(f"{value} {json.dumps(value)} {quote(value)}") == '*** "***" ***'


def test_without_values_nothing_changes() -> None:
    redactor = Redactor()
    assert not redactor
    assert redactor.stream() is None
    assert redactor.text("x") == "x"
    assert redactor.value({"a": [1]}) == {"a": [1]}


def test_outputs_lose_values_in_texts_keys_and_numbers() -> None:
    redactor = Redactor(["87654321", "sesame"])
    given = {"sesame": ["x sesame", {"n": 87654321, "f": 1.5, "t": True, "z": None}], "n": 12}
    assert redactor.value(given) == {
        "***": ["x ***", {"n": "***", "f": 1.5, "t": True, "z": None}],
        "n": 12,
    }


def test_the_ends_of_a_text_that_was_cut_are_struck_out() -> None:
    redactor = Redactor(["correct horse battery staple"])
    assert redactor.text("battery staple\nat line 1") == "***\nat line 1"
    assert redactor.text("answered: correct horse bat") == "answered: ***"
    assert redactor.text("corr") == "corr"


def test_only_what_may_be_a_value_is_held_back() -> None:
    stream = Redactor(["correct horse"]).stream()
    assert stream is not None
    assert stream.feed(b"on the way: 40 %") == b"on the way: 40 %"
    assert stream.feed(b" corr") == b" "
    assert stream.feed(b"ugated\n") == b"corrugated\n"
    assert stream.feed(b"x correct h") == b"x "
    assert stream.feed(b"orse y\n") == b"*** y\n"
    assert stream.feed(b"cor") + stream.finish() == b"cor"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4096])
@pytest.mark.parametrize("value", [TOKEN, KEY, "aaaa", "abab" * 40, "x" * 500 + "y"])
def test_the_borders_of_parts_change_nothing(value: str, size: int) -> None:
    redactor = Redactor([value, "other"])
    encoded = base64.b64encode(b"-" + value.encode()).decode()
    text = f"{value}{value} other{value[:-1]}\n{encoded} {quote(value)} {value[1:]}".encode()
    assert streamed(redactor, text, size) == streamed(redactor, text, len(text))
    assert value.encode() not in streamed(redactor, text, size)


@given(
    st.lists(st.text("ab", min_size=4, max_size=9), min_size=1, max_size=3),
    st.lists(st.text("abc", max_size=12), max_size=12),
)
def test_any_parts_give_the_same_and_no_value(values: list[str], parts: list[str]) -> None:
    redactor = Redactor(values)
    stream = redactor.stream()
    assert stream is not None
    shown = b"".join(stream.feed(part.encode()) for part in parts) + stream.finish()
    text = "".join(parts).encode()
    assert shown == streamed(redactor, text, max(1, len(text)))
    assert not any(value.encode() in shown for value in values)


def test_many_values_are_found_by_the_index() -> None:
    values = [f"value-{n:04}-{'xyz' * (n % 9)}" for n in range(400)]
    redactor = Redactor(values)
    text = "".join(f"{'.' * (n % 11)}<{value}>" for n, value in enumerate(values))
    shown = redactor.text(text)
    assert shown.count("<***>") == 400
    assert "value" not in shown


def test_lone_surrogates_and_other_odd_text_come_back_as_they_were() -> None:
    odd = "\ud800 \x00 ü \U0001f600"
    assert Redactor(["sesame"]).text(odd) == odd
