"""Logs: each event as one JSON object or one line for people, with the request it belongs to and nobody's data.

What is logged are sentences of our own with numbers and ids in them. Exceptions are told by their type and place:
their messages may quote a row (`Key (email)=(...) already exists`), so only the level `debug` shows them.
"""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal

import msgspec
import psycopg
import structlog

from bellbird.core.errors import BellbirdError

Format = Literal["json", "console"]
Event = MutableMapping[str, Any]

# The ASGI scope of the request that is being answered: everything logged meanwhile says which it is.
request: Final[ContextVar[Mapping[str, Any] | None]] = ContextVar("bellbird_request", default=None)

# A line for each request: all of them when this logger is set to INFO, those that went wrong otherwise.
ACCESS: Final = "bellbird.access"

# What may be given as `extra`.
FIELDS: Final = (
    "method", "status", "duration_ms", "code", "tenant_id", "task", "job", "tries", "jobs", "workers", "operation",
    "consumer", "events", "hook", "verb", "answer", "seal", "hash", "before", "reason",
)  # fmt: skip

# uvicorn says so, as an error, also of a WebSocket that was refused with an answer: anybody could fill the log with it.
REFUSED: Final = "ASGI callable returned without completing handshake."

MAX_FRAMES: Final = 50


def config(level: str, form: Format | None, *, access: bool) -> dict[str, Any]:
    """What `logging.config.dictConfig` sets up: everything goes to stderr, the servers' own loggers too."""
    # Their comings and goings are worth a line to them, but to nobody else.
    quieter = "INFO" if level == "debug" else "ERROR" if level == "error" else "WARNING"
    form = form or ("console" if sys.stderr.isatty() else "json")
    made_by = {"()": "bellbird.core.logs.formatter", "form": form, "with_messages": level == "debug"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"bellbird": made_by},
        "filters": {"no fault": {"()": "bellbird.core.logs.no_fault"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "bellbird"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            **{name: {"level": quieter} for name in ("psycopg.pool", "httpx", "opentelemetry")},
            "uvicorn.error": {"level": quieter, "filters": ["no fault"]},
            # It would print what jobs were deferred with; the worker's own lines take their place.
            "procrastinate": {"level": "INFO" if level == "debug" else "CRITICAL"},
            # It would print query strings; the line of ours takes its place.
            "uvicorn.access": {"handlers": [], "propagate": False},
            ACCESS: {"level": "INFO" if access else "WARNING"},
        },
    }


def no_fault() -> Callable[[logging.LogRecord], bool]:
    """Keeps out what is reported as an error and is none."""
    return lambda record: record.msg != REFUSED


def formatter(form: Format, with_messages: bool) -> logging.Formatter:
    """Puts log records into words, those of libraries too."""
    render: Any = structlog.processors.JSONRenderer(serializer=_json)
    if form == "console":
        render = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
        )

    def fill(logger: Any, name: str, event: Event) -> Event:
        record: logging.LogRecord = event["_record"]
        filled = dict(_head(record, event["event"]))
        filled |= {field: record.__dict__[field] for field in FIELDS if field in record.__dict__}
        if "exc_info" in event and (error := event["exc_info"][1]) is not None:
            if with_messages:
                filled["exception"] = "".join(traceback.format_exception(error))
            else:
                told = list(_told(error))
                filled["exception"] = told if form == "json" else "\n".join(_as_text(told))
        return filled

    return structlog.stdlib.ProcessorFormatter(processors=[fill, render])


def _head(record: logging.LogRecord, message: str) -> Iterator[tuple[str, Any]]:
    """When, how bad, where and what; and of which request, as far as that is known by now."""
    yield "time", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield "level", record.levelname.lower()
    yield "logger", record.name
    # asyncio's second line is an exception with its message.
    yield "event", message.split("\n", 1)[0] if record.name.startswith(("asyncio", "uvicorn")) else message
    scope = request.get()
    if scope is None:
        return
    state = scope["state"]
    yield "request_id", state["request_id"]
    yield "method", scope["method"]
    yield "route", scope.get("path_template")
    if (tenant_id := state.get("tenant_id")) is not None:
        yield "tenant_id", str(tenant_id)
    if (actor := state.get("actor")) is not None:
        yield "actor", f"{actor.kind}:{actor.id}"


def _told(error: BaseException) -> Iterator[dict[str, Any]]:
    """An exception and what it came from, each by its type and place; of PostgreSQL's, what says no value."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        told: dict[str, Any] = {"type": f"{type(each).__module__}.{type(each).__qualname__}".removeprefix("builtins.")}
        if isinstance(each, BellbirdError):
            told["code"] = each.code
        if isinstance(each, psycopg.Error):
            told |= {"sqlstate": each.sqlstate, "table": each.diag.table_name, "constraint": each.diag.constraint_name}
        told["at"] = list(_places(each.__traceback__))[-MAX_FRAMES:]
        yield told
        waiting.append(each.__cause__ or (None if each.__suppress_context__ else each.__context__))
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(each.exceptions)


# What of a file's path says which file it is; the rest says whose machine.
_ROOT: Final = re.compile(r".*/(?:site-packages|src|lib/python3\.\d+)/")


def _places(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f"{_ROOT.sub('', code.co_filename)}:{trace.tb_lineno} {code.co_qualname}"
        trace = trace.tb_next


def _as_text(told: list[dict[str, Any]]) -> Iterator[str]:
    for each in told:
        more = " ".join(f"{name}={value}" for name, value in each.items() if name not in ("type", "at") and value)
        yield f"{each['type']} {more}".rstrip()
        yield from (f"  {place}" for place in each["at"])


def _json(event: Mapping[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
