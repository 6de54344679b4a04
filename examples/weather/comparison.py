"""The two cities hour by hour."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from places import given, keep_rows, read_rows


def join() -> dict[str, Any]:
    """Write the hours that both cities have; return how far apart the cities are."""
    seattle = hours("seattle", "seattle.csv")
    other = hours("san_francisco", "san-francisco.csv")
    both = sorted(seattle.keys() & other.keys())
    if not both:
        raise ValueError("the two cities have no hour in common")
    keep_rows(
        "comparison.csv",
        ("hour", "seattle", "san_francisco", "difference"),
        ((h, seattle[h], other[h], round(seattle[h] - other[h], 2)) for h in both),
    )
    differences = [seattle[hour] - other[hour] for hour in both]
    warmer = sum(difference > 0 for difference in differences)
    print(f"{len(both)} hours in common; Seattle was the warmer city in {warmer}")
    return {
        "hours": len(both),
        "mean_difference": round(fmean(differences), 2),
        "seattle_warmer_percent": round(100 * warmer / len(both), 1),
    }


def hours(name: str, file: str) -> dict[str, float]:
    """Return temperature by hour of one input."""
    return {row["hour"]: float(row["temp"]) for row in read_rows(given(name, file))}
