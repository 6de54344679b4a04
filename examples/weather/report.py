"""The page: a headline, a chart of both cities by month, the rain, and the figures as a table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path

from months import name
from places import given, read_rows

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 16, 36
LABELLED = (7, 1)
SIGNS = {"celsius": "°C", "fahrenheit": "°F"}


def write(unit: str, wet_days: int, rain_days: int, mean_difference: float) -> dict[str, str]:
    """Write report.html; return its headline and the warmest month of each city."""
    cities = {
        "Seattle": column(given("seattle", "seattle-months.csv"), "mean"),
        "San Francisco": column(given("san_francisco", "san-francisco-months.csv"), "mean"),
    }
    rain = column(given("rain", "seattle-rain.csv"), "millimetres")
    sign = SIGNS[unit]
    colder = "colder" if mean_difference < 0 else "warmer"
    distance = f"{abs(mean_difference):.1f} {sign} {colder}"
    headline = f"Over the year Seattle is {distance} than San Francisco"
    warmest = {city: name(1 + means.index(max(means))) for city, means in cities.items()}
    body = [
        f"<h1>{escape(headline)}</h1>",
        f"<p>{wet_days} of {rain_days} days in Seattle were wet. Warmest months: "
        + ", ".join(f"{city}: {month}" for city, month in warmest.items())
        + ".</p>",
        chart(cities, sign),
        table(cities, rain, sign),
    ]
    page = PAGE.replace("{title}", escape(headline)).replace("{body}", "\n".join(body))
    Path(os.environ["HEADWAY_WORKDIR"], "report.html").write_text(page, encoding="utf-8")
    print(headline)
    return {
        "headline": headline,
        "warmest_in_seattle": warmest["Seattle"],
        "warmest_in_san_francisco": warmest["San Francisco"],
    }


def column(path: Path, title: str) -> list[float]:
    """Return one column of a monthly file, January first."""
    return [float(row[title]) for row in read_rows(path)]


def chart(cities: dict[str, list[float]], sign: str) -> str:
    """Return a line for each city as SVG; the second is dashed, so that no colour is needed."""
    every = [mean for means in cities.values() for mean in means]
    scale = Scale(low=int(5 * (min(every) // 5)), high=int(5 * (max(every) // 5 + 1)))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Mean by month">']
    parts += [grid_line(scale, value, sign) for value in range(scale.low, scale.high + 1, 5)]
    for month in range(12):
        place = f'x="{scale.x(month):.1f}" y="{HEIGHT - 12}"'
        parts.append(f'<text {place} text-anchor="middle">{name(month + 1)[:3]}</text>')
    for number, (city, means) in enumerate(cities.items()):
        parts += city_line(scale, number, city, means)
    return "\n".join([*parts, "</svg>"])


@dataclass(frozen=True)
class Scale:
    """From months and temperatures to places in the picture."""

    low: int
    high: int

    def x(self, month: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * month / 11

    def y(self, value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low)


def grid_line(scale: Scale, value: int, sign: str) -> str:
    """Return a level line with its temperature."""
    y = scale.y(value)
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    label = f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value} {sign}</text>'
    return line + label


def city_line(scale: Scale, number: int, city: str, means: list[float]) -> list[str]:
    """Return a city's line, and its name above a month in which the lines are apart."""
    points = " ".join(
        f"{scale.x(month):.1f},{scale.y(mean):.1f}" for month, mean in enumerate(means)
    )
    month = LABELLED[number % len(LABELLED)]
    place = f'x="{scale.x(month):.1f}" y="{scale.y(means[month]) - 12:.1f}"'
    return [
        f'<polyline class="city{number}" points="{points}"/>',
        f'<text class="label" {place} text-anchor="middle">{escape(city)}</text>',
    ]


def table(cities: dict[str, list[float]], rain: list[float], sign: str) -> str:
    """Return the figures of each month as a table."""
    titles = "".join(f"<th>{escape(city)}, {sign}</th>" for city in cities)
    rows = [f"<tr><th>Month</th>{titles}<th>Rain in Seattle, mm in four years</th></tr>"]
    for month in range(12):
        means = "".join(f"<td>{values[month]:.1f}</td>" for values in cities.values())
        rows.append(f"<tr><th>{name(month + 1)}</th>{means}<td>{rain[month]:.0f}</td></tr>")
    return "<table>\n" + "\n".join(rows) + "\n</table>"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; line-height: 1.25; }
svg { width: 100%; height: auto; }
svg text { fill: currentColor; font-size: 12px; }
svg .label { font-weight: 600; }
.grid { stroke: currentColor; opacity: .15; }
polyline { fill: none; stroke-width: 2.5; }
.city0 { stroke: #2f6fde; }
.city1 { stroke: #d9730d; stroke-dasharray: 7 4; }
table { border-collapse: collapse; margin-top: 1rem; width: 100%; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child { text-align: left; }
</style>
</head>
<body>
{body}
</body>
</html>
"""
