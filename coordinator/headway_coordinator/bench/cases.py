"""The graphs that are measured, for both sides."""

from __future__ import annotations

from dataclasses import dataclass

import yaml


@dataclass(frozen=True, slots=True)
class Case:
    """`runs` runs of a chain of `chain` steps, or of 1 → `fan` → 1."""

    name: str
    title: str
    runs: int
    chain: int = 0
    fan: int = 0

    @property
    def steps(self) -> int:
        return self.runs * (self.chain or self.fan + 2)


def cases(quick: bool) -> list[Case]:
    """Return the three cases; the quick ones only show that everything works."""
    scale = 10 if quick else 1
    return [
        Case("chain", f"chain of {40 // scale * 1}", 1, chain=40 // scale),
        Case("fan", f"1→{1000 // scale}→1", 1, fan=1000 // scale),
        Case("many", f"{100 // scale} runs × 10", 100 // scale, fan=8),
    ]


def definition(case: Case, code: str) -> str:
    """Return the case's pipeline as YAML."""
    step = {"python": "nothing:done", "class": "bench"}
    if case.chain:
        steps = {
            f"s{i}": {**step, **({"needs": [f"s{i - 1}"]} if i else {})} for i in range(case.chain)
        }
    else:
        middle = [f"m{i}" for i in range(case.fan)]
        steps = {
            "first": dict(step),
            **{name: {**step, "needs": ["first"]} for name in middle},
            "last": {**step, "needs": middle},
        }
    document = {
        "headway": 1,
        "pipeline": f"bench-{case.name}",
        "team": "bench",
        "owner": "bench@example.com",
        "code": {"path": code},
        "steps": steps,
    }
    return yaml.safe_dump(document, sort_keys=False)
