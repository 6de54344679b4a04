"""Whole batches as one FROM clause, so that a batch costs one statement however long it is.

Either database gets one JSON text. On PostgreSQL that costs the client half of what an array a
column does, whose every element the driver has to quote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
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
            # Times and documents are written within the one text; both are JSON there.
            return {
                "given": documents.dump([dict(zip(self._names, row, strict=True)) for row in rows])
            }
        given = [
            [_sqlite_value(t, v) for t, v in zip(self._types, row, strict=True)] for row in rows
        ]
        return {"given": orjson.dumps(given).decode()}

    def _unnested(self) -> Subquery:
        given = cast(bindparam("given", type_=Text()), JSON())
        names = [column(n, _element(t)) for n, t in zip(self._names, self._types, strict=True)]
        each = func.json_to_recordset(given).table_valued(*names, name="each")
        each = each.render_derived(with_types=True)
        return select(*(each.c[name].label(name) for name in self._names)).subquery("given")

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


def insert_all(
    table: Table, names: Sequence[str], rows: Rows, **same: ColumnElement[Any]
) -> Insert:
    """Return the statement that inserts every given row; `same` are columns alike in all rows."""
    given = select(*(rows.c[name] for name in names), *same.values())
    return insert(table).from_select([*names, *same], given, include_defaults=False)


def _given_type(column: Column[Any]) -> TypeEngine[Any]:
    kind = column.type
    return kind if isinstance(kind, (Boolean, Document, Moment, Text)) else BigInteger()


def _element(kind: TypeEngine[Any]) -> TypeEngine[Any]:
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
