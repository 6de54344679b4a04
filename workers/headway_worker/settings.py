"""What a worker is told: by options of its command, else by the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from headway.broker_address import check, redacted
from headway.crash_points import CrashAt
from headway.errors import DefinitionError
from headway.expressions.durations import parse_duration
from headway.listening import checked
from headway.outgoing.addresses import LOOPBACK, Allowed
from headway.protocol.queues import step_queue
from headway.settings import checked_url, token_in, without_password

S = TypeVar("S", bound=BaseSettings)

# Flower splits at commas, and at the first colon.
_USER_AND_PASSWORD = re.compile(r"[^\s,:]+:[^\s,]{12,}")


def _state_folder() -> Path:
    return Path.home() / ".local" / "state" / "headway"


class BrokerSettings(BaseSettings):
    """What Flower and the import of the Celery app need: no more than an address."""

    model_config = SettingsConfigDict(env_prefix="HEADWAY_", frozen=True, extra="ignore")

    broker_url: str = Field(default="redis://127.0.0.1:6379/0", description="The broker's address.")


class FlowerSettings(BrokerSettings):
    """What `headway flower` is told."""

    broker_url: str = Field(description="The broker's address.")
    flower_listen: str = Field(
        default="127.0.0.1:5555",
        description="Address and port of Flower's pages.",
    )
    flower_auth: SecretStr | None = Field(
        default=None, description="Who may look, as `user:password`; the password of 12 or more."
    )
    flower_auth_file: Path | None = Field(
        default=None, description="A file that holds `user:password`, instead of the above."
    )

    @field_validator("broker_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return check(value)

    @field_validator("flower_listen")
    @classmethod
    def _can_be_listened_on(cls, value: str) -> str:
        return checked(value)

    def sign_in(self) -> str:
        """Return `user:password`.

        Raises:
            DefinitionError: there is none, its file cannot be read, or the password is too short.
        """
        text = self.flower_auth.get_secret_value() if self.flower_auth else ""
        if not text and self.flower_auth_file is not None:
            try:
                text = self.flower_auth_file.read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                raise _no_sign_in(f"HEADWAY_FLOWER_AUTH_FILE cannot be read: {error}") from error
        if not text:
            raise _no_sign_in("Flower needs a user and a password: HEADWAY_FLOWER_AUTH is not set")
        if not _USER_AND_PASSWORD.fullmatch(text):
            raise _no_sign_in(
                "HEADWAY_FLOWER_AUTH is no `user:password` with a password of 12 or more"
                " characters, and no comma or space"
            )
        return text


def _no_sign_in(message: str) -> DefinitionError:
    hint = (
        "HEADWAY_FLOWER_AUTH=headway:$(python3 -c 'import secrets; print(secrets.token_hex(16))')"
    )
    return DefinitionError(message, code="invalid_settings", hint=hint)


class HttpSettings(BaseSettings):
    """What `http` steps may reach."""

    model_config = SettingsConfigDict(env_prefix="HEADWAY_", frozen=True, extra="ignore")

    http_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="What `http` steps may reach besides public addresses, comma-separated: "
        "addresses, networks, host names, `*.` and a domain.",
    )

    @field_validator("http_allow", mode="before")
    @classmethod
    def _allowances(cls, value: Any) -> Any:
        return _listed(value)

    @field_validator("http_allow")
    @classmethod
    def _is_allowance(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Allowed.parse(value)
        return value

    def reachable(self) -> Allowed:
        """Return the allowances in the form that requests are checked with."""
        return Allowed.parse(self.http_allow)


class LocalSettings(HttpSettings):
    """What the worker of `headway run --local` is told: it runs its user's own steps, at home."""

    http_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=LOOPBACK, description="As for a worker; loopback if nothing is said."
    )


class WorkerSettings(HttpSettings):
    """The settings of one worker process."""

    broker_url: str = Field(
        description="Where step messages come from and completions go: `redis://…`, `rediss://…`, "
        "`sentinel://…` or `amqp://…`."
    )
    api_url: Annotated[tuple[str, ...], NoDecode] = Field(
        min_length=1,
        description="Addresses of the coordinators' API, comma-separated; tried in turn.",
    )
    token: SecretStr = Field(description="The team's worker token.")
    token_file: Path | None = Field(
        default=None, description="A file that holds the token, instead of HEADWAY_TOKEN."
    )
    state_dir: Path = Field(
        default_factory=_state_folder,
        description="Spool, journal and identity live in a folder `worker-N` below, locked.",
    )
    team: str | None = Field(
        default=None,
        description="The token says whose steps run here; a team given must be that one.",
    )
    classes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("default",),
        min_length=1,
        description="Resource classes whose queues are consumed.",
    )
    slots: int = Field(default=4, ge=1, le=1000, description="How many steps run at the same time.")
    code: Path = Field(
        default_factory=Path.cwd, description="Where code lies, for pipelines that do not say."
    )
    drain_timeout: timedelta = Field(
        default=timedelta(seconds=30),
        description="How long running steps may go on after a request to end.",
    )
    pass_env: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names of the worker's own variables that steps shall see, comma-separated.",
    )
    deaf_after: timedelta = Field(
        default=timedelta(seconds=60),
        ge=timedelta(seconds=1),
        description="How long a worker may fail to hear itself through the broker; then it ends.",
    )
    metrics_listen: str = Field(
        default="", description="`host:port` where metrics are served; none are when it is empty."
    )
    spool_limit_bytes: int = Field(
        default=1 << 30,
        ge=1 << 20,
        description="Completions kept while nobody takes them; claims stop at 80 % of it.",
    )

    crash_at: str | None = Field(
        default=None,
        description="For tests: POINT:before|after:N, where this process dies at once.",
    )

    @model_validator(mode="before")
    @classmethod
    def _token_of_file(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("token_file") and not given.get("token"):
            return {**given, "token": token_in(Path(given["token_file"]))}
        return given

    @field_validator("api_url", "classes", "pass_env", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return _listed(value)

    @field_validator("drain_timeout", "deaf_after", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        """Take seconds, or a duration with its unit as in definitions."""
        if not isinstance(value, str):
            return value
        try:
            return timedelta(seconds=float(value))
        except ValueError:
            return parse_duration(value)

    @field_validator("broker_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return check(value)

    @field_validator("metrics_listen")
    @classmethod
    def _can_be_listened_on(cls, value: str) -> str:
        return checked(value) if value else value

    @field_validator("api_url")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_url(url) for url in value)

    @field_validator("crash_at")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        return None if value is None else str(CrashAt.parse(value))

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
        shown["broker_url"] = redacted(self.broker_url)
        shown["api_url"] = [without_password(url) for url in self.api_url]
        return shown


def loaded(kind: type[S], given: Mapping[str, Any]) -> S:
    """Return settings. Raises DefinitionError (`invalid_settings`) that names each wrong one."""
    try:
        return kind(**given)
    except ValidationError as error:
        wrong = [
            f"HEADWAY_{str(problem['loc'][0]).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise DefinitionError(
            "; ".join(wrong), code="invalid_settings", hint="see docs/settings.md"
        ) from error


def _listed(value: Any) -> Any:
    """Return the parts of a text with commas; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value
