"""The figures as tables, for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROW = "{:<4} {:<32} {:>9} {:>9} {:>7}  {}"


def print_tables(document: Mapping[str, Any]) -> None:
    """Print what was measured on standard output."""
    settings, versions = document["settings"], document["versions"]
    broker = settings["broker"]
    server = versions.get("rabbitmq") or versions.get("redis_server") or ""
    print(
        f"{settings['cores']} cores, {settings['database']} {versions.get('postgresql', '')} "
        f"(synchronous_commit {settings.get('synchronous_commit', '–')}), "
        f"{broker} {server}, Celery {versions['celery']}; medians of {settings['rounds']}"
    )
    if "idle" in document:
        _print_idle(document)
        return
    print(_ROW.format("", "", "Headway", "Celery", "ratio", ""))
    print(_ROW.format("", "", "steps/s", "steps/s", "", ""))
    for name, found in document.items():
        if isinstance(found, Mapping) and "headway_steps_per_s" in found:
            print(_row(name, found))
    for name, found in document.items():
        if isinstance(found, Mapping):
            _print_special(name, found)


def _row(name: str, found: Mapping[str, Any]) -> str:
    notes = []
    if "celery_pool" in found:
        notes.append(f"Celery on {found['celery_pool']}")
    if "share_of_ideal" in found:
        celery = found.get("celery_share_of_ideal")
        notes.append(f"share of the ideal {found['share_of_ideal']}")
        notes += [f"Celery's {celery}"] if celery is not None else []
    return _ROW.format(
        name,
        found["title"],
        found["headway_steps_per_s"],
        found.get("celery_steps_per_s", "–"),
        found.get("ratio", "–"),
        ", ".join(notes),
    ).rstrip()


def _print_arrivals(found: Mapping[str, Mapping[str, Any]]) -> None:
    for rate, each in found.items():
        latency = f"p50 {each['accepted_p50_ms']} ms, p99 {each['accepted_p99_ms']} ms"
        wrong = ", ".join(f"{each[what]} {what}" for what in ("refused", "lost", "doubled"))
        print(f"W7 {rate} two-step runs a second by webhook: accepted {latency}")
        print(f"W7 {each['runs']} runs, {wrong}; drained {each['drain_s']} s after the last one")


def _print_special(name: str, found: Mapping[str, Any]) -> None:
    if name == "W7":
        _print_arrivals(found)
    if "p50_ms" in found:
        print(f"{name} {found['title']}: p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms")
    if "us_per_step" in found:
        costs = ", ".join(f"{size}: {cost} µs" for size, cost in found["us_per_step"].items())
        print(f"{name} {found['title']}: {costs}; spread {found['spread']:.0%}")
    if isinstance(found.get("cpu_us_per_step"), Mapping) and "headway_s" in found:
        cpu = ", ".join(f"{part} {cost} µs" for part, cost in found["cpu_us_per_step"].items())
        print(f"{name} processor a step: {cpu}")


def _print_idle(document: Mapping[str, Any]) -> None:
    row = "{:<10} {:>9} {:>12} {:>12} {:>14}"
    print(row.format("idle", "resident", "wake-ups", "queries", "transactions"))
    print(row.format("", "MB", "a second", "a second", "a second"))
    for part, found in document["idle"].items():
        print(
            row.format(
                part,
                found["resident_mb"],
                found["wakeups_per_s"],
                found["queries_per_s"],
                found["transactions_per_s"],
            )
        )
    active = document["active"]
    print(f"with {active['runs']} active runs of {active['steps']} steps:")
    for part, mb in active["resident_mb"].items():
        print(f"{part} {mb} MB (+{active['added_mb'][part]})")


def print_logs(folder: Path) -> None:
    """Print the end of every process's log on standard error."""
    for log in sorted(folder.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-15:]
        print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)
