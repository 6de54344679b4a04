"""Cron expressions: what is read, what is refused and why, and a published table of ticks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.schedule import Cron, CronError, ZoneError, next_tick, zone
from tests.unit.schedule.schedules import at, schedule

TABLE = Path(__file__).parents[2] / "material" / "cron-robfig.json"
ROWS: list[dict[str, Any]] = json.loads(TABLE.read_text("utf-8"))
# Where robfig/cron differs from Debian's cron, which cronsim and this follow. The value is ours.
OTHERWISE: dict[tuple[str, str], str] = {
    # A `*` with a step is a star still: both days must fit (robfig: one of them).
    ("* * */10 * Sun", "2012-07-15T00:00:00"): "never on a 15th",
    ("0 0 */5 Apr,Aug,Oct Mon", "2012-07-09T23:35:00"): "2012-08-06T00:00:00",
    # What is skipped runs when clocks are put forward (robfig: not at all).
    ("30 2 11 Mar ?", "2012-03-11T00:00:00-05:00"): "2012-03-11T03:00:00-04:00",
    ("0 2 * * ?", "2012-03-11T00:00:00-05:00"): "2012-03-11T03:00:00-04:00",
    # What comes twice runs the first time (robfig: both times).
    ("30 1 04 Nov ?", "2012-11-04T01:45:00-04:00"): "2013-11-04T01:30:00-05:00",
    ("0 1 * * ?", "2012-11-04T01:00:00-04:00"): "2012-11-05T01:00:00-05:00",
}


def rows(kind: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["kind"] == kind and row["spec"] is not None]


def moment(text: str, zone_name: str | None) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone_name or "UTC"))


@pytest.mark.parametrize("row", rows("activation"), ids=lambda row: f"{row['spec']} {row['at']}")
def test_it_ticks_at_a_time_or_not(row: dict[str, Any]) -> None:
    at = moment(row["at"], "UTC")
    fires = next_tick(schedule(row["spec"]), at - timedelta(microseconds=1)) == at
    assert fires == (row["fires"] and (row["spec"], row["at"]) not in OTHERWISE)


@pytest.mark.parametrize("row", rows("next"), ids=lambda row: f"{row['spec']} {row['after']}")
def test_the_next_tick_of_the_table(row: dict[str, Any]) -> None:
    if row["next"] is None:
        with pytest.raises(CronError):
            Cron.parse(row["spec"])
        return
    zone_name = row["tz"] or "UTC"
    expected = OTHERWISE.get((row["spec"], row["after"]), row["next"])
    found = next_tick(schedule(row["spec"], timezone=zone_name), moment(row["after"], zone_name))
    assert found == moment(expected, zone_name)


def test_the_table_is_used_and_each_exception_is_needed() -> None:
    assert (len(rows("activation")), len(rows("next")), len(rows("invalid"))) == (29, 52, 7)
    known = {(row["spec"], row.get("at", row.get("after"))): row for row in ROWS}
    for key, ours in OTHERWISE.items():
        assert known[key].get("next") != ours
        assert known[key].get("fires", True)


@pytest.mark.parametrize("row", rows("invalid"), ids=lambda row: row["spec"])
def test_what_is_none_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(CronError):
        Cron.parse(row["spec"])


@pytest.mark.parametrize(
    ("text", "plain", "is_fixed"),
    [
        ("@daily", "0 0 * * *", True),
        ("@Hourly", "0 * * * *", False),
        ("  0   6 * *\t1-5 ", "0 6 * * 1-5", True),
        ("30 8 ? jul Sun", "30 8 * jul Sun", True),
        ("*/5 * L * *", "*/5 * L * *", False),
        ("0 9 LW * *", "0 9 LW * *", True),
        ("0 9 * * THU#2,5L", "0 9 * * THU#2,5L", True),
    ],
)
def test_the_plain_form(text: str, plain: str, is_fixed: bool) -> None:
    assert Cron.parse(text) == Cron(plain, is_fixed)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("61 * * * *", "its minute is wrong", "minute: 0 to 59"),
        ("0 24 * * *", "its hour is wrong", "hour: 0 to 23"),
        ("0 0 31 4 *", "it never comes, since month 4 has no day 31", "L: `0 0 L 4 *`"),
        ("0 0 31 2 *", "it never comes, since month 2 has no day 31", "L: `0 0 L 2 *`"),
        ("0 0 30-31 FEB *", "since month FEB has no day 30-31", "L: `0 0 L FEB *`"),
        ("0 0 32 2 *", "its day-of-month is wrong", "1 to 31"),
        ("0 0 15W * *", "its day-of-month is wrong", "LW"),
        ("0 0 * FOO *", "its month is wrong", "JAN to DEC"),
        ("0 0 * * 8", "its day-of-week is wrong", "0 and 7 are Sunday"),
        ("? * * * *", "its minute is wrong", "minute"),
        ("0 0 6 * * ?", "five fields, and this has six", "else `0 6 * * ?`"),
        ("0 0 6 * * ? 2026", "five fields, and this has seven", "minute, hour"),
        ("", "five fields, and this has none", "as in `0 6 * * 1-5`"),
        ("H H(0-7) * * *", "`H` is a time that Jenkins chooses", "{cron: '0 0 * * *', jitter: 5m}"),
        ("H/15 * * * *", "`H` is a time that Jenkins chooses", "'0/15 * * * *'"),
        ("@dayly", "`@dayly` is not known", "did you mean `@daily`?"),
        ("@every 1h 30m", "`@every` is no cron expression", "write every: 1h30m"),
        ("@reboot", "`@reboot` has no meaning here", "by the clock alone"),
        ("CRON_TZ=Asia/Tokyo 0 6 * * *", "the zone does not stand", "add timezone: Asia/Tokyo"),
        ("* * */20 * 1L", "it never comes within 50 years", "must both fit"),
        ("1," * 200 + "1 * * * *", "longer than 200 characters", "two triggers"),
    ],
)
def test_a_refusal_says_why_and_the_mend(text: str, message: str, hint: str) -> None:
    with pytest.raises(CronError) as caught:
        Cron.parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


@given(st.text("0123456789*/-,#?LWHMONSUJAFEB @\t", max_size=30) | st.text(max_size=20))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        found = Cron.parse(text)
    except CronError:
        return
    assert Cron.parse(found.text) == found
    after = at("2026-01-01T00:00Z")
    tick = next_tick(schedule(text), after)
    assert tick is None or tick > after


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/Pari", "did you mean `Europe/Paris`?"),
        ("europe/paris", "did you mean `Europe/Paris`?"),
        ("New York", "did you mean `America/New_York`?"),
        ("Z", "did you mean `UTC`?"),
        ("PST", "the name of a city, such as Europe/Paris, or UTC"),
        ("", "the name of a city, such as Europe/Paris, or UTC"),
        ("../../etc/passwd", "the name of a city, such as Europe/Paris, or UTC"),
        ("/etc/localtime", "the name of a city, such as Europe/Paris, or UTC"),
        ("localtime", "the name of a city, such as Europe/Paris, or UTC"),
        ("Factory", "the name of a city, such as Europe/Paris, or UTC"),
        ("\0", "the name of a city, such as Europe/Paris, or UTC"),
    ],
)
def test_what_is_no_zone(name: str, hint: str) -> None:
    with pytest.raises(ZoneError) as caught:
        zone(name)
    assert caught.value.hint == hint


def test_a_folder_of_zones_is_no_zone() -> None:
    with pytest.raises(ZoneError, match="there is no time zone `Europe`"):
        zone("Europe")
    assert zone("UTC").utcoffset(datetime(2026, 1, 1, tzinfo=UTC)) == timedelta()
