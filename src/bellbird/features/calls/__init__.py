"""Calls: placed and received, tracked through every misbehaviour of a provider, and placed only where it is permitted.

A call is answered for at once and dialled by a worker; whatever the provider tells of it, in whatever order, it ends in
the same state, and no call is lost.
"""

from bellbird.features.calls.models import (
    Call,
    CallLimitReached,
    CallNotFound,
    CallNotPermitted,
    CallOver,
    CallPatch,
    NewCall,
    NewFollowUpOfCall,
)

__all__ = [
    "Call",
    "CallLimitReached",
    "CallNotFound",
    "CallNotPermitted",
    "CallOver",
    "CallPatch",
    "NewCall",
    "NewFollowUpOfCall",
]
