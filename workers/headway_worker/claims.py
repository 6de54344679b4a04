"""Claims: the one write that gives a worker the right to run an attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from headway.backoff import exponential
from headway.clock import Clock
from headway.crash_points import crash_point
from headway.errors import HeadwayError, UnavailableError
from headway.protocol.messages import Claim, ClaimAnswer, ClaimAnswers, ClaimBatch
from headway_worker.api import Posts
from headway_worker.batching import Batcher
from headway_worker.identity import Identity

_MOST = 500
# With several slots taken more claims are near, and one request costs the same for ten.
FEW = 3
_GATHER_SECONDS = 0.001
# A won claim is worth another request, also when patience has an end.
_TRIES_OF_WON = 3
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answered:
    """A claim's answer, and when it was asked for: a lease that it gives began no earlier.

    `lease` is how many seconds it lasts.
    """

    answer: ClaimAnswer
    asked_at: float
    lease: float


class Claims:
    """Claims attempts in natural batches; safe to use from many threads."""

    def __init__(
        self,
        api: Posts,
        identity: Identity,
        clock: Clock,
        *,
        patience: timedelta,
        stopping: threading.Event,
        in_hand: Callable[[], int] = lambda: 0,
        granted: Callable[[float, float], None] = lambda asked_at, lease: None,
    ) -> None:
        """`in_hand` says how many slots are taken; `granted` hears of each lease that was given."""
        self._granted = granted
        self._api = api
        self._identity = identity
        self._clock = clock
        self._patience = patience
        self._stopping = stopping
        self._in_hand = in_hand
        self._batcher: Batcher[Claim, Answered] = Batcher(
            self._send, most=_MOST, gather=self._gather
        )

    def claim(self, claim: Claim) -> Answered | None:
        """Return the answer; None when none could be had, and the message is to be dropped.

        A try may have won without our hearing of it, so the same claim is sent again, which is
        answered the same and renews the lease; given up, its lease runs out, or a later delivery
        takes it up. So is one whose answer was long in coming: of the lease that we can be sure of,
        too little is left.
        """
        give_up = self._clock.monotonic() + self._patience.total_seconds()
        tries = 0
        while True:
            try:
                answered = self._batcher.submit(claim)
                if self._is_old(answered) and tries < _TRIES_OF_WON:
                    tries += 1
                    continue
                return answered
            except UnavailableError as error:
                tries += 1
                if self._clock.monotonic() > give_up or self._stopping.is_set():
                    _log.warning("claim_given_up", attempt=claim.attempt, error=error.message)
                    return None
                self._stopping.wait(_wait(tries))
            except HeadwayError as error:
                _log.error(
                    "claim_refused", attempt=claim.attempt, code=error.code, error=str(error)
                )
                return None

    def _is_old(self, answered: Answered) -> bool:
        took = self._clock.monotonic() - answered.asked_at
        return answered.answer.won and took > max(1.0, self._patience.total_seconds() / 2)

    def _gather(self) -> None:
        if self._in_hand() > FEW:
            self._stopping.wait(_GATHER_SECONDS)

    @crash_point("api.claims")
    def _send(self, claims: Sequence[Claim]) -> list[Answered]:
        batch = ClaimBatch(
            worker=self._identity.worker, boot=self._identity.boot, claims=list(claims)
        )
        asked_at = self._clock.monotonic()
        answers = self._api.post("claims", batch, ClaimAnswers)
        by_attempt = {answer.attempt: answer for answer in answers.claims}
        missing = [c.attempt for c in claims if c.attempt not in by_attempt]
        if missing:
            raise UnavailableError("bad_answer", f"no answer to the claim of {missing[0]}")
        lease = answers.lease_ms / 1000
        if any(answer.won for answer in answers.claims):
            self._granted(asked_at, lease)
        return [Answered(by_attempt[claim.attempt], asked_at, lease) for claim in claims]


def _wait(tries: int) -> float:
    delay = exponential(tries, base=timedelta(milliseconds=50), cap=timedelta(seconds=2))
    return delay.total_seconds()
