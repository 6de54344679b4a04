"""The `schedule` of a trigger: an expression in a zone or an interval, its bounds, missed ticks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from headway.schedule import Cron, CronError, Schedule, ZoneError, next_tick, zone
from headway.spec import values
from headway.spec.document import Mapping, Node, Scalar
from headway.spec.params import coerce
from headway.spec.report import Report
from headway.spec.values import Key

MISSED = ("latest", "all", "none")
SHORTEST_SECONDS = 1.0
LONGEST_JITTER_SECONDS = 86400.0
FIRST_YEAR, LAST_YEAR = 1970, 9000  # searches look half a century beyond, and datetime ends in 9999


def read_schedule(node: Node, report: Report) -> dict[str, Any]:
    """Return the canonical schedule."""
    read = values.record(node, report, _KEYS, what="schedule")
    if not isinstance(node, Mapping) or not read:
        return read
    if len(node.entries.keys() & {"cron", "every"}) != 1:
        hint = "such as {cron: '0 6 * * *'} or {every: 1h}"
        report.on(node, "conflict", "schedule needs either `cron` or `every`", hint)
    elif read["cron"] is not None or read["every"] is not None:
        _check_bounds(node, read, report)
        _check_jitter(node, read, report)
    return read


def _check_bounds(node: Mapping, read: dict[str, Any], report: Report) -> None:
    if read["start"] is None or read["end"] is None:
        return
    end = node.entries["end"][1]
    if read["end"] <= read["start"]:
        report.on(end, "conflict", "`end` is not after `start`", "exchange them, or leave one out")
    elif read["timezone"] is not None:
        schedule = Schedule.of({**read, "jitter": 0.0})
        assert schedule.start is not None
        if next_tick(schedule, schedule.start - timedelta(microseconds=1)) is None:
            message = "no tick lies between `start` and `end`"
            report.on(end, "conflict", message, "move one of the two")


def _check_jitter(node: Mapping, read: dict[str, Any], report: Report) -> None:
    """Later than the next tick no tick may fire: runs would start out of order."""
    if not read["jitter"]:
        return
    jitter, place = read["jitter"], node.entries["jitter"][1]
    if jitter > LONGEST_JITTER_SECONDS:
        report.on(place, "bad_value", "jitter is more than a day", "the longest is 1d")
        return
    gap = read["every"]
    if read["cron"] is not None:
        gap = Cron.parse(read["cron"]).shortest_gap(timedelta(seconds=jitter)).total_seconds()
    if jitter >= gap:
        message = "jitter must be shorter than the time between two ticks"
        report.on(place, "bad_value", message, f"two ticks may be {gap:g}s apart")


def _cron(node: Node, report: Report) -> str | None:
    value: str | None = values.text("cron")(node, report)
    if value is None or "${{" in value:
        return None
    try:
        return Cron.parse(value).text
    except CronError as error:
        message = f"`{values.shown(value)}` makes no schedule: {error.message}"
        report.on(node, "bad_cron", message, error.hint)
        return None


def _every(node: Node, report: Report) -> float | None:
    value: float | None = values.seconds("every")(node, report)
    if value is not None and 0 < value < SHORTEST_SECONDS:
        report.on(node, "bad_duration", "every must be at least 1s", "such as 1s or 5m")
    return value or None


def _timezone(node: Node, report: Report) -> str | None:
    value: str | None = values.text("timezone")(node, report)
    if value is None or "${{" in value:
        return None
    try:
        return zone(value).key
    except ZoneError as error:
        report.on(node, "unknown_zone", error.message, error.hint)
        return None


def _moment(what: str) -> values.Reader:
    def read(node: Node, report: Report) -> str | None:
        value = values.anything(node, report)
        if isinstance(value, str) and "${{" in value:
            return None
        try:
            moment = str(coerce(value, "datetime"))
        except ValueError as error:
            report.on(node, "bad_value", f"{what}: {error}", _mend(node))
            return None
        if not FIRST_YEAR <= int(moment[:4]) <= LAST_YEAR:
            message = f"{what} must lie between the years {FIRST_YEAR} and {LAST_YEAR}"
            report.on(node, "bad_value", message, "leave it out if there is no bound")
            return None
        return moment

    return read


def _mend(node: Node) -> str:
    text = node.text.strip() if isinstance(node, Scalar) else ""
    try:
        day = coerce(text, "date")
    except ValueError:
        return "end it with Z for UTC, or with an offset such as +02:00"
    return f"write {day}T00:00:00Z"


_KEYS: dict[str, Key] = {
    "cron": Key(_cron),
    "every": Key(_every),
    "timezone": Key(_timezone, default=lambda: "UTC"),
    "jitter": Key(values.seconds("jitter", zero=True), default=lambda: 0.0),
    "start": Key(_moment("start")),
    "end": Key(_moment("end")),
    "missed": Key(values.choice("missed", MISSED), default=lambda: "latest"),
}
