"""The documents agree with the code and with each other."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

from pydantic_settings import BaseSettings

from tests.architecture.repository import PACKAGES, ROOT, text_of, tracked


def settings_classes() -> Iterator[type[BaseSettings]]:
    """Yield each settings class of the three packages, found in modules called `settings`."""
    for package, folder in PACKAGES.items():
        for module in pkgutil.walk_packages([str(folder)], f"{package}."):
            if module.name.endswith(".settings"):
                held = vars(importlib.import_module(module.name)).values()
                yield from (each for each in held if is_own_settings(each, module.name))


def is_own_settings(value: object, module: str) -> bool:
    return (
        isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module
    )


def variables(settings: type[BaseSettings]) -> Iterator[str]:
    """Yield the environment variable of each field."""
    prefix = settings.model_config.get("env_prefix") or ""
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        yield (alias if isinstance(alias, str) else f"{prefix}{name}").upper()


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"`(HEADWAY_[A-Z_]+)`", page))
    wanted = {name: each.__name__ for each in settings_classes() for name in variables(each)}
    missing = {name: owner for name, owner in wanted.items() if name not in documented}
    assert wanted, "no settings class was found"
    assert not missing, "each needs a row in docs/settings.md"


def test_every_field_of_the_settings_explains_itself() -> None:
    bare = [
        f"{each.__name__}.{name}"
        for each in settings_classes()
        for name, field in each.model_fields.items()
        if not field.description
    ]
    assert not bare, "give it Field(description=…)"


def test_links_lead_somewhere() -> None:
    pages = [name for name in tracked() if name.suffix == ".md"]
    lost = [
        f"{page}: {target}"
        for page in pages
        for target in local_links(text_of(page) or "")
        if not (ROOT / page.parent / target).exists()
    ]
    assert pages, "no page was found"
    assert not lost


def local_links(text: str) -> list[str]:
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [each.split("#")[0] for each in targets if "://" not in each and each[0] != "#"]


def test_decisions_are_numbered_once() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in names), names
    numbers = [name[:4] for name in names]
    assert len(set(numbers)) == len(numbers), names


def test_every_make_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    explained = re.findall(r"^([a-z]+):.*## \S", makefile, flags=re.MULTILINE)
    assert sorted(explained) == sorted(phony.split())
