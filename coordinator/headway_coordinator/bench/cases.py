"""The graphs that are measured, for both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

SLOTS = 8
MANY_SLOTS = 100
W9_SIZES = (10, 100, 1000, 5000, 10_000)
PARKED = "parked"
_CHAIN = 40


@dataclass(frozen=True, slots=True)
class Case:
    """`runs` runs, started at once, of a graph of layers: each step needs the layer before."""

    name: str
    title: str
    layers: tuple[int, ...]
    runs: int = 1
    sleep_ms: int = 0
    slots: int = SLOTS
    items: bool = False  # a layer of many is one step with as many items
    parked: bool = False  # all but the first layer is of a class that nobody serves

    @property
    def steps(self) -> int:
        return self.runs * sum(self.layers)

    @property
    def ideal_s(self) -> float:
        """Return the seconds that the sleeping alone takes, on all slots."""
        return self.steps * self.sleep_ms / 1000 / self.slots


def cases(quick: bool) -> list[Case]:
    """Return the cases that both sides run; the quick ones only show that everything works."""
    scale = 20 if quick else 1
    chain, fan, many, sleeps = _CHAIN // min(scale, 4), 1000 // scale, 100 // scale, 1000 // scale
    return [
        Case("W1", f"chain of {chain}", (1,) * chain),
        Case("W3", f"1→{100 // scale}→1", (1, 100 // scale, 1)),
        Case("W4", f"1→{fan}→1", (1, fan, 1)),
        Case("W5", f"{many} runs × (1→1→5→1→1→1)", (1, 1, 5, 1, 1, 1), runs=many),
        Case(
            "W8",
            f"{sleeps * 10} × sleep(0.1)",
            (sleeps,),
            runs=10,
            sleep_ms=100,
            slots=MANY_SLOTS,
        ),
    ]


def sizes(quick: bool) -> list[Case]:
    """Return W9: graphs of 10 to 10,000 steps, each so often that as many steps run in all, and
    at last one with items instead of steps.

    With the same load, what differs is what the size of a graph costs.
    """
    chosen = W9_SIZES[:2] if quick else W9_SIZES
    total = chosen[-1]
    graphs = [
        Case(f"W9-{n}", f"{total // n} runs × {n} steps", (1, n - 2, 1), runs=total // n)
        for n in chosen
    ]
    items = Case("W9-items", f"1 run × {total} items", (1, total - 2, 1), items=True)
    return [*graphs, items]


def latency(quick: bool) -> Case:
    """Return W6: a chain, alone on the installation."""
    return Case("W6", "parent's end → child's start", (1,) * (_CHAIN // (4 if quick else 1)))


def definition(case: Case, code: str) -> str:
    """Return the case's pipeline as YAML."""
    steps: dict[str, Any] = {}
    before: Sequence[str] = ()
    for number, width in enumerate(case.layers):
        layer = [f"l{number}_{i}" for i in range(1 if case.items else width)]
        for key in layer:
            steps[key] = _step(case) | ({"needs": list(before)} if before else {})
            if case.items and width > 1:
                steps[key]["foreach"] = list(range(width))
            if case.parked and number:
                steps[key]["class"] = PARKED
        before = layer
    document = {
        "headway": 1,
        "pipeline": pipeline_name(case),
        "team": "bench",
        "owner": "bench@example.com",
        "code": {"path": code},
        "steps": steps,
    }
    return yaml.dump(document, sort_keys=False, Dumper=_Dumper)


def pipeline_name(case: Case) -> str:
    return f"bench-{case.name.lower()}"


def _step(case: Case) -> dict[str, Any]:
    step: dict[str, Any] = {"python": "steps:done", "class": queue_class(case.slots)}
    if case.sleep_ms:
        step |= {"python": "steps:sleep", "with": {"ms": case.sleep_ms}}
    return step


def queue_class(slots: int) -> str:
    """Return the resource class that the worker with so many slots serves."""
    return f"slots{slots}"


class _Dumper(yaml.SafeDumper):
    """Writes every list and mapping out: an alias would be one line for a thousand needs."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
