"""Definitions as YAML text: what is read back from it is what was written.

Text is written bare only where no reader of YAML 1.1 or 1.2 takes it for something else; scripts of
several lines stand as blocks, all else in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headway.authoring.trees import text_of

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*", re.A)
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_LONGEST_KEY = 100  # of YAML's 1,024 characters for a key before its colon
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def yaml_of(document: Mapping[str, Any]) -> str:
    """Return a document as YAML 1.2 in block style."""
    return "\n".join(_mapping(document, "")) + "\n"


def _mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, item in value.items():
        key = text(name)
        if len(key) > _LONGEST_KEY:
            yield f"{indent}? {key}"
            key = ""
        yield from _placed(f"{indent}{key}:", item, indent)


def _placed(start: str, item: Any, indent: str) -> Iterator[str]:
    """Yield the lines of a value behind `name:` or `-`."""
    if isinstance(item, Mapping) and item:
        yield start
        yield from _mapping(item, indent + "  ")
    elif _is_list(item) and item:
        yield start
        for each in item:
            yield from _placed(f"{indent}  -", each, indent + "  ")
    elif isinstance(item, str) and _is_block(item):
        yield f"{start} |{'' if item.endswith(chr(10)) else '-'}"
        for line in item.removesuffix("\n").split("\n"):
            yield f"{indent}  {line}" if line else ""
    else:
        yield f"{start} {_inline(item)}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_block(value: str) -> bool:
    """Say whether a text is safe as a block: plain lines, none odd at its ends."""
    lines = value.removesuffix("\n").split("\n")
    if len(lines) < 2 or lines[0][:1] in ("", " ", "\t") or not lines[-1]:
        return False
    return all(line.isprintable() and line == line.rstrip() for line in lines)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if _is_list(value):
        return "[]"
    return text(value) if isinstance(value, str) else text_of(value)


def text(value: str) -> str:
    """Return text as one line of YAML."""
    if _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if character.isprintable() and not 0xFFF0 <= code <= 0xFFFF:
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
