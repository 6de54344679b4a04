"""The same wish for many runs: each is asked by itself, and one that refuses holds up no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from headway.errors import ConflictError, DefinitionError, ForbiddenError
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.application import intake, recovering
from headway_coordinator.application.identity import require
from headway_coordinator.application.recovering import Wish
from headway_coordinator.application.rerunning import Rerun, rerun
from headway_coordinator.application.services import Services

Verb = Literal["cancel", "clear", "mark", "pause", "rerun", "resume", "retry"]

_DEMANDED: dict[str, Action] = {
    "cancel": Action.CANCEL_RUN,
    "retry": Action.RETRY_RUN,
    "rerun": Action.START_RUN,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of each run. `body` holds what the single request would take besides."""

    verb: Verb
    reason: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    key: str | None = None


def ask_all(
    services: Services, identity: Identity, ids: Iterable[str], order: Order
) -> dict[str, Any]:
    """Return {asked: [{id, inbox}], refused: [{id, code, message}]}, in the order of the ids.

    Of a rerun, an entry of `asked` is {id, run}: the old run's id and the new one's.

    Raises:
        ForbiddenError: the identity's role does not allow the wish at all.
    """
    require(identity, _DEMANDED.get(order.verb, Action.RECOVER_RUN))
    one = _asking(services, identity, order)
    asked, refused = [], []
    for id in dict.fromkeys(ids):
        try:
            asked.append({"id": id, **one(id)})
        except (ConflictError, DefinitionError, ForbiddenError) as error:
            refused.append({"id": id, "code": error.code, "message": error.message})
    if asked:
        services.nudge()
    return {"asked": asked, "refused": refused}


def _asking(
    services: Services, identity: Identity, order: Order
) -> Callable[[str], dict[str, Any]]:
    storage, clock = services.storage, services.clock
    because = {"reason": order.reason, "key": order.key}

    def one(id: str) -> dict[str, Any]:
        match order.verb:
            case "cancel":
                how = {**because, **order.body}
                return {"inbox": intake.cancel_run(storage, clock, identity, id, **how).id}
            case "retry":
                return {"inbox": intake.retry_run(storage, clock, identity, id, **because).id}
            case "rerun":
                key = None if order.key is None else f"{order.key}:{id}"
                wanted = Rerun({}, order.body.get("latest", False), order.reason, key)
                return {"run": rerun(storage, clock, identity, id, wanted).id}
            case "clear" | "mark" | "pause" | "resume" as verb:
                wish = Wish(verb, {**order.body, "reason": order.reason})
                asked = recovering.ask(storage, clock, identity, id, wish, key=order.key)
                return {"inbox": asked.id}

    return one
