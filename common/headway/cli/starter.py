"""`headway init`: a folder with a first pipeline that runs as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headway.cli.arguments import JsonOption
from headway.cli.printing import print_document
from headway.errors import ConflictError, DefinitionError

PIPELINE = """\
# A first pipeline: one shell step, one Python step, and what happens at the end in any case.
# Try it here, without a server:   headway run pipeline.yaml --local -p name=Ada
headway: 1
pipeline: hello
team: demo
owner: you@example.com        # who is told when it fails

code: {path: .}               # where count.py and greet.sh lie, below the worker's code folder

params:
  name: {type: string, default: world, description: Who is greeted.}

steps:
  greet:
    run: sh greet.sh          # values come by env, never by text in the command
    env: {NAME: "${{ params.name }}"}
    outputs: {greeting: string}
    timeout: 1m

  count:
    needs: [greet]
    python: count:letters     # the function `letters` in count.py; its arguments come by `with`
    with: {text: "${{ steps.greet.outputs.greeting }}"}
    outputs: {letters: int}
    retry: 2                  # two more attempts if it fails

  praise:
    needs: [count]
    if: steps.count.outputs.letters > 10    # an expression; false skips the step
    run: echo "That is a long greeting."

finally:
  tidy: {run: echo done}      # runs when all others have ended, however they ended
"""
MODULE = '''\
"""Steps in Python: a plain function; the mapping that it returns gives the outputs."""


def letters(text: str) -> dict:
    print(f"counting the letters of {text!r}")
    return {"letters": sum(character.isalpha() for character in text)}
'''
SCRIPT = """\
# A shell step: it writes its outputs as name=value lines to the file $HEADWAY_OUTPUT.
echo "greeting $NAME"
echo "greeting=Hello, $NAME!" >> "$HEADWAY_OUTPUT"
"""
FILES = {"pipeline.yaml": PIPELINE, "count.py": MODULE, "greet.sh": SCRIPT}


def register(app: typer.Typer) -> None:
    app.command("init", help="Make a first pipeline that runs.")(init)


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The folder; this one otherwise.")
    ] = Path(),
    json: JsonOption = False,
) -> int:
    """Write pipeline.yaml, count.py and greet.sh; nothing that is there is replaced."""
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        message = f"{folder / there[0]} is there already; nothing was written"
        raise ConflictError("exists", message, "give another folder: headway init DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"cannot write {error.filename}: {error.strerror}"
        raise DefinitionError(message, code="unwritable_file") from error
    if json:
        print_document({"files": [str(folder / name) for name in FILES]})
        return 0
    print("\n".join(f"wrote {folder / name}" for name in FILES))
    print("\nNow:")
    if folder != Path():
        print(f"  cd {folder}")
    print("  headway plan pipeline.yaml           see what it would do")
    print("  headway run pipeline.yaml --local    run it here, without a server")
    print("  headway up pipeline.yaml             run it on a whole Headway, with pages")
    return 0
