"""API keys: how programs sign in to a tenant, each with what it may do and see, until it expires or is revoked.

A key is shown once, when it is made. It can do no more than whoever made it could then.
"""

from bellbird.features.keys.actions import create, revoke, update
from bellbird.features.keys.models import ApiKey, KeyNotFound, KeyPatch, NewKey
from bellbird.features.keys.queries import get, page

__all__ = [
    "ApiKey",
    "KeyNotFound",
    "KeyPatch",
    "NewKey",
    "create",
    "get",
    "page",
    "revoke",
    "update",
]
