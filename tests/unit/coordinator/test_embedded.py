"""What `headway up` needs before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.errors import DefinitionError
from headway_coordinator.embedded import prepare


@pytest.mark.parametrize("listen", ["foo", "127.0.0.1:99999", ""])
def test_an_address_that_is_none_makes_nothing(tmp_path: Path, listen: str) -> None:
    with pytest.raises(DefinitionError, match="--listen"):
        prepare(tmp_path / "state", listen, {})
    assert not (tmp_path / "state").exists()


def test_a_state_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DefinitionError, match="cannot be used") as caught:
        prepare(tmp_path / "file" / "state", "127.0.0.1:0", {})
    assert f"the state folder {tmp_path}/file/state" in caught.value.message
    assert "--state-dir" in str(caught.value.hint)
