"""Operations: long work that shows how far it is, can be paused, canceled and undone, and survives whoever does it.

Bulk changes, imports and the like are kinds of operations, which the features that have them bring along.
"""

from bellbird.features.operations.actions import cancel, pause, resume, start, undo
from bellbird.features.operations.kinds import Kind, Running, Step, Work, item_error, kind
from bellbird.features.operations.models import (
    ItemError,
    NewOperation,
    NotUndoable,
    Operation,
    OperationFinished,
    OperationNotFound,
)
from bellbird.features.operations.queries import get, page
from bellbird.features.operations.running import run

__all__ = [
    "ItemError",
    "Kind",
    "NewOperation",
    "NotUndoable",
    "Operation",
    "OperationFinished",
    "OperationNotFound",
    "Running",
    "Step",
    "Work",
    "cancel",
    "get",
    "item_error",
    "kind",
    "page",
    "pause",
    "resume",
    "run",
    "start",
    "undo",
]
