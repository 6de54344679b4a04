"""Rain in Seattle between two days: read, summed up by month, searched for its longest dry spell.

One file holds the pipeline and the functions of its steps. `headway validate` builds the pipeline
from it; a worker imports it to call one function at a time. Only the standard library is needed.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, TypedDict

from headway import finally_, pipeline, shell, step


class Unit(Enum):
    MILLIMETRES = "mm"
    INCHES = "in"


class Days(TypedDict):
    days: int
    total: float


class Months(TypedDict):
    wettest: str
    wet_days: int


class Spell(TypedDict):
    begins: date
    length: timedelta


class Headline(TypedDict):
    headline: str


@step(artifacts=["days.csv"], retry=2)
def read_days(since: date, until: date, unit: Unit) -> Days:
    """Keep the days of the readings that are asked for, in the unit that is asked for."""
    source = Path(os.environ["HEADWAY_CODE"]).parent / "weather" / "data" / "seattle-weather.csv"
    with source.open(newline="") as stream:
        readings = [
            (date.fromisoformat(row["date"].replace("/", "-")), float(row["precipitation"]))
            for row in csv.DictReader(stream)
        ]
    size = 25.4 if unit is Unit.INCHES else 1.0
    rows = [(day, round(rain / size, 3)) for day, rain in readings if since <= day <= until]
    with (_work() / "days.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    print(f"{len(rows)} of {len(readings)} days")
    return {"days": len(rows), "total": round(sum(rain for _, rain in rows), 1)}


@step(resource_class="large", artifacts=["months.csv"])
def by_month(wet_from: float) -> Months:
    """Sum up rain and wet days by month."""
    rain: defaultdict[str, float] = defaultdict(float)
    wet_days = 0
    for day, fell in _days():
        rain[f"{day:%B}"] += fell
        wet_days += fell >= wet_from
    with (_work() / "months.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows((month, round(sum_, 1)) for month, sum_ in rain.items())
    return {"wettest": max(rain, key=rain.__getitem__), "wet_days": wet_days}


@step(resource_class="large")
def dry_spell() -> Spell:
    """Find the longest time without rain."""
    best = (timedelta(0), date.min)
    begins: date | None = None
    for day, fell in _days():
        begins = None if fell else begins or day
        if begins is not None:
            best = max(best, (day - begins + timedelta(days=1), begins), key=lambda one: one[0])
    return {"begins": best[1], "length": best[0]}


@step(artifacts=["report.txt"])
def report(total: float, unit: Unit, months: Months, begins: date, length: timedelta) -> Headline:
    """Write one line about all of it."""
    headline = (
        f"{total} {unit.value} of rain on {months['wet_days']} wet days, most in "
        f"{months['wettest']}; no rain for {length.days} days from {begins}"
    )
    (_work() / "report.txt").write_text(headline + "\n")
    return {"headline": headline}


def _work() -> Path:
    return Path(os.environ["HEADWAY_WORKDIR"])


def _days() -> list[tuple[date, float]]:
    with (Path(os.environ["HEADWAY_INPUTS"]) / "days" / "days.csv").open(newline="") as stream:
        return [(date.fromisoformat(day), float(rain)) for day, rain in csv.reader(stream)]


@pipeline(
    team="demo",
    owner="rainfall@example.com",
    code="examples/rainfall",  # where this file lies, seen from the worker's code folder
    timeout=timedelta(minutes=10),
    defaults={"resource_class": "small", "timeout": "2m"},
)
def rainfall(
    since: Annotated[date, "The first day that counts."] = date(2012, 1, 1),
    until: Annotated[date, "The last day that counts."] = date(2015, 12, 31),
    unit: Annotated[Unit, "The unit of every figure."] = Unit.MILLIMETRES,
    wet_from: Annotated[float, "Rain from which a day counts as wet."] = 1.0,
) -> None:
    """Rain in Seattle between two days."""
    days = read_days(since, until, unit)
    months = by_month.with_options(inputs={"days": days})(wet_from)
    spell = dry_spell.with_options(inputs={"days": days})()
    done = report(days["total"], unit, months, spell["begins"], spell["length"])

    # These readings have no year so dry, so this step is skipped.
    shell(
        'echo "only $DAYS wet days"',
        name="warn",
        env={"DAYS": months["wet_days"]},
    ).when(months["wet_days"] < 30)

    with finally_():
        shell('echo "the report has $STATE"', name="tell", env={"STATE": done.state})
