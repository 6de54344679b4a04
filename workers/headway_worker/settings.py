"""What a worker is told: by options of its command, else by the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from headway.protocol.queues import step_queue


def _state_folder() -> Path:
    return Path.home() / ".local" / "state" / "headway"


class BrokerSettings(BaseSettings):
    """What Flower and the import of the Celery app need: no more than an address."""

    model_config = SettingsConfigDict(env_prefix="HEADWAY_", frozen=True, extra="ignore")

    #: The broker's address.
    broker_url: str = "redis://127.0.0.1:6379/0"


class WorkerSettings(BaseSettings):
    """The settings of one worker process."""

    model_config = SettingsConfigDict(env_prefix="HEADWAY_", frozen=True, extra="ignore")

    #: Where step messages come from and completions go: `redis://…` or `amqp://…`.
    broker_url: str
    #: Addresses of the coordinator's API, comma-separated; the next one is tried when one fails.
    api_url: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)]
    #: The team's worker token.
    token: SecretStr
    #: Spool, journal and identity live in a `worker-N` folder below; the worker locks it.
    state_dir: Path = Field(default_factory=_state_folder)
    #: The token says whose steps run here; a team given must be that one.
    team: str | None = None
    #: Resource classes whose queues are consumed.
    classes: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = ("default",)
    #: How many steps run at the same time.
    slots: Annotated[int, Field(ge=1, le=1000)] = 4
    #: Where code lies, for pipelines that do not say.
    code: Path = Field(default_factory=Path.cwd)
    #: How long running steps may go on after a request to end.
    drain_timeout: timedelta = timedelta(seconds=30)
    #: Names of the worker's own environment variables that steps shall see, comma-separated.
    pass_env: Annotated[tuple[str, ...], NoDecode] = ()
    #: `host:port` where metrics are served; none are when it is empty.
    metrics_listen: str = ""
    #: Completions kept while nobody takes them; claims stop at 80 % of it.
    spool_limit_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30

    @field_validator("api_url", "classes", "pass_env", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("code", "state_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    def queues(self, team: str) -> list[str]:
        """Return the names of the queues to consume."""
        return [step_queue(team, name) for name in self.classes]

    def redacted(self) -> dict[str, Any]:
        """Return the settings as they may be shown: no token, no password."""
        shown = self.model_dump(mode="json")
        shown["broker_url"] = without_password(self.broker_url)
        shown["api_url"] = [without_password(url) for url in self.api_url]
        return shown


def without_password(url: str) -> str:
    """Return the URL with its password starred out."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user = f"{parts.username or ''}:***@"
    return urlunsplit(parts._replace(netloc=user + parts.netloc.rpartition("@")[2]))
