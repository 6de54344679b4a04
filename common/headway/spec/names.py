"""What things may be called."""

from __future__ import annotations

import re

from headway.expressions import RESERVED
from headway.spec.document import Node
from headway.spec.report import Report
from headway.spec.values import Reader, name

PIPELINE = re.compile(r"[a-z][a-z0-9-]{0,62}")
RESOURCE_CLASS = re.compile(r"[a-z][a-z0-9-]{0,30}")
IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
RESERVED_TEAM = "headway"


def identifier(what: str) -> Reader:
    """Return a reader of a name that expressions can say: no word of CEL."""
    matching = name(what, IDENTIFIER)

    def read(node: Node, report: Report) -> str | None:
        value: str | None = matching(node, report)
        if value in RESERVED:
            message = f"{what} cannot be `{value}`: the word belongs to the expression language"
            report.on(node, "reserved_name", message, f"such as `{value}_`")
        return value

    return read


def team(node: Node, report: Report) -> str | None:
    """Return the team's name; `headway` is kept for Headway's own queues."""
    value: str | None = name("team", PIPELINE)(node, report)
    if value == RESERVED_TEAM:
        message = "no team can be called `headway`"
        report.on(node, "reserved_name", message, "call it after the people")
    return value


def variable(node: Node, report: Report) -> str | None:
    """Return the name of an environment variable; `HEADWAY_` ones belong to the worker."""
    value: str | None = name("environment variable", VARIABLE)(node, report)
    if value is not None and value.startswith("HEADWAY_"):
        message = f"`{value}`: names that begin with HEADWAY_ are the worker's"
        report.on(node, "reserved_name", message, "take another prefix")
    return value
