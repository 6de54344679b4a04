"""The `sql` kind of a step: a statement whose values are bound, never pasted into its text."""

from __future__ import annotations

import re
from typing import Any

from headway.spec import names, values
from headway.spec.document import Mapping, Node, Scalar
from headway.spec.report import Report, did_you_mean
from headway.spec.secrets import NAME, PREFIX
from headway.spec.values import Key

# As SQLAlchemy finds them: neither `::type`, nor 12:30, nor a colon behind a backslash.
_BOUND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)", re.A)
_URL = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://", re.A)
_FILE = re.compile(r"[\w.-]+\.(csv|jsonl)", re.A)


def bound_names(query: str) -> list[str]:
    """Return the names that stand for values in a statement, each once."""
    return list(dict.fromkeys(_BOUND.findall(query)))


def read_sql(node: Node, report: Report) -> dict[str, Any]:
    """Return the statement with its database and values."""
    sql = values.record(node, report, _SQL, what="sql")
    if isinstance(node, Mapping) and isinstance(sql.get("query"), str):
        _check_bound(node, sql, report)
    return sql


def _check_bound(node: Mapping, sql: dict[str, Any], report: Report) -> None:
    given = sql["params"] or {}
    query, wanted = node.entries["query"][1], bound_names(sql["query"])
    for name in [name for name in wanted if name not in given]:
        hint = did_you_mean(name, given) or f'add params: {{{name}: "${{{{ … }}}}"}}'
        place = query.place(sql["query"].index(f":{name}")) if isinstance(query, Scalar) else (1, 1)
        report.at(*place, "unknown_name", f"nothing is given for `:{name}`", hint)
    entry = node.entries.get("params")
    if entry is not None and isinstance(entry[1], Mapping):
        for name, (key, _) in entry[1].entries.items():
            if name not in wanted:
                message = f"the statement has no `:{name}`"
                hint = did_you_mean(name, wanted) or "leave it out"
                report.on(key, "unknown_name", message, hint)


def _query(node: Node, report: Report) -> str | None:
    value: str | None = values.text("query")(node, report)
    if value is not None and "${{" in value and isinstance(node, Scalar):
        message = "`${{ }}` inside a statement would let a value inject SQL"
        hint = 'write :day here, and params: {day: "${{ params.day }}"}'
        report.at(*node.place(value.index("${{")), "injection", message, hint)
    return value


def _url(node: Node, report: Report) -> str | None:
    value: str | None = values.text("url")(node, report)
    if value is None:
        return None
    if "${{" in value:
        message = "`url` cannot hold an expression: which database it is must be visible"
        hint = "such as secret://warehouse"
        place = node.place(value.index("${{")) if isinstance(node, Scalar) else (1, 1)
        report.at(*place, "bad_expression", message, hint)
    elif value.startswith(PREFIX):
        if not NAME.fullmatch(value.removeprefix(PREFIX)):
            message = "the address is one secret as a whole"
            report.on(node, "bad_secret", message, "such as secret://warehouse")
    elif not _URL.match(value):
        message = f"`{values.shown(value)}` is no address of a database"
        report.on(node, "bad_value", message, "secret://warehouse, or postgresql://host/name")
    return value


def _to(node: Node, report: Report) -> str | None:
    value: str | None = values.text("to")(node, report)
    if value is not None and not _FILE.fullmatch(value):
        message = f"the rows cannot go to `{values.shown(value)}`"
        report.on(node, "bad_value", message, "such as rows.csv or rows.jsonl")
    return value


_SQL: dict[str, Key] = {
    "url": Key(_url, required=True),
    "query": Key(_query, required=True),
    "params": Key(
        values.mapping_of("params", values.anything, names.identifier("a value")), default=dict
    ),
    "to": Key(_to),
}
