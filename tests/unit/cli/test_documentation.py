"""docs/cli.md and the commands say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from headway.cli.catalogue import CATALOGUE

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
EVERYWHERE = {"--help", "-h"}


def commands() -> dict[str, Any]:
    """Every command by its full name, such as `headway runs list`."""
    app = typer.Typer()
    app.callback()(lambda: None)
    for entry in {entry.target: entry for entry in CATALOGUE}.values():
        entry.load()(app)
    return dict(_leaves("headway", typer.main.get_group(app)))


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if not below:
        yield path, command
        return
    if getattr(command, "invoke_without_command", False) and command.params:
        yield path, command
    for name, each in below.items():
        yield from _leaves(f"{path} {name}", each)


def documented() -> dict[str, str]:
    """Each section about a command, by the command's name without its arguments."""
    sections = re.split(r"^### `(headway [a-z ]+[a-z]).*`$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2], strict=True))


def options_of(command: Any) -> set[str]:
    named = [p.opts for p in command.params if p.param_type_name == "option"]
    return {name for names in named for name in names} - EVERYWHERE


def test_every_command_has_its_section_and_no_other_has() -> None:
    assert documented().keys() == commands().keys()


def test_every_option_is_told_and_no_other() -> None:
    told = {name: options_told(text) for name, text in documented().items()}
    assert told == {name: options_of(command) for name, command in commands().items()}


def options_told(section: str) -> set[str]:
    """The options in the first column of the section's table."""
    rows = re.findall(r"^\| ([^|]*) \|", section, flags=re.MULTILINE)
    return {option for row in rows for option in re.findall(r"`(-[^` ]+)`", row)}


def test_every_command_says_what_it_does() -> None:
    silent = [name for name, command in commands().items() if not command.help]
    assert not silent
