"""The program of the child: runs an author's file, builds its pipelines, writes them as JSON.

    python -m headway.loading.child FILE DESCRIPTOR
    → {"files": […], "pipelines": [tree, …], "problems": [{…}]}   (trees: `headway.authoring.wire`)

What the module prints goes to standard error; connections are refused; time and memory are bounded.
An exception of the author's is a problem at the author's own line, and its traceback, without
frames of ours, is printed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

from headway.authoring import pipelines
from headway.authoring.located import Located, located
from headway.authoring.mistakes import AuthoringError
from headway.authoring.pipelines import Pipeline
from headway.authoring.places import Sources
from headway.authoring.wire import encoded
from headway.loading.bounded import MEMORY_BYTES, SECONDS

_OURS = str(Path(__file__).parents[1])
_REFUSED = frozenset(
    {
        *("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"),
        *("socket.getaddrinfo", "socket.gethostbyname"),
    }
)
_SEE_TRACEBACK = "its traceback is printed before"


class OutOfTime(BaseException):
    """The time is over; no `except Exception` of the author's may hold it."""


class Connects(Exception):
    """The module opens a connection while it is read."""


def main(file: str, descriptor: int) -> int:
    """Write what the file defines to the descriptor. Returns the exit status."""
    os.set_inheritable(descriptor, False)
    _bound()
    answer = _Reading(Path(file)).answer()
    signal.setitimer(signal.ITIMER_REAL, 0)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(json.dumps(answer).encode())
    return 0


def _bound() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_AS, _lower(resource.RLIMIT_AS, MEMORY_BYTES))
    except (ValueError, OSError):
        pass  # not every system bounds it; time is bounded all the same
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    sys.addaudithook(_refuse)


def _lower(limit: int, wanted: int) -> tuple[int, int]:
    _, hard = resource.getrlimit(limit)
    return (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)), hard


def _out_of_time(_number: int, _frame: FrameType | None) -> NoReturn:
    raise OutOfTime(f"the file took more than {SECONDS} s to be read")


def _refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in _REFUSED:
        raise Connects("a definition opens no connections while it is read")


class _Reading:
    """One file: what it defines and what is wrong with it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._path = str(file)
        self._root, self._name = _module_of(file)
        self._sources = Sources(_text_of)
        self._problems: list[dict[str, Any]] = []

    def answer(self) -> dict[str, Any]:
        files: list[str] = []
        trees = [encoded(tree, files) for tree in self._trees()]
        if not trees and not self._problems:
            hint = "write a function under @pipeline(team=…, owner=…)"
            self._note(self._path, 1, 1, "empty", "the file defines no pipeline", hint)
        return {"files": files, "pipelines": trees, "problems": self._problems}

    def _trees(self) -> list[Located]:
        module = self._module()
        if module is None:
            return []
        return [tree for each in _own(module) if (tree := self._tree(each)) is not None]

    def _module(self) -> ModuleType | None:
        if not self._name.isidentifier() and "." not in self._name:
            name = (
                self._name
            )  # steps with functions need a name that can be imported; others do not
        elif self._name in sys.stdlib_module_names or self._name in sys.modules:
            message = f"the file's name hides the module `{self._name}`"
            self._note(self._path, 1, 1, "not_importable", message, "rename the file")
            return None
        name = self._name
        sys.path.insert(0, str(self._root))
        sys.argv = [self._path]
        spec = spec_from_file_location(name, self._path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            self._failed(error)
            return None
        return module

    def _tree(self, pipeline: Pipeline) -> Located | None:
        try:
            built = pipeline.assemble()
            tree = located(built.document, self._sources)
        except BaseException as error:
            self._failed(error)
            return None
        for mistake in built.mistakes:
            self._failed(mistake)
        return None if built.mistakes else tree

    def _failed(self, error: BaseException) -> None:
        """Note a mistake at its place, another exception where the author's code raised it."""
        if isinstance(error, AuthoringError):
            place = error.place or self._sources.find(error.where)[0]
            self._note(*place, *error.said)
        elif isinstance(error, SyntaxError) and error.filename is not None:
            message = f"not Python: {error.msg}"
            place = (error.filename, error.lineno or 1, error.offset or 1)
            self._note(*place, "python_syntax", message, "python -m py_compile tells the same")
        elif isinstance(error, OutOfTime | MemoryError | Connects | SystemExit):
            self._note(*self._place_of(error), *_told(error))
        else:
            self._print(error)
            message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self._note(*self._place_of(error), "python_error", message, _SEE_TRACEBACK)

    def _note(
        self, file: str, line: int, column: int, code: str, message: str, hint: str | None
    ) -> None:
        problem = {"file": file, "line": line, "column": column}
        self._problems.append({**problem, "code": code, "message": message[:1000], "hint": hint})

    def _print(self, error: BaseException) -> None:
        story = traceback.TracebackException.from_exception(error)
        chain: traceback.TracebackException | None = story
        while chain is not None:
            chain.stack[:] = [frame for frame in chain.stack if _is_authors(frame.filename)]
            chain = chain.__cause__ or chain.__context__
        sys.stderr.write("".join(story.format()))
        sys.stderr.flush()

    def _place_of(self, error: BaseException) -> tuple[str, int, int]:
        """Return the innermost line of the author's own files; libraries are not the author's."""
        frames = traceback.extract_tb(error.__traceback__)
        inside = [f for f in frames if Path(f.filename).is_relative_to(self._root)]
        own = [f for f in inside if "site-packages" not in f.filename and _is_authors(f.filename)]
        if not own:
            return self._path, 1, 1
        last = own[-1]
        return last.filename, last.lineno or 1, (last.colno or 0) + 1


def _told(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, OutOfTime):
        return "took_too_long", str(error), "build the pipeline without working on its data"
    if isinstance(error, MemoryError):
        limit = MEMORY_BYTES // 1024**2
        return "out_of_memory", f"the file took more than {limit} MiB to be read", "keep data out"
    if isinstance(error, Connects):
        return "connects", str(error), "move it into a step"
    hint = 'call it under `if __name__ == "__main__":`'
    return "python_error", "the module ends the interpreter while it is read", hint


def _own(module: ModuleType) -> list[Pipeline]:
    """Return the pipelines that the module made, or holds under a name, in order."""
    held = [each for each in vars(module).values() if isinstance(each, Pipeline)]
    made = [each for each in pipelines.made if each.__module__ == module.__name__]
    ordered = [each for each in pipelines.made if each in made or each in held]
    return list(dict.fromkeys(ordered))


def _module_of(file: Path) -> tuple[Path, str]:
    """Return the folder to import from and the module's name, as a worker will know them.

    The folder is the nearest above the file that is no package.
    """
    absolute = file.absolute()
    parts = [] if absolute.stem == "__init__" else [absolute.stem]
    folder = absolute.parent
    while (folder / "__init__.py").exists() and folder != folder.parent:
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _is_authors(file: str) -> bool:
    return not file.startswith((_OURS, "<frozen "))


def _text_of(file: str) -> str | None:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


if __name__ == "__main__":
    status = main(sys.argv[1], int(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads and exit handlers of the author's are not waited for
