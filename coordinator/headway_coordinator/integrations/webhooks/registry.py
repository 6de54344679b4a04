"""The webhook sources by the name that addresses and definitions give them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from headway_coordinator.integrations.webhooks import (
    alertmanager,
    cdevents,
    docker_registry,
    generic,
    github,
    gitlab,
    jenkins,
    s3,
    standard_webhooks,
)
from headway_coordinator.triggers.hooks import Source

_ALL = (
    github.SOURCE,
    gitlab.SOURCE,
    jenkins.SOURCE,
    alertmanager.SOURCE,
    docker_registry.SOURCE,
    s3.SOURCE,
    cdevents.SOURCE,
    standard_webhooks.SOURCE,
    generic.SOURCE,
)
SOURCES: Final[Mapping[str, Source]] = MappingProxyType({each.name: each for each in _ALL})
