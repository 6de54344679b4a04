"""Four years of daily rain in Seattle, by month of the year."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any

from months import name
from places import keep_rows, read_rows, shipped


def summarise(source: str, target: str, wet_day_mm: float) -> dict[str, Any]:
    """Write rain and wet days of each month; return the figures of the whole time."""
    rain: defaultdict[int, float] = defaultdict(float)
    wet: defaultdict[int, int] = defaultdict(int)
    days = read_rows(shipped(source))
    for day in days:
        month = date.fromisoformat(day["date"].replace("/", "-")).month
        millimetres = float(day["precipitation"])
        rain[month] += millimetres
        wet[month] += millimetres >= wet_day_mm
    rows = [(month, round(rain[month], 1), wet[month]) for month in sorted(rain)]
    keep_rows(target, ("month", "millimetres", "wet_days"), rows)
    wettest = max(rain, key=rain.__getitem__)
    print(f"{len(days)} days, {sum(wet.values())} of them wet; most rain in {name(wettest)}")
    return {
        "days": len(days),
        "wet_days": sum(wet.values()),
        "wettest_month": name(wettest),
        "total_mm": round(sum(rain.values()), 1),
    }
