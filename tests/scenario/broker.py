"""A broker of plain lists that loses, doubles and reorders when it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from headway.clock import Clock
from headway.protocol.messages import Dispatch, Sealed
from headway_coordinator.application.batch import Incoming
from headway_coordinator.application.completions import verify_completions
from headway_coordinator.application.ports import Storage
from headway_coordinator.application.requests import finished
from headway_coordinator.application.sweeping import BrokerView
from headway_coordinator.loops.mailbox import Mailbox

_NUDGE = "nudge"


class Broker:
    """Implements `Doorbell`. `next_publish` names what befalls the next publish."""

    def __init__(self, tell: Callable[[str], None], name: Callable[[str], str]) -> None:
        self._tell = tell
        self._name = name
        self.queues: dict[str, deque[Dispatch]] = {}
        self.events: deque[Sealed | str] = deque()
        self.held = False
        self.next_publish: str | None = None
        self.losses = 0
        self.reachable = True
        self.redelivers = False

    def publish(self, dispatches: Iterable[Dispatch]) -> None:
        sent = list(dispatches)
        if not sent:
            return
        what, self.next_publish = self.next_publish, None
        fate = what if self.reachable else "lost"
        for dispatch in reversed(sent) if fate == "reversed" else sent:
            note = f" ({fate})" if fate else ""
            self._tell(f"→ {dispatch.queue}: {self.label(dispatch)}{note}")
            copies = {"lost": 0, "doubled": 2}.get(fate or "", 1)
            self.queues.setdefault(dispatch.queue, deque()).extend([dispatch] * copies)

    def label(self, dispatch: Dispatch) -> str:
        again = f" dispatch {dispatch.dispatch_no}" if dispatch.dispatch_no > 1 else ""
        return self._name(dispatch.attempt) + again

    def nudge(self) -> None:
        self.events.append(_NUDGE)

    def flush(self) -> None:
        """All data is gone, and the canary with it."""
        self.queues.clear()
        self.events.clear()
        self.losses += 1


class Consumer:
    """A coordinator's consumer of completion events: an `EventSource` without a thread.

    With a broker that `redelivers`, what was not acknowledged returns to the queue on `stop`;
    otherwise it is gone, and the worker sends it again by HTTP.
    """

    def __init__(
        self,
        broker: Broker,
        storage: Storage,
        mailbox: Mailbox,
        key: bytes,
        tell: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._storage = storage
        self._mailbox = mailbox
        self._key = key
        self._tell = tell
        self._unacknowledged: list[Sealed] = []
        self.consuming = False

    def start(self) -> None:
        self.consuming = True

    def stop(self) -> None:
        self.consuming = False
        if self._broker.redelivers:
            self._broker.events.extendleft(reversed(self._unacknowledged))
        self._unacknowledged = []

    def acknowledge(self, incoming: Sequence[Incoming]) -> None:
        done = [i.ticket for i in incoming]
        self._unacknowledged = [s for s in self._unacknowledged if s not in done]

    def has_more(self) -> bool:
        return self.consuming and bool(self._broker.events) and not self._broker.held

    def fetch(self) -> None:
        """Move what the queue holds into the mailbox."""
        while self.has_more():
            message = self._broker.events.popleft()
            if isinstance(message, str):
                self._mailbox.nudge()
            else:
                self._take(message)

    def _take(self, sealed: Sealed) -> None:
        verified = verify_completions(self._storage, self._key, [sealed], team=None)
        for attempt, reason in verified.refused.items():
            self._tell(f"event refused: {attempt}: {reason}")
        for attempt in verified.known:
            self._tell(f"event dropped: {self._broker._name(attempt)} has ended already")
        for completion in verified.proved:
            self._unacknowledged.append(sealed)
            event = finished(completion)
            self._mailbox.put(
                Incoming(completion.run, event, ticket=sealed, worker=completion.worker)
            )


class Surroundings:
    """Implements `Watch` over the simulated broker and API."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._asked: set[str] = set()
        self.api_since = clock.monotonic()
        self.api_up = True

    def broker(self) -> BrokerView:
        depths = {queue: len(self._broker.queues.get(queue, ())) for queue in sorted(self._asked)}
        return BrokerView(depths, self._broker.losses, self._broker.reachable)

    def api_healthy_for(self) -> timedelta:
        if not self.api_up:
            return timedelta()
        return timedelta(seconds=self._clock.monotonic() - self.api_since)

    def ask(self, queues: Sequence[str]) -> None:
        self._asked = set(queues)

    def set_api(self, up: bool) -> None:
        self.api_up = up
        self.api_since = self._clock.monotonic()
