"""Files that a person gets wrong, one for each kind of mistake, and the words of the mend.

`¶` marks the place of the problem and is no part of the file.
"""

from __future__ import annotations

from typing import NamedTuple

HEAD = "headway: 1\npipeline: p\nteam: t\nowner: me@example.com\n"
PARAMS = HEAD + "params: {n: {type: int}, day: {type: date}}\n"


class Bad(NamedTuple):
    """A file, the code of its problem, a word of the message and one of the mend."""

    kind: str
    code: str
    text: str
    means: str
    mend: str


def _step(body: str) -> str:
    return PARAMS + "steps:\n  a:\n    " + body + "\n"


def _steps(*lines: str) -> str:
    return PARAMS + "steps:\n" + "".join(f"  {line}\n" for line in lines)


MISTAKES = [
    Bad("unknown key", "unknown_key", HEAD + "¶ownr: x\nsteps: {a: {run: x}}\n",
        "no key `ownr`", "did you mean `owner`?"),
    Bad("unknown key of a step", "unknown_key", _step("run: x\n    ¶depends_on: [b]"),
        "no key `depends_on`", "did you mean `needs`?"),
    Bad("wrong type", "wrong_type", HEAD + "priority: ¶high\nsteps: {a: {run: x}}\n",
        "must be a whole number, not the text `high`", "such as 3"),
    Bad("wrong type of steps", "wrong_type", HEAD + "steps:\n  ¶- {name: a, run: x}\n",
        "must be a mapping of keys to values, not a list", "under its name"),
    Bad("cycle", "cycle",
        _steps("a: {run: x, needs: [c]}", "b: {run: x, needs: [¶a]}", "c: {run: x, needs: [b]}"),
        "in a circle: a -> c -> b -> a", "drop one of these needs"),
    Bad("unknown step", "unknown_need", _steps("load: {run: x}", "b: {run: x, needs: [¶laod]}"),
        "there is no step `laod`", "did you mean `load`?"),
    Bad("duplicate key", "duplicate_key", HEAD + "¶owner: q\nsteps: {a: {run: x}}\n",
        "given twice; first in line 4", "keep one of them"),
    Bad("duplicate step", "duplicate_key", _steps("a: {run: x}", "¶a: {run: y}"),
        "`a` is given twice", "keep one of them"),
    Bad("two kinds", "two_kinds", _step("run: x\n    ¶python: a:b"),
        "two kinds, `run` and `python`", "make them two steps"),
    Bad("no kind", "no_kind", _steps("a: ¶{needs: []}"),
        "step `a` does nothing", "give it one of: run"),
    Bad("expression in run", "injection", _step("run: echo ¶${{ params.n }}"),
        "inject shell commands", "pass it by env"),
    Bad("duration", "bad_duration", HEAD + "timeout: ¶5 minutes\nsteps: {a: {run: x}}\n",
        "`5 minutes` is not a duration", "write 5m"),
    Bad("duration without a unit", "wrong_type", _step("run: x\n    timeout: ¶90"),
        "must be a duration", "write 90s"),
    Bad("cron", "bad_cron",
        HEAD + "triggers: [{schedule: {cron: ¶'61 * * * *'}}]\nsteps: {a: {run: x}}\n",
        "`61 * * * *` makes no schedule: its minute is wrong", "minute: 0 to 59"),
    Bad("zone", "unknown_zone",
        HEAD + "triggers: [{schedule: {cron: '@daily', timezone: ¶Europe/Pari}}]\n"
        "steps: {a: {run: x}}\n",
        "there is no time zone `Europe/Pari`", "did you mean `Europe/Paris`?"),
    Bad("expression", "bad_expression", _step("run: x\n    if: params.n ¶and true"),
        "is not CEL", "write && for and"),
    Bad("undeclared output", "unknown_name",
        _steps("a: {run: x, outputs: {rows: int}}",
               "b: {run: x, needs: [a], if: steps.a.outputs.¶row > 1}"),
        "declares no output `row`", "did you mean `rows`?"),
    Bad("undeclared output at all", "unknown_name",
        _steps("a: {run: x}", "b: {run: x, needs: [a], env: {N: '${{ steps.a.outputs.¶n }}'}}"),
        "declares no output `n`", "declare it: outputs: {n: …}"),
    Bad("param's default", "wrong_type",
        HEAD + "params: {n: {type: int, default: ¶one}}\nsteps: {a: {run: x}}\n",
        "must be of type int", "such as 3"),
    Bad("YAML: on", "unknown_key", HEAD + "¶on: push\nsteps: {a: {run: x}}\n",
        "no key `on`", "did you mean `triggers`?"),
    Bad("YAML: no", "wrong_type",
        HEAD + "params: {b: {type: bool, default: ¶no}}\nsteps: {a: {run: x}}\n",
        "`no` is neither true nor false", "write false"),
    Bad("YAML: yes", "wrong_type", _step("run: x\n    allow_failure: ¶yes"),
        "not the text `yes`", "write true"),
    Bad("YAML: !", "bad_tag", _step("run: x\n    if: ¶!has(params.n)"),
        "the tag `!has(params.n)`", "needs quotes"),
    Bad("YAML: ! and a space", "syntax", _step("run: x\n    if: !(params.n > ¶1)"),
        "not YAML", "begins with `!` needs quotes"),
    Bad("YAML: ? :", "syntax", _step("run: x\n    if: params.n > 1 ? true ¶: false"),
        "not YAML", "`? :` needs quotes"),
    Bad("YAML: tab", "tab", HEAD + "steps:\n¶\ta: {run: x}\n",
        "a tab cannot indent YAML", "use spaces"),
    Bad("YAML: expression in braces", "syntax", _steps("a: {run: x, env: {A: $¶{{ params.n }}}}"),
        "not YAML", 'in quotes: "${{ … }}"'),
]  # fmt: skip

FINE = [
    HEAD + "params: {c: {type: string, enum: [de, no], default: no}}\nsteps: {a: {run: x}}\n",
    HEAD
    + f"labels: {{a: &a x, {', '.join(f'b{i}: *a' for i in range(50))}}}\nsteps: {{a: {{run: x}}}}\n",  # noqa: E501
]


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)]
    return HEAD + "".join(lines)


def _circle(length: int) -> str:
    needs = {i: (i + 1) % length for i in range(length)}
    return (
        PARAMS
        + "steps:\n"
        + "".join(f"  s{i}: {{run: x, needs: [s{j}]}}\n" for i, j in needs.items())
    )


def _many(line: str) -> str:
    return PARAMS + "steps:\n" + "".join(line.replace("#", str(i)) for i in range(9000))


# What could cost more than a second or 100 MB: the code that it is answered with.
HEAVY: dict[str, tuple[str, str | bytes]] = {
    "a file of 5 MB": ("too_large", HEAD + "#" * 5_000_000),
    "bytes that are not UTF-8": ("not_utf8", HEAD.encode() + b"description: caf\xe9\n"),
    "UTF-16": ("not_utf8", (HEAD + "steps: {a: {run: x}}").encode("utf-16")),
    "an alias bomb": ("too_large", _bomb()),
    "51 aliases": ("too_many_aliases", HEAD + f"labels: {{a: &a x, b: [{'*a, ' * 51}]}}\n"),
    "a depth bomb": ("too_deep", "[" * 900_000),
    "a key bomb": ("too_large", "{" + "a," * 500_000),
    "50,000 documents": ("too_large", "---\na: b\n" * 50_000),
    "300 bad documents": ("unknown_key", "---\na: b\n" * 300),
    "a circle of 9,000": ("cycle", _circle(9000)),
    "9,000 unknown needs": ("unknown_need", _many("  s#: {run: x, needs: [t#]}\n")),
    "40,000 unknown keys": ("unknown_key", HEAD + "".join(f"stepz{i}: x\n" for i in range(40_000))),
    "9,000 bad conditions": ("bad_expression", _many("  s#: {run: x, if: 'params.n > # )'}\n")),
    "30,000 bad names in one text": (
        "unknown_name", _step('run: x\n    env: {A: "' + "${{ params.m }} " * 30_000 + '"}')
    ),
    "a name of 900 kB": ("syntax", HEAD + "x" * 900_000 + ": 1\n"),
}  # fmt: skip

ALL_AT_ONCE = """\
headway: 1
pipeline: ¶Daily Sales
team: analytics
owner: me@example.com
¶ownr: you@example.com
¶on: push
timeout: ¶5 minutes
params:
  n: {type: int, default: ¶one}
  full: {type: bool, default: ¶no}
steps:
  extract:
    run: echo ¶${{ params.n }}
    ¶python: a:b
    outputs: {rows: int}
  load:
    run: x
    needs: [¶extrat, extract]
    if: steps.extract.outputs.¶row > 1
  report: ¶{needs: [load]}
  left: {run: x, needs: [right]}
  right: {run: x, needs: [¶left], timeout: ¶30}
  check:
    run: x
    if: params.n ¶= 3
    retry: ¶3 times
    ¶retry: 2
"""
