"""What is told of a request that nobody foresaw to fail."""

from __future__ import annotations

import pytest

from headway.outgoing.addresses import Allowed
from headway_coordinator.application.notifying import NotSentError
from headway_coordinator.integrations.posting import GuardedPost

URL = "https://user:pass@example.com/hook?key=1"


def test_an_error_that_nobody_foresaw_is_named_without_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: GuardedPost) -> None:
        raise KeyError(URL)

    monkeypatch.setattr(GuardedPost, "_client", broken)
    post = GuardedPost(Allowed.parse(()))
    with pytest.raises(NotSentError) as told:
        post(URL, {}, b"{}")
    assert str(told.value) == "the request failed: KeyError"
