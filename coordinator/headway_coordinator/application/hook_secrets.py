"""Webhooks whose every delivery is refused: none of the secrets that they name can be read here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from headway.findings import Finding, wrong
from headway.spec.secrets import PREFIX
from headway_coordinator.application.trigger_ports import TriggerRow

CHECK = "webhooks.secrets"


@dataclass(frozen=True, slots=True)
class Unprovable:
    """Why nothing can prove itself to a trigger, and the mend."""

    message: str
    hint: str


def unprovable(row: TriggerRow, readable: Mapping[tuple[str, str], bool]) -> Unprovable | None:
    """Return why no delivery to the trigger can be proven; None if one can, or it is no webhook.

    `readable` has each secret that is set, by team and name. One of two that can be read will do:
    so a secret is changed.
    """
    if row.kind != "webhook":
        return None
    names = [text.removeprefix(PREFIX) for text in row.body["webhook"]["secret"]]
    if any(readable.get((row.team, name)) for name in names):
        return None
    first = names[0]
    there = (row.team, first) in readable
    message = f"the secret `{first}` {'cannot be decrypted' if there else 'is not set'}"
    return Unprovable(f"{message}: each delivery is refused", set_it(row.team, first))


def set_it(team: str, name: str) -> str:
    """Return the command that sets a secret."""
    return f"headway secret set {name} --team {team}"


def unprovable_webhooks(
    rows: Iterable[TriggerRow], readable: Mapping[tuple[str, str], bool]
) -> Iterator[Finding]:
    """Yield each webhook that is not paused and that nothing can prove itself to."""
    for row in rows:
        problem = unprovable(row, readable) if row.paused_at is None else None
        if problem is not None:
            yield wrong(CHECK, problem.message, problem.hint, subject="/".join(row.key))
