"""What a coordinator can be told by its environment. Only this module reads it."""

from __future__ import annotations

import hashlib
import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from headway.broker_address import check, redacted
from headway.crash_points import CrashAt
from headway.errors import DefinitionError
from headway.expressions.durations import parse_duration
from headway.listening import checked, host_and_port
from headway.outgoing.addresses import Allowed

_KEY_BYTES = 16


class CoordinatorSettings(BaseSettings):
    """Settings of the engine and the API; every field is `HEADWAY_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="HEADWAY_", frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        description="The database that is the truth: postgresql://… or sqlite:///path."
    )
    broker_url: SecretStr = Field(
        description="The Celery broker: redis://…, rediss://…, sentinel://… or amqp://…."
    )
    store_url: str = Field(
        default_factory=lambda: f"file://{Path('.headway/store').absolute()}",
        description="Where artifacts and logs are kept: file://… or s3://….",
    )
    secret_key: SecretStr | None = Field(
        None, description="Derives completion tokens and signs sessions; the same everywhere."
    )
    secret_key_file: Path | None = Field(
        None, description="A file that holds the secret key, instead of HEADWAY_SECRET_KEY."
    )
    former_secret_keys: SecretStr | None = Field(
        None, description="Secret keys before this one, with commas; only secrets are read by them."
    )
    listen: str = Field("127.0.0.1:8470", description="Address and port of the API.")
    metrics_listen: str = Field(
        "127.0.0.1:0", description="Address and port of /metrics; port 0 takes a free one."
    )
    api_metrics_listen: str = Field(
        "127.0.0.1:0", description="Address and port of the API process's own /metrics."
    )
    api_url: str | None = Field(
        None, description="Where this coordinator finds an API to watch; default: its own."
    )
    holder: str = Field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}",
        description="This coordinator's name in the lease.",
    )
    lease_term: timedelta = Field(
        timedelta(seconds=9), description="How long leadership lasts without renewal."
    )
    worker_lease: timedelta = Field(
        timedelta(seconds=60), description="How long an attempt lasts without its worker's word."
    )
    heartbeat: timedelta = Field(timedelta(seconds=3), description="How often workers report.")
    claim_deadline: timedelta = Field(
        timedelta(seconds=10), description="When an unclaimed dispatch is looked after."
    )
    expression_budget: timedelta = Field(
        timedelta(milliseconds=500), description="How much processor time one expression may take."
    )
    notify_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="What notifications may reach besides public addresses, comma-separated: "
        "addresses, networks, host names, `*.` and a domain.",
    )
    event_retention: timedelta = Field(
        timedelta(days=30), description="How long events are kept that were decided."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error."
    )
    metrics_file: Path | None = Field(
        None, description="Where to write the metrics address that was taken, for port 0."
    )

    crash_at: str | None = Field(
        None, description="For tests: POINT:before|after:N, where this process dies at once."
    )

    @field_validator(
        "lease_term",
        "worker_lease",
        "heartbeat",
        "claim_deadline",
        "expression_budget",
        "event_retention",
        mode="before",
    )
    @classmethod
    def _duration(cls, value: Any) -> Any:
        """Take seconds, or a duration with its unit as in definitions."""
        if not isinstance(value, str):
            return value
        try:
            return timedelta(seconds=float(value))
        except ValueError:
            return parse_duration(value)

    @field_validator("notify_allow", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("notify_allow")
    @classmethod
    def _is_allowance(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Allowed.parse(value)
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("listen", "metrics_listen", "api_metrics_listen")
    @classmethod
    def _can_be_listened_on(cls, value: str) -> str:
        return checked(value)

    @field_validator("worker_lease", "heartbeat", "claim_deadline", "expression_budget")
    @classmethod
    def _is_some_time(cls, value: timedelta) -> timedelta:
        if value <= timedelta():
            raise ValueError("it must be more than 0")
        return value

    @field_validator("broker_url")
    @classmethod
    def _is_address(cls, value: SecretStr) -> SecretStr:
        check(value.get_secret_value())
        return value

    @field_validator("crash_at")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        return None if value is None else str(CrashAt.parse(value))

    @model_validator(mode="after")
    def _fits(self) -> CoordinatorSettings:
        if self.lease_term < timedelta(seconds=1):
            raise ValueError("HEADWAY_LEASE_TERM must be at least one second")
        if self.worker_lease < 3 * self.heartbeat:
            raise ValueError("HEADWAY_WORKER_LEASE must be at least three heartbeats")
        if self.event_retention < timedelta(hours=1):
            raise ValueError("HEADWAY_EVENT_RETENTION must be at least one hour")
        if self.secret_key is None and self.secret_key_file is None:
            raise ValueError("set HEADWAY_SECRET_KEY or HEADWAY_SECRET_KEY_FILE")
        return self

    def key(self) -> bytes:
        """Return the secret key.

        Raises:
            DefinitionError: it is shorter than 16 characters, or its file cannot be read.
        """
        return _key(self.secret_key, self.secret_key_file)

    def former_keys(self) -> list[bytes]:
        """Return the keys that secrets may still be encrypted under.

        Raises:
            DefinitionError: one is shorter than 16 characters.
        """
        given = self.former_secret_keys
        texts = given.get_secret_value().split(",") if given else []
        return [_key(SecretStr(text.strip()), None) for text in texts if text.strip()]

    def watched_api(self) -> str:
        """Return the address at which the engine finds an API to watch."""
        if self.api_url:
            return self.api_url.split(",")[0].strip()
        host, port = host_and_port(self.listen)
        if host in ("0.0.0.0", "::"):
            host = "127.0.0.1"
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def notifiable(self) -> Allowed:
        """Return what notifications may reach, in the form that requests are checked with."""
        return Allowed.parse(self.notify_allow)

    def redacted(self) -> dict[str, Any]:
        """Return the settings for a log line: no password, and of the key only a short digest."""
        shown: dict[str, Any] = {}
        for name, value in self:
            if isinstance(value, SecretStr):
                text = value.get_secret_value()
                shown[name] = _SHOWN.get(name, redacted_url)(text)
            elif value is not None:
                shown[name] = value if isinstance(value, int | float | bool) else str(value)
        return shown


class DoctorSettings(BaseSettings):
    """What `headway doctor` takes of a coordinator's settings, where this machine has them."""

    model_config = SettingsConfigDict(env_prefix="HEADWAY_", frozen=True, extra="ignore")

    database_url: SecretStr | None = Field(
        default=None, description="The database to examine from here."
    )
    broker_url: SecretStr | None = Field(
        default=None, description="The broker to examine from here."
    )
    secret_key: SecretStr | None = Field(
        default=None, description="The secret key, to compare it with the coordinators' own."
    )
    secret_key_file: Path | None = Field(
        default=None, description="A file that holds the secret key."
    )

    def key(self) -> bytes | None:
        """Return the secret key; None where this machine has none.

        Raises:
            DefinitionError: it is shorter than 16 characters, or its file cannot be read.
        """
        if self.secret_key is None and self.secret_key_file is None:
            return None
        return _key(self.secret_key, self.secret_key_file)


def _key(given: SecretStr | None, file: Path | None) -> bytes:
    if given is not None:
        text = given.get_secret_value()
    else:
        assert file is not None
        try:
            text = file.read_text().strip()
        except OSError as error:
            raise DefinitionError(
                f"HEADWAY_SECRET_KEY_FILE cannot be read: {error}", code="invalid_settings"
            ) from error
    if len(text) < _KEY_BYTES:
        raise DefinitionError(
            f"the secret key has {len(text)} characters; it needs at least {_KEY_BYTES}",
            code="invalid_settings",
            hint='make one with: python3 -c "import secrets; print(secrets.token_hex(32))"',
        )
    return text.encode()


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:8]


def redacted_url(url: str) -> str:
    """Return `url` with its password as `***`."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    netloc = parts.netloc.replace(f":{parts.password}@", ":***@")
    return urlunsplit(parts._replace(netloc=netloc))


_SHOWN = {"secret_key": _digest, "former_secret_keys": _digest, "broker_url": redacted}


def load_settings(**overrides: Any) -> CoordinatorSettings:
    """Return the settings from the environment.

    Raises:
        DefinitionError: one is missing or makes no sense; names the variable.
    """
    from pydantic import ValidationError

    given = {k: v for k, v in overrides.items() if v is not None}
    try:
        return CoordinatorSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = "_".join(str(part) for part in first["loc"]).upper()
        name = f"HEADWAY_{where}: " if where else ""
        message = f"{name}{first['msg'].removeprefix('Value error, ')}"
        raise DefinitionError(
            message, code="invalid_settings", hint="see docs/settings.md"
        ) from error


def child_environment(**values: str) -> dict[str, str]:
    """Return this process's environment with `values` laid over it, for child processes."""
    return {**os.environ, **values}
