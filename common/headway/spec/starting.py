"""How runs of one pipeline get along, who is told how they end, and which keys may stay unsaid."""

from __future__ import annotations

from collections.abc import Mapping as Named
from typing import Any

from headway.expressions import Scope
from headway.spec import foreach, joining, names, secrets, values
from headway.spec.document import Mapping, Node, Scalar, Sequence
from headway.spec.expression_texts import check_templates, refuse_secrets
from headway.spec.params import Param
from headway.spec.report import Report
from headway.spec.values import Key

OVERLAP = ("allow", "queue", "skip", "replace")
OUTCOMES = ("succeeded", "failed", "recovered", "cancelled", "timed_out")
# Keys that a canonical form leaves out while they have these values: so definitions that are older
# than the keys keep their digests.
UNSAID: dict[str, Any] = {
    "triggers": [],
    "overlap": "allow",
    "concurrency": None,
    "notify": [],
    "visible_to": [],
    "tests": [],
}
EVERY_TEAM = "*"
UNSAID_OF_STEP: dict[str, Any] = {"produces": [], **foreach.UNSAID, **joining.UNSAID}


def said(read: Named[str, Any], unsaid: Named[str, Any]) -> dict[str, Any]:
    """Return the values without the keys that may stay unsaid."""
    return {key: value for key, value in read.items() if key not in unsaid or value != unsaid[key]}


def completed(canonical: Named[str, Any]) -> dict[str, Any]:
    """Return a canonical definition with the keys that it leaves unsaid at their defaults."""
    full = {**UNSAID, **canonical}
    for group in ("steps", "finally"):
        full[group] = [{**UNSAID_OF_STEP, **step} for step in canonical[group]]
    return full


def read_concurrency(node: Node, params: Named[str, Param], report: Report) -> dict[str, Any]:
    """Return how many runs may go at once, together or for each value of `key`."""
    read = values.record(node, report, _CONCURRENCY, what="concurrency")
    entry = node.entries.get("key") if isinstance(node, Mapping) else None
    if entry is not None:
        key = entry[1]
        types = {name: param.type for name, param in params.items()}
        check_templates(key, Scope(params=types, roots=_OF_A_RUN), report)
        refuse_secrets("concurrency", key, report)
        if isinstance(key, Scalar) and isinstance(key.value, str) and "${{" not in key.value:
            message = f"key is the same for every run: `{values.shown(key.value)}`"
            hint = 'such as "${{ params.region }}"; without `key` the limit is for all runs'
            report.on(key, "bad_value", message, hint)
    return read


def read_notify(node: Node, report: Report) -> list[Any] | None:
    """Return who is told, and of which ends."""
    found: list[Any] | None = values.sequence_of("notify", _notice)(node, report)
    if found is not None and len(found) > MAX_NOTICES:
        report.on(
            node, "bad_value", f"more than {MAX_NOTICES} notices", "let one address pass them on"
        )
    return found


def _listener(node: Node, report: Report) -> str | None:
    if isinstance(node, Scalar) and node.value == EVERY_TEAM:
        return EVERY_TEAM
    found: str | None = names.team(node, report)
    return found


def read_visible_to(node: Node, report: Report) -> list[str]:
    """Return the teams whose triggers may listen to the pipeline's runs and assets."""
    found = values.sequence_of("visible_to", _listener)(node, report) or []
    return sorted({team for team in found if team is not None})


def _notice(node: Node, report: Report) -> dict[str, Any]:
    return values.record(node, report, _NOTICE, what="a notice", later=("to",))


def _ends(node: Node, report: Report) -> list[str]:
    items = node.items if isinstance(node, Sequence) else (node,)
    if not items:
        report.on(node, "bad_value", "on is empty", "name one, such as failed")
    found = [_end(item, report) for item in items]
    return sorted({each for each in found if each is not None}, key=OUTCOMES.index)


def _end(node: Node, report: Report) -> str | None:
    if isinstance(node, Scalar) and node.value == "slo_burn":
        message = "`slo_burn` is not available in this version"
        report.on(node, "not_supported", message, "leave it out")
        return None
    found: str | None = values.choice("on", OUTCOMES)(node, report)
    return found if found in OUTCOMES else None


def _webhook(node: Node, report: Report) -> str | None:
    value: str | None = values.text("webhook")(node, report)
    if value is None:
        return None
    if "${{" in value:
        message = "`webhook` cannot hold an expression"
        place = node.place(value.index("${{")) if isinstance(node, Scalar) else (0, 0)
        report.at(*place, "bad_expression", message, "the notice says which run it is about")
    elif secrets.PREFIX in value:
        name = value.removeprefix(secrets.PREFIX)
        if not secrets.NAME.fullmatch(name):
            message = "an address is one secret as a whole, or none"
            report.on(node, "bad_secret", message, "such as webhook: secret://chat-hook")
    elif not value.startswith(("http://", "https://")) or value.split("://")[1][:1] in ("", "/"):
        message = "webhook must begin with http:// or https://"
        report.on(node, "bad_value", message, "such as https://example.com/hook")
    return value


MAX_NOTICES = 50
_OF_A_RUN = frozenset({"params", "run"})
_CONCURRENCY: dict[str, Key] = {
    "key": Key(values.text("key")),
    "limit": Key(values.integer("limit", 1, 1_000_000), required=True),
}
_NOTICE: dict[str, Key] = {
    "on": Key(_ends, required=True),
    "webhook": Key(_webhook, required=True),
}
