"""A warm interpreter: runs functions of a team's code, one call after the other.

Started by the worker with the team's own interpreter, in which nothing of Headway need be
installed: standard library only, and syntax that Python 3.8 understands. Calls arrive as
length-prefixed JSON on descriptor 3; standard output and error belong to the code that is called.

    {"call": "module:function", "with": {…}, "env": {…}, "cwd": "…", "path": "code folder"}
    → {"ok": {…}} | {"error": {"code", "message", "traceback", "exit"}} | {"stale": true}

A function under `@step` is called as it stands below that decorator, with the values that its
annotations name. Where Headway is not installed, `stub/headway.py` answers the import.

A reply has `left: true` if the call left processes or threads behind: this interpreter is then to
be ended, as what they write would stand in the log of the next call.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
import types
from typing import Any, Dict, List, Optional, Tuple

IDLE_SECONDS = 60
_FRAME = struct.Struct("!I")
_TRACEBACK_LIMIT = 32 * 1024
_HERE = os.path.dirname(os.path.abspath(__file__))
_Reply = Dict[str, Any]


def main() -> int:
    """Serve calls until the worker hangs up or nothing came for a minute."""
    talk = socket.socket(fileno=3)
    talk.set_inheritable(False)
    del sys.path[0]  # this file's own folder
    sys.path.append(os.path.join(_HERE, "stub"))  # the last: an installed headway is found before
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    loaded = Loaded()
    own = Own()
    pid = os.getpid()
    while select.select([talk], [], [], IDLE_SECONDS)[0]:
        request = _receive(talk)
        if request is None:
            break
        own.restore()
        reply = _perform(request, loaded)
        _flush()
        if os.getpid() != pid:
            os._exit(1)  # the code forked and its child came back here
        if _has_children() or _has_threads():
            reply["left"] = True
        payload = json.dumps(reply).encode()
        talk.sendall(_FRAME.pack(len(payload)) + payload)
    return 0


class Own:
    """What a call may change in the process itself, as it was before the first one."""

    def __init__(self) -> None:
        self._path = list(sys.path)
        self._umask = os.umask(0o077)
        os.umask(self._umask)

    def restore(self) -> None:
        sys.path[:] = self._path
        os.umask(self._umask)
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)


class Loaded:
    """The code folder's files that are imported, and whether they are still what was read."""

    def __init__(self) -> None:
        self._modules = 0
        self._files: Dict[str, Optional[Tuple[int, int]]] = {}

    def note(self, folder: str) -> None:
        """Remember the files that the last call imported."""
        if len(sys.modules) == self._modules:
            return
        self._modules = len(sys.modules)
        inside = os.path.join(folder, "")
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and path.startswith(inside) and path not in self._files:
                self._files[path] = _stamp(path)

    def is_stale(self) -> bool:
        """Say whether a file was changed since; the edited code needs a new interpreter."""
        return any(_stamp(path) != stamp for path, stamp in self._files.items())


def _stamp(path: str) -> Optional[Tuple[int, int]]:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _perform(request: Dict[str, Any], loaded: Loaded) -> _Reply:
    if loaded.is_stale():
        return {"stale": True}
    _settle(request)
    try:
        function = _find(request["call"])
    except BaseException as error:
        return _refused(error, "import_error", f"cannot import {request['call']}: ")
    finally:
        loaded.note(request["path"])
    given = request["with"]
    try:
        step = getattr(function, "__headway_function__", None)
        if step is not None:
            function, given = step, _beside("arguments").typed(step, given)
    except ValueError as error:
        return _error("bad_arguments", f"{request['call']}: {error}")
    try:
        result = function(**given)
        if isinstance(result, types.CoroutineType):
            import asyncio

            result = asyncio.run(result)
        if step is not None:
            result = _beside("arguments").plain(result)
    except SystemExit as error:
        return _left(error)
    except BaseException as error:
        return _raised(error, request["call"])
    finally:
        loaded.note(request["path"])
    return _result(result)


def _settle(request: Dict[str, Any]) -> None:
    """Give the call its own environment, folder and import path, whatever the last one did."""
    zone = os.environ.get("TZ")
    os.environ.clear()
    os.environ.update(request["env"])
    if os.environ.get("TZ") != zone:
        import time

        time.tzset()
    os.chdir(request["cwd"])
    sys.path.insert(0, request["path"])
    sys.argv = [request["call"]]


def _find(call: str) -> Any:
    module, _, name = call.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{call} is not a function")
    return found


def _beside(name: str) -> Any:
    """Import a file of this folder under a name that no module of the team's has."""
    full = "_headway_" + name
    if full not in sys.modules:
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location(full, os.path.join(_HERE, name + ".py"))
        assert spec is not None and spec.loader is not None  # noqa: PT018
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[full] = module
    return sys.modules[full]


def _result(result: Any) -> _Reply:
    if result is None:
        return {"ok": {}}
    if not isinstance(result, dict) or not all(isinstance(key, str) for key in result):
        kind = "a mapping with keys that are not text"
        if not isinstance(result, dict):
            kind = type(result).__name__
        return _error("bad_output", f"returned {kind}; a step returns a mapping of names or None")
    try:
        json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return _error("bad_output", f"returned what is not JSON: {error}")
    return {"ok": result}


def _left(error: SystemExit) -> _Reply:
    code = error.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    number = code if isinstance(code, int) else 0
    return _error("exit_status", f"called sys.exit({number}) instead of returning", exit=number)


def _raised(error: BaseException, call: str) -> _Reply:
    at_call = error.__traceback__ and error.__traceback__.tb_next is None
    if isinstance(error, TypeError) and at_call:
        return _error("bad_arguments", f"{call} does not take these arguments: {error}")
    return _refused(error, "exception", "")


def _refused(error: BaseException, code: str, prefix: str) -> _Reply:
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    lines = traceback.format_exception(type(error), error, _past_import(frames))
    story = "".join(lines)[-_TRACEBACK_LIMIT:]
    sys.stderr.write(story)
    return _error(code, prefix + lines[-1].strip(), traceback=story)


def _past_import(frames: Optional[types.TracebackType]) -> Optional[types.TracebackType]:
    """Skip our own frames and the import system's, so that the story begins in the team's code."""
    own = (__file__, importlib.__file__)
    while frames is not None and (
        frames.tb_frame.f_code.co_filename in own
        or frames.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    ):
        frames = frames.tb_next
    return frames


def _error(code: str, message: str, **more: Any) -> _Reply:
    return {"error": {"code": code, "message": message, **more}}


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the code closed it


def _has_children() -> bool:
    """Say whether a process is below us; as a subreaper we also inherit the daemons."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _has_threads() -> bool:
    """Say whether Python code runs beside us, as in an executor that was never shut down."""
    threading = sys.modules.get("threading")
    return threading is not None and len(threading.enumerate()) > 1


def _receive(talk: socket.socket) -> Optional[Dict[str, Any]]:
    header = _exactly(talk, _FRAME.size)
    payload = _exactly(talk, _FRAME.unpack(header)[0]) if header else None
    if payload is None:
        return None
    request: Dict[str, Any] = json.loads(payload)
    return request


def _exactly(talk: socket.socket, size: int) -> Optional[bytes]:
    parts: List[bytes] = []
    while size:
        part = talk.recv(size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    status = main()
    _flush()
    os._exit(status)  # an ordinary end would wait for threads that a call has left behind
