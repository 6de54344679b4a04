"""Steps in layers, as `headway plan` shows them."""

from __future__ import annotations

from headway.plan.outline import outline, waits_for
from headway.spec import load

TEXT = """\
headway: 1
pipeline: p
team: t
owner: o
steps:
  d: {run: x, needs: [b, c], class: big, when: all_done}
  a: {run: x}
  b: {python: m:f, needs: [a], if: steps.a.state == 'succeeded'}
  c: {wait: 5m, needs: [a]}
  e: {run: x}
finally:
  z: {run: x, needs: [y]}
  y: {run: x}
"""


def test_layers_needs_and_queues() -> None:
    spec = load(TEXT, "f").spec
    assert spec is not None
    steps = outline(spec.canonical)
    assert [(step.layer, step.step) for step in steps] == [
        *((1, "a"), (1, "e"), (2, "b"), (2, "c"), (3, "d"), (4, "y"), (5, "z")),
    ]
    by_name = {step.step: step for step in steps}
    assert by_name["d"].queue == "t.big"
    assert by_name["c"].queue is None
    assert by_name["d"].needs == ("b", "c")
    assert by_name["b"].as_dict()["if"] == "steps.a.state == 'succeeded'"
    assert [step.step for step in steps if step.final] == ["y", "z"]
    assert (waits_for(by_name["d"]), waits_for(by_name["a"])) == ("all done", "")
