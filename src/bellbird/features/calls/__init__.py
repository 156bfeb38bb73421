"""Calls: placed and received, tracked through every misbehaviour of a provider, and placed only where it is permitted.

A call is answered for at once and dialled by a worker; whatever the provider tells of it, in whatever order, it ends in
the same state, and no call is lost.
"""

from bellbird.features.calls.actions import make_contact, update
from bellbird.features.calls.models import (
    Call,
    CallHasContact,
    CallLimitReached,
    CallNotFound,
    CallNotPermitted,
    CallOver,
    CallPatch,
    NewCall,
    NewFollowUpOfCall,
)
from bellbird.features.calls.placing import cancel, hang_up, place
from bellbird.features.calls.queries import KeptCallback, Query, callbacks, get, page
from bellbird.features.calls.statistics import Figures, Statistics, count

__all__ = [
    "Call",
    "CallHasContact",
    "CallLimitReached",
    "CallNotFound",
    "CallNotPermitted",
    "CallOver",
    "CallPatch",
    "Figures",
    "KeptCallback",
    "NewCall",
    "NewFollowUpOfCall",
    "Query",
    "Statistics",
    "callbacks",
    "cancel",
    "count",
    "get",
    "hang_up",
    "make_contact",
    "page",
    "place",
    "update",
]
