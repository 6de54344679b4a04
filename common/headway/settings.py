"""The settings of a client: where the coordinator is, and who is asking."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from headway.errors import DefinitionError

DEFAULT_API_URL = "http://127.0.0.1:8470"


class ClientSettings(BaseSettings):
    """What the `headway` command and other clients take from the environment."""

    model_config = SettingsConfigDict(env_prefix="HEADWAY_", frozen=True, extra="ignore")

    api_url: str | None = Field(
        default=None,
        description="Addresses of the coordinators' API, comma-separated; the next one is asked "
        "when one does not answer.",
    )
    token: SecretStr | None = Field(
        default=None, description="The token that says who is asking; it begins with hw_."
    )
    token_file: Path | None = Field(
        default=None, description="A file that holds the token, instead of HEADWAY_TOKEN."
    )
    state_dir: Path = Field(
        default=Path(".headway"),
        description="The folder in which `headway up` leaves the address and token of its stack.",
    )


def connection(settings: ClientSettings) -> tuple[tuple[str, ...], str | None]:
    """Return the addresses to ask and the token to show.

    What `headway up` left in the state folder is taken as a pair and only where nothing else was
    said: its token never goes to another address, and no other token goes to its address.

    Raises:
        DefinitionError: the file that HEADWAY_TOKEN_FILE names cannot be read, or is empty; or
            HEADWAY_API_URL is no address.
    """
    token = settings.token.get_secret_value() if settings.token else None
    if token is None and settings.token_file is not None:
        token = token_in(settings.token_file)
    local_url, local_token = _left_by_up(settings.state_dir / "credentials.json")
    if token is None and local_url and settings.api_url in (None, "", local_url):
        return (local_url,), local_token
    return _addresses(settings.api_url or DEFAULT_API_URL), token


def token_in(file: Path) -> str:
    """Return the token that a file holds.

    Raises:
        DefinitionError: it cannot be read, or is empty.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise _no_token(f"HEADWAY_TOKEN_FILE: cannot read {file}: {reason}") from error
    if not text:
        raise _no_token(f"HEADWAY_TOKEN_FILE: {file} is empty")
    return text


def _no_token(message: str) -> DefinitionError:
    hint = "make one with `headway db token … --save FILE`, or with `headway token create`"
    return DefinitionError(message, code="invalid_settings", hint=hint)


def _addresses(text: str) -> tuple[str, ...]:
    found = (part.strip().rstrip("/") for part in text.split(","))
    try:
        return tuple(checked_url(part) for part in found if part) or (DEFAULT_API_URL,)
    except ValueError as error:
        raise DefinitionError(
            f"HEADWAY_API_URL: {error}", code="invalid_settings", hint=f"such as {DEFAULT_API_URL}"
        ) from error


def checked_url(text: str) -> str:
    """Return an address of the API as it is. Raises ValueError if it is none."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`{without_password(text)[:200]}` is no http:// or https:// address")
    if parts.port is not None and not parts.port:  # raises ValueError, too
        raise ValueError("its port is 0")
    return text


def without_password(url: str) -> str:
    """Return the URL with its password starred out."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user = f"{parts.username or ''}:***@"
    return urlunsplit(parts._replace(netloc=user + parts.netloc.rpartition("@")[2]))


def _left_by_up(file: Path) -> tuple[str | None, str | None]:
    try:
        with file.open(encoding="utf-8") as stream:
            # A file that somebody else put into a shared folder must not choose our server.
            if os.fstat(stream.fileno()).st_uid not in (os.geteuid(), 0):
                return None, None
            content = json.load(stream)
        return str(content["api_url"]).rstrip("/"), str(content["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
