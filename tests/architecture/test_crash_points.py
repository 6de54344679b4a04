"""Whatever commits, publishes, acknowledges or synchronises bears a crash point, or fails here.

The sources are searched for the calls that have such an effect. The function around one bears a
point, or it is private to its module and every function there that calls it does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headway import crash_points
from tests.architecture.repository import ROOT, sources, tree

APPLICATION = Path("coordinator/headway_coordinator/application")
_PORTS = (
    "ports.py",
    "access_ports.py",
    "advancing_ports.py",
    "backfill_ports.py",
    "notify_ports.py",
    "pause_ports.py",
    "trigger_ports.py",
    "worker_ports.py",
)
PORTS = tuple(APPLICATION / name for name in _PORTS)

# Methods of the ports that change nothing. Advancing's and Deciding's other methods write within
# the blocks of `storage.advancing` and `storage.deciding`, whose two moments are before and after
# the commit of all of them.
READS = {
    "access": {"find_token", "teams", "tokens"},
    "backfills": {
        *(
            "dates",
            "get",
            "listing",
            "of_key",
            "open_dates",
            "progress",
            "running",
            "runs_of",
            "waiting",
        ),
    },
    "definitions": {"current", "get", "listing", "version", "versions"},
    "events": {
        *("decisions", "earlier", "gathered", "get", "listing", "many"),
        *("subjects_waiting", "undecided", "waiting"),
    },
    "inbox": {"pending"},
    "leases": {"current"},
    "notifications": {"get", "listing", "waiting"},
    "pauses": {"all"},
    "queries": {"audit", "counts", "queues", "run", "runs", "steps_brief"},
    "runs": {"in_group", "load", "open_ids"},
    "secrets": {"find", "listing", "sealed_otherwise"},
    "storage": {"close"},
    "store": {"get", "list"},
    "sweeps": {
        *("database_now", "expired", "late", "occupancy", "overdue", "stranded", "unclaimed"),
    },
    "triggers": {
        *("due", "glance", "listening", "listing", "of_kind", "of_pipeline", "teams_of"),
    },
    "workers": {"all", "holders", "live"},
}
WITHIN = ("advancing.", "deciding.")

# Whole files, or functions in them, and why they need no point.
EXEMPT = {
    "coordinator/headway_coordinator/bench/": "measures; no part of a coordinator",
    "coordinator/headway_coordinator/storage/migrations/": "run by `headway db upgrade` alone",
    "coordinator/headway_coordinator/storage/migrating.py": "run by `headway db upgrade` alone",
    "coordinator/headway_coordinator/storage/database.py": "what the others commit through",
    "coordinator/headway_coordinator/storage/pipelining.py": "the same on PostgreSQL",
    "coordinator/headway_coordinator/storage/postgresql.py": "the same on PostgreSQL",
    "coordinator/headway_coordinator/storage/sqlite.py": "the same on SQLite",
    "coordinator/headway_coordinator/broker/inspecting.py": "publishes to nobody, to look at it",
    "coordinator/headway_coordinator/broker/senders.py": "what publisher.send goes through",
    "common/headway/rabbitmq.py": "what publisher.send and completions.publish go through",
    "workers/headway_worker/broker/": "what steps.acknowledge goes through; what was given back to "
    "nobody is rung again",
    "workers/headway_worker/consumer.py": "hands to the threads of its own process",
    "workers/headway_worker/senders.py": "what completions.publish goes through",
    "workers/headway_worker/voice.py": "a worker's talk with itself; nothing rests on it",
    "workers/headway_worker/runner/sql_call.py": "a step's own work, in a database of its team",
    "workers/headway_worker/local.py": "lives and dies with its coordinator and their folder",
}

ATOMIC = {"transaction", "writing"}
EFFECTS = {
    *ATOMIC,
    *("prompt", "prompt_line"),
    *("fdatasync", "fsync"),
    *("ack", "basic_ack", "basic_reject", "ack_log_error", "reject_log_error", "requeue"),
    *("lpush", "lrem", "rpush", "publish", "basic_publish", "apply_async", "send_task"),
}
# Ports whose implementations bear the points; to call them is no effect of one's own.
PORTS_CALLED = {"_doorbell", "_publisher"}
# Names that mean this only where they are asked of these.
OF_OWNERS = (
    ({"begin", "commit"}, {"connection", "engine"}),
    ({"post", "put", "send"}, {"api", "_api", "obstore"}),
)
RECORDS = "_records"  # the journal's file, mapped into memory


@dataclass
class Function:
    """A function of a module, nested ones included in the outermost."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    points: list[str] = field(default_factory=list)
    block: bool = False
    effects: list[tuple[str, int]] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)


def test_every_effect_has_a_point() -> None:
    bare = [
        f"{source}:{line} {function.name}: {effect}"
        for source in searched()
        for function, effect, line in uncovered(tree(source))
    ]
    assert not bare, "name the function with @crash_point or @crash_block (docs/crash-points.md)"


def test_a_point_lies_between_the_last_statement_of_a_transaction_and_its_commit() -> None:
    loose = [
        f"{source}:{line} {name}" for source in searched() for name, line in unsealed(tree(source))
    ]
    assert not loose, "end the block with a call of a function that bears a point"


def test_every_method_of_a_port_is_a_point_or_a_read() -> None:
    named = {f"{port}.{method}" for each in PORTS for port, method in methods(tree(each))}
    reads = {f"{port}.{method}" for port, names in READS.items() for method in names}
    assert reads <= named, "these are no methods of a port any more"
    assert not reads & set(crash_points.POINTS)
    missing = named - reads - set(crash_points.POINTS)
    assert not {name for name in missing if not name.startswith(WITHIN)}


def test_every_point_is_borne_once() -> None:
    borne = [
        point
        for source in sources()
        for function in functions(tree(source))
        for point in function.points
    ]
    assert sorted(borne) == sorted(crash_points.POINTS)


def test_every_exception_is_still_needed() -> None:
    found = {source.as_posix() for source in sources() if list(uncovered(tree(source)))}
    unused = [path for path in EXEMPT if not any(each.startswith(path) for each in found)]
    # Migrations have a transaction of Alembic's own, which is no call that is looked for.
    assert unused == ["coordinator/headway_coordinator/storage/migrations/"]


def test_the_page_and_the_registry_agree() -> None:
    page = (ROOT / "docs" / "crash-points.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([a-z, ]+) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    documented = {name: tuple(processes.split(", ")) for name, processes in rows}
    assert len(documented) == len(rows), "a point stands there twice"
    assert documented == crash_points.POINTS
    assert f"status {crash_points.STATUS}" in page


@pytest.mark.parametrize(
    "text",
    [
        "def put(self):\n    with self._database.prompt() as c:\n        c.execute(x)",
        "def put(self):\n    with database.transaction() as c:\n        write(c)",
        "def put(self):\n    with database.writing() as line:\n        write(line)",
        "def put(self):\n    with database.prompt_line() as line:\n        line.ask(x)",
        "def put(self):\n    connection.commit()",
        "def sync(fd):\n    os.fdatasync(fd)",
        "def take(self, message):\n    message.ack()",
        "def take(self, message):\n    later(message.ack_log_error)",
        "def take(self):\n    def inner(message):\n        message.ack()\n    return inner",
        "def send(self):\n    producer.publish(x)",
        "def send(self):\n    self._api.post('x', y)",
        "def note(self):\n    self._records[0] = 1",
        "def _push(c):\n    c.lpush(x)\ndef send(self):\n    _push(c)",
        "def _push(c):\n    c.lpush(x)",
        "@crash_point('x')\ndef one(c):\n    _push(c)\ndef two(c):\n    _push(c)\n"
        "def _push(c):\n    c.lpush(x)",
    ],
)
def test_the_search_finds(text: str) -> None:
    assert list(uncovered(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "def get(self):\n    with self._database.reading() as c:\n        c.execute(x)",
        "@crash_point('x')\ndef put(self):\n    connection.commit()",
        "@crash_block('x')\n@contextmanager\ndef put(self):\n    with d.transaction() as c:\n"
        "        yield c",
        "@crash_point('x')\ndef send(c):\n    _push(c)\ndef _push(c):\n    c.lpush(x)",
        "def send(self):\n    self._doorbell.publish(x)",
        "def send(self):\n    self._post('x')",
    ],
)
def test_the_search_leaves_alone(text: str) -> None:
    assert not list(uncovered(ast.parse(text)))


@pytest.mark.parametrize(
    ("body", "sealed"),
    [
        ("return self._put(c)", True),
        ("self._put(c)", True),
        ("c.execute(x)", False),
        ("self._put(c)\n        c.execute(x)", False),
    ],
)
def test_the_end_of_a_transaction_is_seen(body: str, sealed: bool) -> None:
    text = (
        "class S:\n  @crash_point('a')\n  def put(self):\n    with d.transaction() as c:\n"
        f"        {body}\n  @crash_point('a.rows')\n  def _put(self, c):\n    c.execute(x)\n"
    )
    assert bool(list(unsealed(ast.parse(text)))) is not sealed


# --- the search --------------------------------------------------------------------------------


def searched() -> list[Path]:
    return [source for source in sources() if not any(map(source.as_posix().startswith, EXEMPT))]


def uncovered(module: ast.Module) -> Iterator[tuple[Function, str, int]]:
    """Yield each effect that is covered by no point, with its function and line."""
    known = functions(module)
    for function in known:
        if function.effects and not is_covered(function, known, set()):
            yield from ((function, effect, line) for effect, line in function.effects)


def is_covered(function: Function, known: list[Function], seen: set[str]) -> bool:
    if function.points:
        return True
    if not function.name.startswith("_") or function.name in seen:
        return False
    callers = [each for each in known if function.name in each.calls and each is not function]
    seen = {*seen, function.name}
    return bool(callers) and all(is_covered(caller, known, seen) for caller in callers)


def unsealed(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each transaction whose block neither is a point nor ends with a call of one."""
    known = functions(module)
    pointed = {each.name for each in known if each.points}
    for function in known:
        for node in ast.walk(function.node):
            if isinstance(node, ast.With) and opens(node, ATOMIC) and not function.block:
                last = node.body[-1]
                value = last.value if isinstance(last, ast.Return | ast.Expr) else None
                if not isinstance(value, ast.Call) or name_of(value.func) not in pointed:
                    yield function.name, node.lineno


def functions(module: ast.Module) -> list[Function]:
    """Return the outermost functions and methods, with what they do."""
    found = []
    todo: list[ast.AST] = [module]
    while todo:
        for node in ast.iter_child_nodes(todo.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(described(node))
            else:
                todo.append(node)
    return found


def described(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    function = Function(node.name, node)
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and name_of(decorator.func) in (
            "crash_point",
            "crash_block",
        ):
            [name] = decorator.args
            assert isinstance(name, ast.Constant), "a point's name stands where it is borne"
            function.points.append(str(name.value))
            function.block |= name_of(decorator.func) == "crash_block"
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            function.calls.add(name_of(part.func))
        elif isinstance(part, ast.Attribute):
            if is_effect(part):
                function.effects.append((part.attr, part.lineno))
        elif isinstance(part, ast.Subscript) and is_record(part):
            function.effects.append((RECORDS, part.lineno))
    return function


def is_record(part: ast.Subscript) -> bool:
    return isinstance(part.ctx, ast.Store) and name_of(part.value) == RECORDS


def is_effect(attribute: ast.Attribute) -> bool:
    owner = name_of(attribute.value)
    if isinstance(attribute.ctx, ast.Store):
        return False
    for names, owners in OF_OWNERS:
        if attribute.attr in names:
            return owner in owners
    return attribute.attr in EFFECTS and owner not in PORTS_CALLED


def opens(node: ast.With, names: set[str]) -> bool:
    calls = [item.context_expr for item in node.items]
    return any(isinstance(call, ast.Call) and name_of(call.func) in names for call in calls)


def name_of(node: ast.expr) -> str:
    """Return the last part of a dotted name; of anything else, nothing."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def methods(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield port and method of every Protocol."""
    for node in module.body:
        if isinstance(node, ast.ClassDef) and any(name_of(b) == "Protocol" for b in node.bases):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield node.name.lower(), part.name
