"""Bellbird: contacts and calls for many tenants, on PostgreSQL.

from bellbird import Actor, Bellbird, contacts

async with Bellbird() as bellbird:
    async with bellbird.tenant("acme", Actor.user(user_id)) as tx:
        ann = await contacts.create(tx, contacts.NewContact(first_name="Ann"))
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bellbird.app import Bellbird, SchemaOutOfDate, create_app
    from bellbird.core.actors import Actor
    from bellbird.core.clock import Clock, FakeClock
    from bellbird.core.engine import Engine, ReadTx, SystemTx, Tx
    from bellbird.core.errors import (
        BellbirdError,
        BodyTooLarge,
        CannotGrant,
        Conflict,
        Fault,
        Forbidden,
        HookFailed,
        HookInvalid,
        HookTimedOut,
        IdempotencyConflict,
        IdempotencyKeyReused,
        InvalidInput,
        MalformedBody,
        NotFound,
        NotSignedIn,
        RateLimited,
        Rejected,
        TenantNotFound,
        TenantSuspended,
        Unavailable,
        VersionMismatch,
    )
    from bellbird.core.events import Logged
    from bellbird.core.hooks import Change
    from bellbird.core.paging import Page, Total
    from bellbird.core.postgres import PostgresUnusable
    from bellbird.core.principals import Claims
    from bellbird.core.settings import Settings, SettingsInvalid
    from bellbird.features import (
        audit,
        call_accounts,
        calls,
        contacts,
        dialling,
        follow_ups,
        keys,
        live,
        operations,
        roles,
        sessions,
        teams,
        tenants,
        timeline,
        users,
    )

# Where each name lives: `bellbird --help` and a host's own start should not wait for what they do not use.
_HOME = {
    "bellbird.app": ("Bellbird", "SchemaOutOfDate", "create_app"),
    "bellbird.core.actors": ("Actor",),
    "bellbird.core.clock": ("Clock", "FakeClock"),
    "bellbird.core.engine": ("Engine", "ReadTx", "SystemTx", "Tx"),
    "bellbird.core.errors": (
        "BellbirdError",
        "BodyTooLarge",
        "CannotGrant",
        "Conflict",
        "Fault",
        "Forbidden",
        "HookFailed",
        "HookInvalid",
        "HookTimedOut",
        "IdempotencyConflict",
        "IdempotencyKeyReused",
        "InvalidInput",
        "MalformedBody",
        "NotFound",
        "NotSignedIn",
        "RateLimited",
        "Rejected",
        "TenantNotFound",
        "TenantSuspended",
        "Unavailable",
        "VersionMismatch",
    ),
    "bellbird.core.events": ("Logged",),
    "bellbird.core.hooks": ("Change",),
    "bellbird.core.paging": ("Page", "Total"),
    "bellbird.core.postgres": ("PostgresUnusable",),
    "bellbird.core.principals": ("Claims",),
    "bellbird.core.settings": ("Settings", "SettingsInvalid"),
    "bellbird.features": (
        "audit",
        "call_accounts",
        "calls",
        "contacts",
        "dialling",
        "follow_ups",
        "keys",
        "live",
        "operations",
        "roles",
        "sessions",
        "teams",
        "tenants",
        "timeline",
        "users",
    ),
}

__all__ = [
    "Actor",
    "Bellbird",
    "BellbirdError",
    "BodyTooLarge",
    "CannotGrant",
    "Change",
    "Claims",
    "Clock",
    "Conflict",
    "Engine",
    "FakeClock",
    "Fault",
    "Forbidden",
    "HookFailed",
    "HookInvalid",
    "HookTimedOut",
    "IdempotencyConflict",
    "IdempotencyKeyReused",
    "InvalidInput",
    "Logged",
    "MalformedBody",
    "NotFound",
    "NotSignedIn",
    "Page",
    "PostgresUnusable",
    "RateLimited",
    "ReadTx",
    "Rejected",
    "SchemaOutOfDate",
    "Settings",
    "SettingsInvalid",
    "SystemTx",
    "TenantNotFound",
    "TenantSuspended",
    "Total",
    "Tx",
    "Unavailable",
    "VersionMismatch",
    "audit",
    "call_accounts",
    "calls",
    "contacts",
    "create_app",
    "dialling",
    "follow_ups",
    "keys",
    "live",
    "operations",
    "roles",
    "sessions",
    "teams",
    "tenants",
    "timeline",
    "users",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOME.items():
        if name in names:
            if home == "bellbird.features":
                return importlib.import_module(f"{home}.{name}")
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'bellbird' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
