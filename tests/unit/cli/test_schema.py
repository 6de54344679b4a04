"""`schema`."""

from __future__ import annotations

from headway.spec import schema
from tests.unit.cli.conftest import Command


def test_it_prints_one_document(headway: Command) -> None:
    done = headway("schema")
    assert (done.status, done.err) == (0, "")
    assert done.document == schema()
    assert headway("schema", "--json").document == schema()
    assert done.out.count("\n") > 100
