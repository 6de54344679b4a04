"""What hostile or careless people send: published collections, and more of the same kinds."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Input = TypeVar("Input")
_SHARE = 8
FOLDER = Path(__file__).parents[1] / "material" / "hostile-inputs"


@dataclass(frozen=True, slots=True)
class Document:
    """A text that may be JSON; `expect` is accept, reject, or either."""

    name: str
    expect: str
    text: str

    @property
    def body(self) -> bytes:
        return self.text.encode("utf-8", "surrogatepass")


def _published() -> list[Document]:
    rows = json.loads((FOLDER / "json-test-suite.json").read_text(encoding="utf-8"))
    return [Document(row["name"], row["expect"], row["input"]) for row in rows]


def _nested(opening: str, closing: str, depth: int, inside: str = "") -> Document:
    return Document(f"{opening} {depth} deep", "either", opening * depth + inside + closing * depth)


def _numbers() -> list[Document]:
    texts = [
        *(str(n) for n in (2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400)),
        *("1" * 4000, "1" * 5000, "1" * 100_000, "0." + "1" * 100_000),
        *("1e308", "1e309", "-1e309", "1e-400", "1E400", "-0", "-0.0", "5e-324"),
        *("NaN", "Infinity", "-Infinity", "nan", "inf", ".nan", ".inf", "0x10", "0o17", "1_000"),
    ]
    return [Document(f"the number {text[:30]}", "either", f"[{text}]") for text in texts]


def _shapes() -> list[Document]:
    keys = [
        "",
        " ",
        "__proto__",
        "constructor",
        "__class__",
        "a.b",
        "$ref",
        "\U0001f600",
        "x" * 5000,
    ]
    return [
        *(_nested("[", "]", depth) for depth in (20, 60, 150, 199, 300, 900, 5000)),
        *(_nested('{"a":', "}", depth, "1") for depth in (20, 60, 150, 300, 900, 5000)),
        *(Document(f"the key {key[:20]!r}", "accept", json.dumps({key: 1})) for key in keys),
        Document("keys twice", "either", '{"a":1,"a":2}'),
        Document("UTF-16", "reject", "[1]".encode("utf-16").decode("latin-1")),
        Document("latin-1", "either", '["\u00e9"]'),
        Document("a long text", "accept", json.dumps(["x" * 200_000])),
        Document("many values", "accept", json.dumps([0] * 20_000)),
    ]


def _strings() -> list[str]:
    naughty: list[str] = json.loads((FOLDER / "blns.json").read_text(encoding="utf-8"))
    controls = [f"a{chr(code)}b" for code in [*range(32), *range(0x7F, 0xA0)]]
    marks = [f"a{mark}b" for mark in "\u00ad\u061c\u200b\u200d\u200e\u200f\u2028\u2029\u2060\ufeff"]
    directions = [f"a{chr(code)}b" for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]]
    return [
        *naughty,
        *controls,
        *marks,
        *directions,
        *(
            "\ufffe",
            "\uffff",
            "\U0010ffff",
            "\U000e0041",
            "\ue000",
            "e\u0301",
            "Z\u0301\u0327" * 300,
        ),
        *(" leading", "trailing ", "\n", "\r\n", "a\r\nb", "a\rb", "\ta", "", " "),
        *(
            "\x1b[31mred\x1b[0m",
            "\x1b]0;title\x07",
            "\x1b]8;;http://x\x1b\\y",
            "\x9b31m",
            "\x1b[2J",
        ),
        *(
            "${{ params.value }}",
            "${{",
            "}}",
            "${{ }}",
            "$HOME",
            "$(id)",
            "`id`",
            "%s%n",
            "{0}",
            "{{7*7}}",
        ),
        *(
            "secret://x",
            "secret://",
            "../../etc/passwd",
            "..",
            ".",
            "/",
            "\\",
            "a/../b",
            "C:\\x",
            "//h/s",
        ),
        *(
            "~",
            "null",
            "true",
            "no",
            "0",
            "-1",
            "1e5",
            "2026-01-01",
            "=1+1",
            "- a",
            "a: b",
            "# c",
            "&a",
            "*a",
        ),
        *("x" * 300, "x" * 5000, "\U0001f600" * 2000, "'" * 100, '"' * 100, "\\" * 101),
    ]


def share(inputs: Sequence[Input], of: str) -> Sequence[Input]:
    """Return all of the inputs with LONG=1, otherwise every eighth: which ones, `of` says.

    So each is tried at some of the entries of its kind, and in the long form at all of them.
    """
    if os.environ.get("LONG"):
        return inputs
    return inputs[zlib.crc32(of.encode()) % _SHARE :: _SHARE]


DOCUMENTS = [*_published(), *_numbers(), *_shapes()]
STRINGS = list(dict.fromkeys(_strings()))
