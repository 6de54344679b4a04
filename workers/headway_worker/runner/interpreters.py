"""Warm interpreters, kept between calls: one serves one definition and code folder at a time."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from headway.clock import Clock
from headway_worker.runner.process import READ_BYTES, Process, Sink
from headway_worker.runner.spawner import Spawner

_PROGRAM = Path(__file__).with_name("child.py")
_FRAME = struct.Struct("!I")
_REPLY_LIMIT_BYTES = 64 * 1024 * 1024
_ANSWERS = ("ok", "error", "stale")
_SPENT = ("left", "stale")  # who says so is not to be called again
# Well below the minute after which a child leaves by itself, so that none leaves during a call.
_TRUSTED_IDLE_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Key:
    """What must be the same for an interpreter to be used again."""

    digest: str
    interpreter: str
    code: str


class Interpreter:
    """One warm interpreter, in the hands of one thread."""

    def __init__(self, process: Process, key: Key) -> None:
        assert process.talk is not None
        self.process = process
        self.key = key
        self.is_spent = False
        self._talk: socket.socket = process.talk

    def call(
        self,
        request: Mapping[str, Any],
        sink: Sink,
        *,
        deadline: float | None = None,
        on_deadline: Callable[[], None] | None = None,
    ) -> dict[str, Any] | None:
        """Return the reply; None if the interpreter ended before it gave one."""
        payload = _encoded(request)
        self.is_spent = True  # until a whole reply shows that it can serve again
        try:
            self._talk.sendall(_FRAME.pack(len(payload)) + payload)
        except OSError:
            pass  # it has ended; its output and its exit are still to be read
        pump = self.process.pump
        heard = bytearray()
        reply = None
        while reply is None and pump(sink, deadline=deadline, on_deadline=on_deadline, talk=True):
            if not self._hear(heard):
                pump(sink, deadline=deadline, on_deadline=on_deadline)
                break
            reply = _reply(heard)
        if reply is None or self.process.may_hold_output:
            self.process.copy_waiting(sink)
        self.is_spent = reply is None or not reply.keys().isdisjoint(_SPENT)
        return reply

    def _hear(self, heard: bytearray) -> bool:
        """Add what can be read now; False: it has hung up. Never waits: the deadline must hold."""
        try:
            part = self._talk.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        heard += part
        return bool(part)


def _reply(heard: bytearray) -> dict[str, Any] | None:
    """Return the reply once it is whole. What is none was written by the code that is called."""
    if len(heard) < _FRAME.size:
        return None
    size = _FRAME.unpack_from(heard)[0]
    if size <= _REPLY_LIMIT_BYTES and len(heard) < _FRAME.size + size:
        return None
    try:
        reply = json.loads(heard[_FRAME.size :]) if size <= _REPLY_LIMIT_BYTES else None
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict) and not reply.keys().isdisjoint(_ANSWERS):
        return reply
    message = "its code has written to descriptor 3, by which the interpreter answers"
    return {"error": {"code": "bad_answer", "message": message}, "left": True}


def _encoded(request: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(request)
    except TypeError:  # a number of more than 64 bits
        return json.dumps(request).encode()


class Interpreters:
    """Hands out interpreters and keeps up to `keep` idle ones; safe to use from many threads."""

    def __init__(
        self, spawner: Spawner, env: Mapping[str, str], clock: Clock, *, keep: int
    ) -> None:
        self._spawner = spawner
        self._env = dict(env)
        self._clock = clock
        self._keep = keep
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[Interpreter, float]] = OrderedDict()  # oldest first

    def take(self, key: Key) -> Interpreter:
        """Return an interpreter for `key`, warm if there is one.

        Raises:
            UnavailableError: no process can be started.
        """
        while (warm := self._pop(key)) is not None:
            if warm.process.is_alive():
                return warm
            warm.process.close()
        argv = [key.interpreter, str(_PROGRAM)]
        process = self._spawner.spawn(argv, env=self._env, cwd=key.code, talk=True)
        return Interpreter(process, key)

    def give_back(self, interpreter: Interpreter) -> None:
        """Keep the interpreter for the next call of its key."""
        with self._lock:
            self._idle[id(interpreter)] = (interpreter, self._clock.monotonic())
            surplus = len(self._idle) - self._keep
            dropped = [self._idle.popitem(last=False)[1][0] for _ in range(max(0, surplus))]
        for old in dropped:
            old.process.close()

    def close(self) -> None:
        """End every idle interpreter."""
        with self._lock:
            idle, self._idle = self._idle, OrderedDict()
        for interpreter, _ in idle.values():
            interpreter.process.close()

    def _pop(self, key: Key) -> Interpreter | None:
        trusted = self._clock.monotonic() - _TRUSTED_IDLE_SECONDS
        with self._lock:
            expired = [i for i, since in self._idle.values() if since < trusted]
            for old in expired:
                del self._idle[id(old)]
            # The one used last is the likeliest to be in the processor's caches.
            found = next((i for i, _ in reversed(self._idle.values()) if i.key == key), None)
            if found is not None:
                del self._idle[id(found)]
        for old in expired:
            old.process.close()
        return found
