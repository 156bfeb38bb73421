"""The audit log: who did what to which thing, when, by which door and in which request; and that nobody changed it.

Each tenant's log is sealed every few minutes: whoever then alters, removes or inserts an event is found out,
also when they have all rights in the database.
"""

from bellbird.features.audit.actions import maintain, seal
from bellbird.features.audit.models import AuditEvent, EventNotFound, Finding, Query, Seal, Summary
from bellbird.features.audit.queries import get, seals, search
from bellbird.features.audit.verifying import verify

__all__ = [
    "AuditEvent",
    "EventNotFound",
    "Finding",
    "Query",
    "Seal",
    "Summary",
    "get",
    "maintain",
    "seal",
    "seals",
    "search",
    "verify",
]
