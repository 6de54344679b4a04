"""A canonical spec as what a person wants to see before it runs: layers, needs, queues. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headway.plan.builder import build
from headway.plan.model import Kind, PlanStep, When
from headway.protocol.queues import step_queue


@dataclass(frozen=True, slots=True)
class OutlinedStep:
    """`layer` counts from 1: steps of one layer can run at the same time. A step that holds no
    worker slot has no queue."""

    step: str
    layer: int
    kind: str
    needs: tuple[str, ...]
    queue: str | None
    when: str
    condition: str | None
    final: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "layer": self.layer,
            "kind": self.kind,
            "needs": list(self.needs),
            "queue": self.queue,
            "when": self.when,
            "if": self.condition,
            "finally": self.final,
        }


def outline(canonical: Mapping[str, Any]) -> list[OutlinedStep]:
    """Return the steps layer by layer, `finally` steps in layers of their own behind all others."""
    plan = build(canonical)
    layers: dict[str, int] = {}
    for step in plan.steps:
        if not step.final:
            layers[step.key] = 1 + max((layers[need] for need in step.needs), default=0)
    last = max(layers.values(), default=0)
    for step in plan.steps:
        if step.final:
            layers[step.key] = 1 + max((layers[need] for need in step.needs), default=last)
    outlined = [_outlined(step, layers[step.key], plan.team) for step in plan.steps]
    return sorted(outlined, key=lambda step: step.layer)


def _outlined(step: PlanStep, layer: int, team: str) -> OutlinedStep:
    queue = None if step.kind is Kind.WAIT else step_queue(team, step.resource_class)
    return OutlinedStep(
        step=step.key,
        layer=layer,
        kind=str(step.kind),
        needs=step.needs,
        queue=queue,
        when=_rule(step),
        condition=step.condition,
        final=step.final,
    )


def _rule(step: PlanStep) -> str:
    return f"{step.at_least}_succeeded" if step.when is When.SOME_SUCCEEDED else str(step.when)


def waits_for(step: OutlinedStep) -> str:
    """Return in words which ends of its needs let a step run; empty for the usual ones."""
    return "" if step.when == When.ALL_SUCCEEDED else step.when.replace("_", " ")
