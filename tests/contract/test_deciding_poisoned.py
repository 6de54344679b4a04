"""What fails for one event, or for one trigger, is refused alone; the others go on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from headway_coordinator.application.ports import Lease, PreconditionFailed, StorageUnavailable
from headway_coordinator.application.receiving import kept_form
from headway_coordinator.application.trigger_ports import Decision, NewEvent, WantedRun
from tests.contract.deciders import NOW, Deciders, event_trigger, trigger
from tests.contract.world import TEAM


def poison(
    monkeypatch: pytest.MonkeyPatch,
    deciders: Deciders,
    error: Exception,
    *,
    decisions: bool = False,
) -> None:
    """Let every transaction fail that starts a run with the param `bad`, or (with `decisions`)
    that writes a decision at all."""
    real = deciders.storage.deciding

    class Poisoned:
        def __init__(self, transaction: Any) -> None:
            self._transaction = transaction

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transaction, name)

        def decide(self, events: Sequence[str], made: Sequence[Decision]) -> None:
            if decisions and made:
                raise error
            self._transaction.decide(events, made)

        def start(self, runs: Sequence[WantedRun]) -> None:
            if any(run.body["params"]["file"] == "bad" for run in runs):
                raise error
            self._transaction.start(runs)

    @contextmanager
    def deciding(lease: Lease) -> Iterator[Poisoned]:
        with real(lease) as transaction:
            yield Poisoned(transaction)

    monkeypatch.setattr(deciders.storage, "deciding", deciding)


FILE = {"file": "${{ event.data.name }}"}


@pytest.mark.parametrize(
    "keys",
    [
        {"dedupe": {"window": 9}},
        {"dedupe": {"key": "k", "window": "an hour"}},
        {"params": 7},
    ],
)
def test_a_trigger_that_cannot_be_read_is_refused_alone(
    deciders: Deciders, keys: dict[str, Any]
) -> None:
    deciders.define(event_trigger(), pipeline="good")
    deciders.define(event_trigger(**keys), pipeline="bad")
    [id] = deciders.send(deciders.event())
    deciders.decide()
    made = {d["pipeline"]: d for d in deciders.storage.events.decisions(id)}
    assert {name: d["outcome"] for name, d in made.items()} == {"good": "matched", "bad": "refused"}
    assert re.fullmatch(
        r"(params: )?an unexpected \w+Error; the coordinator's log says more",
        made["bad"]["reason"],
    )
    assert deciders.decide().events == 0


@pytest.mark.parametrize("error", [RuntimeError("ouch"), PreconditionFailed("index row too big")])
def test_an_event_whose_run_cannot_be_written_is_refused_alone(
    deciders: Deciders, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    deciders.define(event_trigger(params=FILE))
    ids = deciders.send(*(deciders.event(data={"name": n}) for n in ("a", "bad", "b")))
    poison(monkeypatch, deciders, error)
    with capture_logs() as logs:
        assert deciders.decide().runs == 2
    assert sorted(deciders.params()) == ["a", "b"]
    assert [deciders.outcomes(id)[0][1] for id in ids] == ["matched", "refused", "matched"]
    reason = deciders.outcomes(ids[1])[0][2] or ""
    assert reason.startswith(f"it could not be written: an unexpected {type(error).__name__}")
    assert [
        (line["log_level"], line["upstream"]) for line in logs if line["event"] == "event_poisoned"
    ] == [("error", ids[1])]
    assert deciders.decide().events == 0


def test_an_event_of_which_no_decision_can_be_written_is_decided_by_none(
    deciders: Deciders, monkeypatch: pytest.MonkeyPatch
) -> None:
    deciders.define(event_trigger())
    [id] = deciders.send(deciders.event())
    poison(monkeypatch, deciders, RuntimeError("ouch"), decisions=True)
    deciders.decide()
    assert deciders.outcomes(id) == []
    assert deciders.decide().events == 0


def test_a_database_that_is_away_poisons_no_event(
    deciders: Deciders, monkeypatch: pytest.MonkeyPatch
) -> None:
    deciders.define(event_trigger(params=FILE))
    [id] = deciders.send(deciders.event(data={"name": "bad"}))
    with monkeypatch.context() as away:
        poison(away, deciders, StorageUnavailable("cut off"))
        with pytest.raises(StorageUnavailable):
            deciders.decide()
    assert deciders.outcomes(id) == []
    assert deciders.decide().runs == 1


def test_what_a_trigger_has_gathered_and_cannot_start_is_refused_alone(
    deciders: Deciders, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = {"size": 1, "within": 5}
    deciders.define(event_trigger("com.example.bad", params=FILE, batch=batch), pipeline="bad")
    deciders.define(event_trigger("com.example.body", batch={"within": 5}), pipeline="body")
    deciders.define(event_trigger("com.example.good", params=FILE, batch=batch), pipeline="good")
    bad, body, good = deciders.send(
        *(deciders.event(f"com.example.{n}", data={"name": n}) for n in ("bad", "body", "good"))
    )
    deciders.decide()
    poison(monkeypatch, deciders, RuntimeError("ouch"))
    report, _ = deciders.decider.fire(deciders.world.lease)
    assert report.runs == 1
    assert deciders.params() == ["good"]
    assert [deciders.outcomes(id)[0][1] for id in (bad, body, good)] == [
        "refused", "refused", "matched",
    ]  # fmt: skip
    assert deciders.storage.events.gathered() == []


def test_an_asset_trigger_that_cannot_be_read_is_refused_alone(deciders: Deciders) -> None:
    body = {"any": ["s3://a"], "all": None}
    deciders.define(trigger("asset", asset=body), pipeline="good")
    deciders.define(trigger("asset", asset=None), pipeline="bad")
    form = kept_form(deciders.event(), NOW)
    new = NewEvent("ev-asset", TEAM, "asset", "s3://a", "asset:1", "ann", form)
    [(id, _)] = deciders.storage.events.add([new])
    deciders.decide()
    made = {d["pipeline"]: d["outcome"] for d in deciders.storage.events.decisions(id)}
    assert made == {"good": "matched", "bad": "refused"}
