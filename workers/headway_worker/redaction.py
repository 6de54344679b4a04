"""Secrets' values struck out of what leaves the worker, also where they are encoded or cut in two.

A value is found as it is and in the forms that programs give it unasked: base64 at each of its
three alignments, URL-encoded, escaped for JSON, for Python's `repr` and for a shell. A value of
several lines is found line by line. Forms longer than 64 bytes are found in pieces, so that a
stream is never held back by more than 63 bytes. What is encrypted, reversed or spelled out letter
by letter is not found: nobody can.

The cost is linear in the text. A few patterns are searched one by one. Of many patterns an index
knows the blocks of eight bytes at their first eight places: a text that holds a pattern of 15 bytes
or more holds one of these blocks at a multiple of eight, so that every eighth place is looked at,
once for all patterns together.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import quote, quote_plus

MASK = b"***"
SHORTEST = 4  # shorter values and lines would strike out ordinary words
_PIECE_BYTES = 64
_FEW = 64  # above this the index is quicker (measured)
_TELLING_BYTES = 8  # so much of a value that was cut off gives it away
_WRAPS = (76, 64)  # columns at which base64 is broken: MIME and coreutils, PEM
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_Span = tuple[int, int]


class Redactor:
    """Knows the values of one attempt; false if there are none, and then changes nothing."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        found = {form for value in values for form in _forms(value) if len(form) >= SHORTEST}
        pieces = {piece for form in found for piece in _pieces(form)}
        self._patterns = _Patterns(sorted(pieces)) if pieces else None

    def __bool__(self) -> bool:
        return self._patterns is not None

    def stream(self) -> Stream | None:
        """Return a filter for bytes that come in parts; None if there is nothing to strike out."""
        return Stream(self._patterns) if self._patterns is not None else None

    def text(self, text: str) -> str:
        """Return the text without values. What was cut off at either end is struck out as well."""
        if self._patterns is None:
            return text
        data = text.encode(errors="surrogatepass")
        lead = self._patterns.end_of_cut(data)
        stream = Stream(self._patterns)
        rest = stream.feed(data[lead:]) + stream.finish()
        return ((MASK if lead else b"") + rest).decode(errors="surrogatepass")

    def value(self, value: Any) -> Any:
        """Return a JSON value without values in its texts, keys and numbers.

        A number whose digits hold a value becomes the text `***`.
        """
        if self._patterns is None:
            return value
        match value:
            case str():
                return self._whole(value)
            case dict():
                return {self._whole(str(k)): self.value(v) for k, v in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case bool() | None:
                return value
            case int() | float():
                shown = repr(value)
                return value if self._whole(shown) == shown else MASK.decode()
        return value

    def _whole(self, text: str) -> str:
        """An output is never cut by us: its ends are the step's own."""
        assert self._patterns is not None
        data = text.encode(errors="surrogatepass")
        if not self._patterns.spans(data):
            return text
        stream = Stream(self._patterns)
        return (stream.feed(data) + stream.finish(cut=False)).decode(errors="surrogatepass")


class Stream:
    """Strikes values out of bytes that come in parts; the parts' borders change nothing.

    What may be the beginning of a value is held back until more comes or the stream ends.
    """

    def __init__(self, patterns: _Patterns) -> None:
        self._patterns = patterns
        self.held = b""
        # How much of `held` is struck out already: a value may begin inside another one. None: its
        # beginning does not touch what was struck out last.
        self._covered: int | None = None

    def feed(self, data: bytes) -> bytes:
        """Return what can be shown by now."""
        buffer = self.held + data
        cut = self._patterns.start_of_cut(buffer)
        if cut == 0:
            self.held = buffer
            return b""
        return self._shown(buffer, self._patterns.spans(buffer), cut)

    def finish(self, *, cut: bool = True) -> bytes:
        """Return what was held back. The beginning of a value, `cut` off by the end, is masked."""
        buffer = self.held
        spans = self._patterns.spans(buffer)
        start = self._patterns.start_of_cut(buffer)
        if cut and len(buffer) - start >= _TELLING_BYTES:
            spans.append((start, len(buffer)))
        return self._shown(buffer, spans, len(buffer))

    def _shown(self, buffer: bytes, spans: list[_Span], cut: int) -> bytes:
        is_open = self._covered is not None
        if self._covered is not None:
            spans.append((0, self._covered))
        self._covered = None
        shown, place = [], 0
        for index, (start, end) in enumerate(_merged(spans)):
            if start >= cut:
                break  # wholly held back: it is found again
            shown.append(buffer[place:start])
            if not (is_open and index == 0):
                shown.append(MASK)
            place = min(end, cut)
            self._covered = end - cut if end >= cut else None
        shown.append(buffer[place:cut])
        self.held = buffer[cut:]
        return b"".join(shown)


class _Patterns:
    """Finds where any of the patterns stands."""

    def __init__(self, patterns: list[bytes]) -> None:
        self._all = patterns
        self._longest = max(map(len, patterns))
        self._starts: dict[bytes, list[bytes]] = {}
        for pattern in patterns:
            for size in range(1, SHORTEST + 1):
                self._starts.setdefault(pattern[:size], []).append(pattern)
        many = len(patterns) > _FEW
        self._indexes = [_Index(8, "Q"), _Index(4, "I")] if many else []
        rest = patterns
        for index in self._indexes:
            rest = index.take(rest)
        self._always = rest

    def spans(self, data: bytes) -> list[_Span]:
        """Return where patterns stand, in no order, overlapping ones too."""
        found: list[_Span] = []
        for pattern in self._candidates(data):
            place = data.find(pattern)
            while place >= 0:
                found.append((place, place + len(pattern)))
                place = data.find(pattern, place + 1)
        return found

    def start_of_cut(self, data: bytes) -> int:
        """Return where the longest end of `data` starts that begins a pattern, or its length."""
        for start in range(max(0, len(data) - self._longest + 1), len(data)):
            beginning = self._starts.get(data[start : start + SHORTEST])
            if beginning is None:
                continue
            rest = data[start:]
            if any(len(p) > len(rest) and p.startswith(rest) for p in beginning):
                return start
        return len(data)

    def end_of_cut(self, data: bytes) -> int:
        """Return how many bytes at the beginning of `data` are the end of a pattern."""
        for size in range(min(self._longest - 1, len(data)), _TELLING_BYTES - 1, -1):
            if any(len(p) > size and data.startswith(p[-size:]) for p in self._all):
                return size
        return 0

    def _candidates(self, data: bytes) -> Iterator[bytes]:
        yield from self._always
        for index in self._indexes:
            yield from index.candidates(data)


class _Index:
    """Patterns by the blocks of `size` bytes that stand at their first `size` places."""

    def __init__(self, size: int, code: str) -> None:
        self._size = size
        self._code = code
        self._by_block: dict[int, list[bytes]] = {}
        self._blocks: frozenset[int] = frozenset()

    def take(self, patterns: list[bytes]) -> list[bytes]:
        """Index the patterns that are long enough, and return the others."""
        size = self._size
        for pattern in patterns:
            if len(pattern) < 2 * size - 1:
                continue
            for place in range(size):
                block = memoryview(pattern[place : place + size]).cast(self._code)[0]  # type: ignore[call-overload]
                self._by_block.setdefault(block, []).append(pattern)
        self._blocks = frozenset(self._by_block)
        return [pattern for pattern in patterns if len(pattern) < 2 * size - 1]

    def candidates(self, data: bytes) -> set[bytes]:
        """Return the patterns that may stand in `data`: all that do, and seldom another."""
        if not self._blocks:
            return set()
        whole = len(data) - len(data) % self._size
        blocks = memoryview(data)[:whole].cast(self._code)  # type: ignore[call-overload]
        hits = self._blocks.intersection(blocks)
        return {pattern for hit in hits for pattern in self._by_block[hit]}


def _merged(spans: list[_Span]) -> list[_Span]:
    """Return the spans in order; those that overlap or touch are one."""
    merged: list[_Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _forms(value: str) -> Iterator[bytes]:
    """Yield the value as programs print it."""
    lines = [line.strip() for line in value.splitlines()]
    # Lines that are too short are found only with their neighbours.
    by_itself = len(lines) == 1 or any(0 < len(line) < SHORTEST for line in lines)
    for text in {value.strip(), *lines}:
        if len(text) < SHORTEST:
            continue
        if by_itself or text in lines:
            yield from (escape(text).encode() for escape in _ESCAPES)
            yield repr(text.encode())[2:-1].encode()
        yield from _base64_forms(text.encode())


def _lower(encoded: str) -> str:
    return _ESCAPE.sub(lambda match: match[0].lower(), encoded)


_ESCAPES: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: quote(text, safe=""),
    lambda text: _lower(quote(text, safe="")),
    lambda text: quote(text),
    lambda text: quote(text, safe="!'()*"),  # JavaScript's
    quote_plus,
    lambda text: _lower(quote_plus(text)),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: text.replace("'", "'\\''"),  # bash -x
)


def _base64_forms(data: bytes) -> Iterator[bytes]:
    """Yield the characters that stand for `data` alone, whatever bytes are around it."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data)
        own = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        for form in (own, own.translate(_URL_SAFE)):
            yield form
            if before == 0:
                for columns in _WRAPS:
                    yield from (form[i : i + columns] for i in range(0, len(form), columns))


def _pieces(form: bytes) -> Iterator[bytes]:
    """Yield the form in equal parts of at most 64 bytes, none of which cuts a character in two."""
    count = -(-len(form) // _PIECE_BYTES)
    places = [len(form) * index // count for index in range(count)]
    places = [_character_start(form, place) for place in places] + [len(form)]
    yield from (form[a:b] for a, b in pairwise(places))


def _character_start(data: bytes, place: int) -> int:
    while place and data[place] & 0xC0 == 0x80:
        place -= 1
    return place
