"""Cleaning: hourly readings of either layout in one layout and unit, in order, each hour once."""

from __future__ import annotations

from datetime import datetime, timedelta

from places import given, keep_rows, read_rows

FORMATS = ("%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S")
LIKELY_F = (-60.0, 140.0)


def clean(source: str, target: str, unit: str) -> dict[str, int]:
    """Write the cleaned hours; return how many there are, were dropped, and are missing."""
    rows = read_rows(given("raw", source))
    found: dict[datetime, float] = {}
    for row in rows:
        reading = parse(row)
        if reading is not None:
            found.setdefault(reading[0], reading[1])
    hours = sorted(found)
    keep_rows(target, ("hour", "temp"), ((h.isoformat(), in_unit(found[h], unit)) for h in hours))
    missing = count_missing(hours)
    print(f"{source}: {len(rows)} rows, {len(hours)} hours kept, {missing} missing")
    return {"hours": len(hours), "dropped": len(rows) - len(hours), "missing": missing}


def parse(row: dict[str, str]) -> tuple[datetime, float] | None:
    """Return the hour and the temperature in Fahrenheit, or None for a row that cannot be right."""
    try:
        temperature = float(row["temp"])
    except ValueError:
        return None
    if not LIKELY_F[0] < temperature < LIKELY_F[1]:
        return None
    for layout in FORMATS:
        try:
            # The city's own clock, without a zone, as the files have it.
            return datetime.strptime(row["date"], layout), temperature  # noqa: DTZ007
        except ValueError:
            continue
    return None


def in_unit(fahrenheit: float, unit: str) -> float:
    """Return a temperature in the unit, to a hundredth."""
    return round(fahrenheit if unit == "fahrenheit" else (fahrenheit - 32) / 1.8, 2)


def count_missing(hours: list[datetime]) -> int:
    """Return how many hours between the first and the last have no reading."""
    if not hours:
        return 0
    return (hours[-1] - hours[0]) // timedelta(hours=1) + 1 - len(hours)
