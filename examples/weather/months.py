"""A city's year by month: mean, highest and lowest of the cleaned hours."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from statistics import fmean
from typing import Any

from places import given, keep_rows, read_rows


def summarise(city: str, source: str, target: str) -> dict[str, Any]:
    """Write the months; return the warmest and coldest of them and the figures of the year."""
    by_month: defaultdict[int, list[float]] = defaultdict(list)
    for row in read_rows(given("clean", source)):
        by_month[datetime.fromisoformat(row["hour"]).month].append(float(row["temp"]))
    means = {month: round(fmean(temps), 2) for month, temps in sorted(by_month.items())}
    rows = [(m, mean, max(by_month[m]), min(by_month[m])) for m, mean in means.items()]
    keep_rows(target, ("month", "mean", "highest", "lowest"), rows)

    every = [temperature for temps in by_month.values() for temperature in temps]
    warmest, coldest = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    print(f"{city}: {means[coldest]} in {name(coldest)}, {means[warmest]} in {name(warmest)}")
    return {
        "warmest_month": name(warmest),
        "coldest_month": name(coldest),
        "mean": round(fmean(every), 2),
        "highest": max(every),
        "lowest": min(every),
    }


NAMES = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip


def name(month: int) -> str:
    """Return a month's name, whatever the language of the machine."""
    return NAMES[month - 1]
