"""Settings: `BELLBIRD_*` environment variables or a `.env` file, typed, and checked all at once at the start."""

import difflib
import importlib.util
import os
import re
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bellbird.core import issuers
from bellbird.core.issuers import Issuer

PREFIX = "BELLBIRD_"

# A rate limit's bounds: its window is kept request by request, or nearly so.
MOST_REQUESTS = 1_000_000_000
LONGEST_WINDOW = 24 * 60 * 60

# What a browser sends as `Origin` (RFC 6454): always in small letters, and without a path.
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?|[a-z-]+-extension://[a-z0-9-]+")


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
    direct_database_url: Annotated[
        SecretStr | None,
        Field(description="the same database past any PgBouncer, for LISTEN and long locks; empty: database_url"),
    ] = None
    data_dir: Annotated[
        Path | None,
        Field(description="where the embedded PostgreSQL and the generated secret live; empty: the user's data folder"),
    ] = None
    secret: Annotated[
        SecretStr | None,
        Field(description="signs access tokens (HS256), at least 32 characters; empty: generated once in the data dir"),
    ] = None
    token_role: Annotated[
        str | None,
        Field(description="the role of a token that names none, of a person who is no member; empty: refused"),
    ] = "manager"  # noqa: S105 - a role's name
    access_token_minutes: Annotated[
        int, Field(ge=1, le=1440, description="minutes an access token holds that somebody gets by signing in")
    ] = 15
    session_days: Annotated[
        int, Field(ge=1, le=400, description="days after which somebody who signed in has to do so again")
    ] = 30
    sign_in_account_failures: Annotated[
        int, Field(ge=0, le=10_000, description="wrong passwords for one e-mail address in 15 minutes; 0: any number")
    ] = 10
    sign_in_address_failures: Annotated[
        int, Field(ge=0, le=10_000, description="wrong passwords from one network address in 15 minutes; 0: any number")
    ] = 50
    host: Annotated[str, Field(description="the address `bellbird serve` listens on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="the port `bellbird serve` listens on")] = 8000
    public_url: Annotated[
        str | None,
        Field(
            description="where call providers reach this deployment, as `https://crm.example.com`; empty: host and port"
        ),
    ] = None
    workers: Annotated[int, Field(ge=1, le=64, description="how many server processes")] = 1
    with_worker: Annotated[
        bool, Field(description="whether `bellbird serve` does the queue's jobs too, in its one process")
    ] = False
    worker_concurrency: Annotated[int, Field(ge=1, le=100, description="how many jobs a worker does at a time")] = 4
    worker_heartbeat: Annotated[
        float, Field(ge=0.2, le=60, description="seconds between signs of life of a worker; after three it is gone")
    ] = 10.0
    worker_stop_timeout: Annotated[
        float, Field(ge=0, le=3600, description="seconds a stopping worker has for its jobs before they are given back")
    ] = 30.0
    hook_timeout: Annotated[
        float, Field(gt=0, le=60, description="seconds that a hook before a change may take, whose transaction is open")
    ] = 5.0
    seal_minutes: Annotated[
        int, Field(ge=1, le=59, description="minutes between two seals on the event log, made by the worker")
    ] = 5
    pool_size: Annotated[int, Field(ge=1, le=500, description="database connections of each process")] = 10
    pool_timeout: Annotated[
        float, Field(gt=0, le=60, description="seconds a request waits for a database connection before it gets a 503")
    ] = 3.0
    prepared_statements: Annotated[
        bool, Field(description="off for a PgBouncer older than 1.21 in transaction mode")
    ] = True
    body_limit: Annotated[int, Field(ge=1024, le=100_000_000, description="largest request body, in bytes")] = 1_000_000
    redis_url: Annotated[
        SecretStr | None,
        Field(description="Redis or Valkey, as `redis://`, `rediss://` or `unix://`; empty: each process for itself"),
    ] = None
    rate_caller_read: Annotated[
        str, Field(description="how many reads of each user or key, as `30000/minute`; empty: as many as they like")
    ] = "30000/minute"
    rate_caller_write: Annotated[str, Field(description="how many writes of each user or key")] = "12000/minute"
    rate_tenant_read: Annotated[str, Field(description="how many reads of each tenant")] = "120000/minute"
    rate_tenant_write: Annotated[str, Field(description="how many writes of each tenant")] = "30000/minute"
    rate_address_auth: Annotated[str, Field(description="how many requests to sign in from each address")] = "60/minute"
    rate_address_callbacks: Annotated[
        str, Field(description="how many callbacks of call providers from each address")
    ] = "6000/minute"
    rate_fail_open: Annotated[
        bool, Field(description="whether requests pass uncounted while Redis does not answer; if not, they get a 503")
    ] = True
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="how much the server logs")
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"] | None, Field(description="how it logs; empty: json unless it is at a terminal")
    ] = None
    access_log: Annotated[bool, Field(description="whether `bellbird serve` logs every request")] = False
    request_timeout: Annotated[
        float, Field(gt=0, le=3600, description="seconds after which a request is given up and answered 503")
    ] = 30.0
    stream_heartbeat: Annotated[
        float, Field(ge=0.2, le=60, description="seconds of silence after which a live stream says that it is there")
    ] = 15.0
    stream_clients: Annotated[
        int, Field(ge=1, le=100_000, description="how many live streams each process has at most")
    ] = 2000
    cors_origins: Annotated[
        str, Field(description="pages that may call the API from a browser, as `https://app.example.com`, or `*`")
    ] = ""
    trusted_proxies: Annotated[
        str, Field(description="addresses and networks whose X-Forwarded-For and -Proto are believed, or `*`")
    ] = "127.0.0.1"
    metrics: Annotated[bool, Field(description="whether GET /metrics answers Prometheus")] = True
    metrics_token: Annotated[SecretStr | None, Field(description="what /metrics must be asked with, as Bearer")] = None
    metrics_dir: Annotated[
        Path | None, Field(description="where the processes of one server share their counts; `serve` makes one")
    ] = None
    otlp_endpoint: Annotated[
        str | None, Field(description="where OpenTelemetry traces are sent, such as http://collector:4318")
    ] = None
    tenant: Annotated[str | None, Field(description="the tenant that the command line works in by default")] = None
    issuers: Annotated[
        tuple[Issuer, ...], NoDecode,
        Field(description="outside issuers whose access tokens are accepted beside our own: a JSON list of objects"),
    ] = ()  # fmt: skip

    @field_validator("database_url", "direct_database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must look like postgresql://user:password@host:5432/name")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        try:
            parts = urlsplit(value.get_secret_value())
            reached = parts.hostname if parts.scheme in ("redis", "rediss") else parts.scheme == "unix" and parts.path
            usable = bool(reached) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("must look like redis://:password@host:6379/0, rediss://... or unix:///path/to/socket")
        if importlib.util.find_spec("redis") is None or importlib.util.find_spec("cashews") is None:
            raise ValueError("needs the extra `redis`: pip install 'bellbird-crm[redis]'")
        return value

    @field_validator("rate_caller_read", "rate_caller_write", "rate_tenant_read", "rate_tenant_write",
                     "rate_address_auth", "rate_address_callbacks")  # fmt: skip
    @classmethod
    def _is_rate(cls, value: str) -> str:
        from limits import parse_many

        value = value.strip()
        try:
            (rate,) = parse_many(value) if value else (None,)
        except ValueError:
            raise ValueError("must be one rate such as 600/minute, 10 per 5 seconds or 50000/hour, or empty") from None
        if rate is not None and not (1 <= rate.amount <= MOST_REQUESTS and rate.get_expiry() <= LONGEST_WINDOW):
            raise ValueError(f"must be 1 to {MOST_REQUESTS} requests, in a day at most; empty is no limit")
        return value

    @field_validator("token_role")
    @classmethod
    def _or_none(cls, value: str | None) -> str | None:
        return value or None

    @field_validator("issuers", mode="before")
    @classmethod
    def _is_list(cls, value: Any) -> Any:
        return issuers.read(value)

    @field_validator("issuers")
    @classmethod
    def _are_distinct(cls, value: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        return issuers.check_names(value)

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        origins = [origin.strip() for origin in value.split(",") if origin.strip()]
        for origin in origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"must be origins such as https://app.example.com, or `*`; {origin} is none")
        if "*" in origins and len(origins) > 1:
            raise ValueError("must be `*` alone, or origins without it")
        return ",".join(origins)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for each in value.split(",") if value.strip() not in ("", "*") else ():
            try:
                ip_network(each.strip())
            except ValueError:
                raise ValueError(f"must be addresses or networks such as 10.0.0.0/8; {each.strip()} is none") from None
        return value.strip()

    @field_validator("public_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must look like https://crm.example.com")
        return value.rstrip("/")

    @field_validator("metrics_token")
    @classmethod
    def _is_no_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if len(value.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_collector(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must look like http://collector:4318")
        try:
            importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http")
        except ModuleNotFoundError:
            raise ValueError("needs the extra `otel`: pip install 'bellbird-crm[otel]'") from None
        return value.rstrip("/")

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
        mistakes += [_told(fault) for fault in error.errors(include_url=False)]
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
        several = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        shown = "" if value is None else "(hidden)" if _is_secret(field) else several
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


def _told(fault: ErrorDetails) -> str:
    """A mistake as a sentence: where, what would be right, and what it is unless that is secret or long."""
    field, *inside = fault["loc"]
    name = PREFIX + str(field).upper()
    name += "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in inside)
    plain = {"missing": "is needed", "extra_forbidden": "is no field of it"}
    message = plain.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    given = fault["input"]
    # A private key for a public one, a password in a URL, a field that was not asked for: each could be a secret.
    secret = _is_secret(str(field)) or fault["type"] == "extra_forbidden" or {"public_key", "jwks_url"} & {*inside}
    short = isinstance(given, str | int | float) and len(str(given)) <= 100
    return f"{name}: {message}" + (f" (it is {given!r})" if short and not secret else "")


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
