"""What to do about a mistake that is seen often: words of other tools, and traps of YAML.

Each function returns one sentence for the hint of a problem, or None where it knows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from headway.spelling import did_you_mean

# Keys of other tools, and what stands for them here.
_OURS = {
    **dict.fromkeys(("on", "schedule", "cron", "trigger", "schedule_interval"), "triggers"),
    **dict.fromkeys(("schedules", "sensors", "sensor"), "triggers"),
    **dict.fromkeys(("max_active_runs", "max_parallel_runs"), "concurrency"),
    **dict.fromkeys(("concurrency_policy", "concurrencyPolicy"), "overlap"),
    **dict.fromkeys(("notifications", "alerts", "on_failure", "email"), "notify"),
    **dict.fromkeys(("outlets", "assets", "datasets"), "produces"),
    **dict.fromkeys(("tz", "time_zone", "zone"), "timezone"),
    **dict.fromkeys(("interval", "period"), "every"),
    **dict.fromkeys(("start_date", "from"), "start"),
    **dict.fromkeys(("end_date", "until"), "end"),
    **dict.fromkeys(("catchup", "misfire", "startingDeadlineSeconds"), "missed"),
    **dict.fromkeys(("events", "actions"), "event"),
    **dict.fromkeys(("jobs", "tasks", "stages"), "steps"),
    **dict.fromkeys(("name", "dag_id", "id"), "pipeline"),
    **dict.fromkeys(("parameters", "variables", "arguments"), "params"),
    **dict.fromkeys(("depends_on", "dependencies", "depends", "after", "upstream"), "needs"),
    **dict.fromkeys(("script", "command", "cmd", "bash", "shell", "sh"), "run"),
    **dict.fromkeys(("retries", "max_retries", "attempts"), "retry"),
    **dict.fromkeys(("environment", "env_vars"), "env"),
    **dict.fromkeys(("condition", "only_if"), "if"),
    **dict.fromkeys(("queue", "runs-on", "executor", "resources"), "class"),
    **dict.fromkeys(("continue-on-error", "continue_on_error", "ignore_errors"), "allow_failure"),
    **dict.fromkeys(("timeout-minutes", "execution_timeout", "timeout_s"), "timeout"),
    **dict.fromkeys(("trigger_rule",), "when"),
    **dict.fromkeys(("kwargs", "args", "op_kwargs"), "with"),
    **dict.fromkeys(("function", "module", "callable"), "python"),
}
_LATER: dict[str, str] = {}


def unknown_key(name: str, keys: Collection[str], later: Collection[str]) -> str:
    """Return which key was probably meant; else those that there are."""
    ours = _OURS.get(name)
    if ours is not None and ours in keys:
        return f"did you mean `{ours}`?"
    if ours is not None and ours in later:
        return f"that is `{ours}`, which this version does not have: {_LATER.get(ours, '')}"
    return did_you_mean(name, keys) or "known: " + ", ".join(keys)


def not_yet(name: str) -> str:
    """Return what to do without a key that later versions have."""
    return _LATER.get(name, "leave it out")


def boolean(text: str) -> str:
    """Return the boolean for a word that YAML 1.1 took for one."""
    word = text.strip().lower()
    if word in ("yes", "on", "y", "1", "true"):
        return "write true"
    return "write false" if word in ("no", "off", "n", "0", "false") else "write true or false"


_UNITS = {"d": "d", "h": "h", "m": "m", "s": "s", "mil": "ms", "ms": "ms"}
_SPOKEN = re.compile(r"(\d{1,9})\s*(ms|mil|[dhms])[a-z]*\.?", re.I | re.A)


def duration(text: str) -> str | None:
    """Return how a duration in words such as `5 minutes`, or a bare number, is written here."""
    text = text.strip()
    if re.fullmatch(r"\d{1,9}", text, re.A):
        return f"write {int(text)}s if seconds are meant"
    parts = _SPOKEN.findall(text)
    rest = _SPOKEN.sub("", text).replace("and", "").strip(" ,")
    if not parts or rest:
        return None
    return "write " + "".join(count + _UNITS[unit.lower()] for count, unit in parts)


def name(text: str, pattern: re.Pattern[str]) -> str:
    """Return a name like the text that the pattern allows."""
    words = re.sub(r"[^a-z0-9]+", " ", text[:200].lower()).split()
    for joint in "-_":
        fitting = joint.join(words)
        if pattern.fullmatch(fitting):
            return f"such as `{fitting}`"
    return "begin with a small letter; small letters, digits and a joint between words"


_QUOTE_MARK = re.compile(r"(?:[:,\[{-]\s*)([!@`%])")


def syntax(row: str, said: str) -> str:
    """Return the mend for a line on which the parser stopped with the words `said`."""
    if "quoted scalar" in said:
        return "close the quotation mark"
    if found := _QUOTE_MARK.search(row):
        sign = found.group(1)
        return f"a value that begins with `{sign}` needs quotes" + (
            ', as in if: "!has(params.day)"' if sign == "!" else ""
        )
    if "alias" in said:
        return 'a value that begins with `*` needs quotes, as in "*.csv"'
    if "${{" in row:
        return 'put the value in quotes: "${{ … }}"'
    if re.search(r"\s\?\s", row):
        return 'an expression with `? :` needs quotes, as in if: "a ? b : c"'
    if "mapping values" in said:
        return "a value that holds `: ` needs quotes, or its own lines after `|`"
    if "flow" in said:
        return "look for a bracket or brace that is not closed, and for a missing comma"
    return "look at the indentation and the quotes of this line and the one before"
