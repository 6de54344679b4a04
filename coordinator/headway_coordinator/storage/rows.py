"""Whole batches as one FROM clause, so that a batch costs one statement however long it is.

PostgreSQL gets one array a column and unnests them; SQLite gets one JSON array of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Insert,
    Subquery,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    type_coerce,
)
from sqlalchemy.types import TypeEngine

from headway_coordinator.storage import documents
from headway_coordinator.storage.columns import Document, Moment, moment_text


class Rows:
    """A relation of given rows: `source` stands in a statement, `params` fills it."""

    def __init__(self, dialect: str, **types: TypeEngine[Any]) -> None:
        self._dialect = dialect
        self._types = tuple(types.values())
        self._names = tuple(types)
        self.source: Subquery = self._unnested() if dialect == "postgresql" else self._extracted()

    @property
    def c(self) -> Any:
        return self.source.c

    def params(self, rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
        """Return the parameters that make `source` these rows."""
        if self._dialect == "postgresql":
            return self._arrays(list(rows))
        texts = [
            [_sqlite_value(t, v) for t, v in zip(self._types, row, strict=True)] for row in rows
        ]
        return {"given": orjson.dumps(texts).decode()}

    def _arrays(self, rows: list[Sequence[Any]]) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        for index, (name, kind) in enumerate(zip(self._names, self._types, strict=True)):
            values = [row[index] for row in rows]
            if isinstance(kind, Document):
                values = [None if v is None else documents.dump(v) for v in values]
            elif isinstance(kind, Text):
                values = [documents.clean_text(v) for v in values]
            arrays[f"given_{name}"] = values
        return arrays

    def _unnested(self) -> Subquery:
        arrays = [
            bindparam(f"given_{name}", type_=ARRAY(_element(kind)))
            for name, kind in zip(self._names, self._types, strict=True)
        ]
        names = [column(n, _element(t)) for n, t in zip(self._names, self._types, strict=True)]
        unnested = func.unnest(*arrays).table_valued(*names, name="unnested").render_derived()
        columns = [
            (cast(unnested.c[n], t) if isinstance(t, Document) else unnested.c[n]).label(n)
            for n, t in zip(self._names, self._types, strict=True)
        ]
        return select(*columns).subquery("given")

    def _extracted(self) -> Subquery:
        given = bindparam("given", type_=Text())
        each = func.json_each(given).table_valued("value", name="each")
        columns = [
            type_coerce(func.json_extract(each.c.value, f"$[{index}]"), kind).label(name)
            for index, (name, kind) in enumerate(zip(self._names, self._types, strict=True))
        ]
        return select(*columns).subquery("given")


def types_of(table: Table, names: Iterable[str]) -> dict[str, TypeEngine[Any]]:
    """Return the types of the table's columns as `Rows` takes them."""
    return {name: _given_type(table.c[name]) for name in names}


def insert_all(table: Table, names: Sequence[str], rows: Rows) -> Insert:
    """Return the statement that inserts every given row."""
    given = select(*(rows.c[name] for name in names))
    return insert(table).from_select(list(names), given, include_defaults=False)


def _given_type(column: Column[Any]) -> TypeEngine[Any]:
    kind = column.type
    return kind if isinstance(kind, (Boolean, Document, Moment, Text)) else BigInteger()


def _element(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    if isinstance(kind, Document):
        return Text()
    return DateTime(timezone=True) if isinstance(kind, Moment) else kind


def _sqlite_value(kind: TypeEngine[Any], value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case Document():
            return documents.dump(value)
        case Moment():
            return moment_text(value)
        case Text():
            return documents.clean_text(value)
        case Boolean():
            return int(value)
        case _:
            return value
