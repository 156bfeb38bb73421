"""Settings: `BELLBIRD_*` environment variables or a `.env` file, typed, and checked all at once at the start."""

import difflib
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "BELLBIRD_"


class SettingsInvalid(Exception):
    """The settings cannot be used; `mistakes` lists every one of them, a sentence each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("These settings cannot be used:\n" + "\n".join(f"  - {mistake}" for mistake in mistakes))


class Settings(BaseSettings):
    """How this deployment runs. Each field is the environment variable `BELLBIRD_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    database_url: Annotated[
        SecretStr | None,
        Field(description="PostgreSQL 15 or newer, as `postgresql://user:password@host/name`; empty: the embedded one"),
    ] = None
    data_dir: Annotated[
        Path | None,
        Field(description="where the embedded PostgreSQL and the generated secret live; empty: the user's data folder"),
    ] = None
    secret: Annotated[
        SecretStr | None,
        Field(description="signs access tokens (HS256), at least 32 characters; empty: generated once in the data dir"),
    ] = None
    host: Annotated[str, Field(description="the address `bellbird serve` listens on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="the port `bellbird serve` listens on")] = 8000
    workers: Annotated[int, Field(ge=1, le=64, description="how many server processes")] = 1
    pool_size: Annotated[int, Field(ge=1, le=500, description="database connections of each process")] = 10
    pool_timeout: Annotated[
        float, Field(gt=0, le=60, description="seconds a request waits for a database connection before it gets a 503")
    ] = 3.0
    prepared_statements: Annotated[
        bool, Field(description="off for a PgBouncer older than 1.21 in transaction mode")
    ] = True
    body_limit: Annotated[int, Field(ge=1024, le=100_000_000, description="largest request body, in bytes")] = 1_000_000
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="how much the server logs")
    ] = "info"
    tenant: Annotated[str | None, Field(description="the tenant that the command line works in by default")] = None

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must look like postgresql://user:password@host:5432/name")
        return value

    @field_validator("secret")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError('must have at least 32 characters; make one with: python3 -c "import secrets; '
                             'print(secrets.token_urlsafe(48))"')  # fmt: skip
        return value


def load(**overrides: Any) -> Settings:
    """The settings of this process. Raises SettingsInvalid naming every mistake, unknown names included."""
    mistakes = [_unknown(name) for name in sorted(_named()) if name.removeprefix(PREFIX).lower() not in _fields()]
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            name = PREFIX + str(fault["loc"][0]).upper()
            given = "" if _is_secret(str(fault["loc"][0])) else f" (it is {fault['input']!r})"
            mistakes.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}{given}")
        raise SettingsInvalid(mistakes) from None
    if settings.database_url is not None and settings.secret is None:
        mistakes.append("BELLBIRD_SECRET is needed with BELLBIRD_DATABASE_URL, or every process would sign differently")
    if mistakes:
        raise SettingsInvalid(mistakes)
    return settings


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as `bellbird settings` shows it: secrets hidden, with where its value came from."""

    name: str
    value: str
    source: str
    description: str


def described(settings: Settings) -> list[Setting]:
    """Every setting with its value, its source and what it is for."""
    in_file = {name.upper() for name in dotenv_values(".env")}
    rows = []
    for field, info in Settings.model_fields.items():
        name = PREFIX + field.upper()
        in_environment = name in {key.upper() for key in os.environ}
        source = "environment" if in_environment else ".env" if name in in_file else "default"
        value = getattr(settings, field)
        shown = "" if value is None else "(hidden)" if _is_secret(field) else str(value)
        rows.append(Setting(name, shown, source, info.description or ""))
    return rows


def signing_secret(settings: Settings, data_dir: Path) -> str:
    """The secret that tokens are signed with: the setting, or one generated once and kept beside the data."""
    if settings.secret is not None:
        return settings.secret.get_secret_value()
    path = data_dir / "secret"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        # Made beside its place and linked there whole: of processes that start at once, all take the first one's.
        descriptor, draft = tempfile.mkstemp(prefix="secret.", dir=data_dir)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        with suppress(FileExistsError):
            os.link(draft, path)
        os.unlink(draft)
    return path.read_text()


def _fields() -> set[str]:
    return set(Settings.model_fields)


def _is_secret(field: str) -> bool:
    return "SecretStr" in str(Settings.model_fields[field].annotation)


def _named() -> set[str]:
    """Every BELLBIRD_ name in the environment and in the .env file."""
    return {name.upper() for name in [*os.environ, *dotenv_values(".env")] if name.upper().startswith(PREFIX)}


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), _fields(), n=1)
    hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else "; `bellbird settings` lists them all"
    return f"{name} is not a setting{hint}"
