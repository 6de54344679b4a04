from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.client.api_double import ApiDouble, api_double


@pytest.fixture
def api() -> Iterator[ApiDouble]:
    with api_double() as double:
        yield double
