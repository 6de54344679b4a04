"""Assets: what steps produce and triggers wait for, named by URIs that are compared as text."""

from __future__ import annotations

import re
from typing import Any

from headway.spec import values
from headway.spec.document import Node, Sequence
from headway.spec.report import Report
from headway.spec.secrets import PREFIX

MAX_LENGTH = 1000
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s\x00-\x1f\x7f]+")


def uri(node: Node, report: Report) -> str | None:
    """Return the URI of an asset, such as s3://raw/sales."""
    value: str | None = values.text("a URI")(node, report)
    if value is None or "${{" in value:
        return value  # that an expression stands here is told by who knows the key
    if value.startswith(PREFIX):
        message = "an asset cannot be called by a secret"
        report.on(node, "bad_secret", message, "name what is produced, such as s3://raw/sales")
    elif len(value) > MAX_LENGTH or not _URI.fullmatch(value):
        message = f"`{values.shown(value)}` is no URI"
        hint = "a scheme in small letters, a colon, and no spaces, such as s3://raw/sales"
        report.on(node, "bad_uri", message, hint)
    return value


def uris(what: str) -> values.Reader:
    """Return a reader of a list of URIs, each once."""
    read_list = values.sequence_of(what, uri)

    def read(node: Node, report: Report) -> list[Any] | None:
        found: list[Any] | None = read_list(node, report)
        if found is not None and isinstance(node, Sequence):
            _refuse_doubled(found, node, report)
        return found

    return read


def _refuse_doubled(found: list[Any], node: Sequence, report: Report) -> None:
    seen: set[str] = set()
    for value, item in zip(found, node.items, strict=True):
        if value in seen:
            message = f"`{values.shown(value)}` is named twice"
            report.on(item, "bad_value", message, "name it once")
        seen.add(value)
