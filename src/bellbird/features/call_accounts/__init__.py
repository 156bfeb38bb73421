"""Call accounts: with which provider a tenant calls, and the numbers that it calls from and is called at.

The secret of an account is kept encrypted, used by the worker and by callbacks, and shown to nobody.
"""

from bellbird.features.call_accounts.actions import change, connect, disconnect
from bellbird.features.call_accounts.calling import ask, ask_for_agent, ask_to_open, for_calling, opened
from bellbird.features.call_accounts.models import (
    CallAccount,
    CallAccountInUse,
    CallAccountNotFound,
    CallAccountPatch,
    CallAccountTaken,
    Line,
    NewCallAccount,
    NoCallAccount,
    NoVault,
)
from bellbird.features.call_accounts.queries import get, page

__all__ = [
    "CallAccount",
    "CallAccountInUse",
    "CallAccountNotFound",
    "CallAccountPatch",
    "CallAccountTaken",
    "Line",
    "NewCallAccount",
    "NoCallAccount",
    "NoVault",
    "ask",
    "ask_for_agent",
    "ask_to_open",
    "change",
    "connect",
    "disconnect",
    "for_calling",
    "get",
    "opened",
    "page",
]
