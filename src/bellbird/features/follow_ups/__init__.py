"""Follow-ups: whom to call back, when, and who does it.

Agreed on in a call or made by hand, with a contact or with a number that is nobody's yet. Who has one open and calls in
is first taken to be the one who calls.
"""

from bellbird.features.follow_ups.actions import cancel, create, done, update
from bellbird.features.follow_ups.models import (
    FollowUp,
    FollowUpNotFound,
    FollowUpOver,
    FollowUpPatch,
    NewFollowUp,
)
from bellbird.features.follow_ups.queries import Query, due_by, get, open_for, page

__all__ = [
    "FollowUp",
    "FollowUpNotFound",
    "FollowUpOver",
    "FollowUpPatch",
    "NewFollowUp",
    "Query",
    "cancel",
    "create",
    "done",
    "due_by",
    "get",
    "open_for",
    "page",
    "update",
]
