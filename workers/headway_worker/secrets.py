"""Secrets' values put where a step's definition refers to them; only in the worker's memory."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any
from urllib.parse import quote

from headway.protocol.messages import SecretUse, Work
from headway.spec.secrets import PREFIX

_URL = ["http", "url"]


class MissingSecretError(Exception):
    """Work refers to a secret whose value did not come with its claim, or refers to it wrongly."""


def filled(work: Work, values: Mapping[str, str]) -> Work:
    """Return the work with each reference replaced by its secret's value.

    Within an address a value is URL-encoded; one that is the whole address is taken as it is.

    Raises:
        MissingSecretError: a value is missing, or a use does not point to a reference.
    """
    if not work.secrets:
        return work
    body = copy.deepcopy(work.body)
    uses = sorted(work.secrets, key=lambda use: ([str(part) for part in use.at], use.start))
    for path, group in groupby(uses, key=lambda use: use.at):
        _fill(body, path, group, values)
    return work.model_copy(update={"body": body})


def _fill(
    body: Any, path: list[str | int], uses: Iterable[SecretUse], values: Mapping[str, str]
) -> None:
    try:
        holder = body
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = _text(holder[path[-1]], path, uses, values)
    except (AttributeError, KeyError, IndexError, TypeError):
        raise MissingSecretError(f"no text at {'.'.join(map(str, path))}") from None


def _text(
    text: str, path: list[str | int], uses: Iterable[SecretUse], values: Mapping[str, str]
) -> str:
    parts, place = [], 0
    for use in uses:
        reference = PREFIX + use.name
        if not text.startswith(reference, use.start) or use.start < place:
            raise MissingSecretError(f"no {reference} at {'.'.join(map(str, path))}")
        if use.name not in values:
            raise MissingSecretError(f"the value of {reference} did not come")
        value = values[use.name]
        whole = text == reference
        parts += [text[place : use.start], value if whole or path != _URL else quote(value, "")]
        place = use.start + len(reference)
    return "".join([*parts, text[place:]])
