"""Everything Bellbird refuses or cannot do, as one tree.

    BellbirdError
    ├── InvalidInput (422)            what was sent cannot be accepted; `faults` says where and why
    │   └── MalformedBody (400)       the body could not even be read
    ├── NotSignedIn (401)
    ├── Forbidden (403)
    │   └── TenantSuspended
    ├── NotFound (404)
    │   └── TenantNotFound
    ├── Conflict (409)
    ├── VersionMismatch (412)         somebody else changed it first; `current` holds the present state
    ├── BodyTooLarge (413)
    └── Unavailable (503)             try again after `retry_after` seconds

Features add their own leaves (`ContactNotFound` is a `NotFound`).
A class's docstring is its title for people, `code` its name for programs; both are in the API's documentation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that was wrong with the input.

    `pointer` is a JSON pointer into the body (RFC 6901, as `/phones/0/number`);
    `parameter` is set instead when the fault is in the query string or the path.
    """

    code: str
    message: str
    pointer: str | None = None
    parameter: str | None = None


class BellbirdError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str = "", *, faults: Sequence[Fault] = (), **extra: Any) -> None:
        self.detail = detail or self.title()
        self.faults = tuple(faults)
        self.extra = extra
        super().__init__(self.detail)

    @classmethod
    def title(cls) -> str:
        """The class's docstring, first line."""
        return (cls.__doc__ or "").strip().splitlines()[0]


class InvalidInput(BellbirdError):
    """The request has values that cannot be accepted."""

    code = "invalid_input"
    status = 422

    def __init__(self, detail: str = "", *, faults: Sequence[Fault] = (), **extra: Any) -> None:
        if not detail and faults:
            detail = "; ".join(f"{fault.pointer or fault.parameter}: {fault.message}" for fault in faults[:5])
        super().__init__(detail, faults=faults, **extra)

    @classmethod
    def at(cls, parameter: str, message: str, *, code: str = "invalid_value") -> "InvalidInput":
        """One fault in the query string or the path."""
        return cls(faults=[Fault(code, message, parameter=parameter)])


class MalformedBody(InvalidInput):
    """The body could not be read."""

    code = "malformed_body"
    status = 400


class NotSignedIn(BellbirdError):
    """Sign-in is needed, or what was presented is not valid."""

    code = "not_signed_in"
    status = 401


class Forbidden(BellbirdError):
    """You may not do this."""

    code = "permission_denied"
    status = 403


class TenantSuspended(Forbidden):
    """The tenant is suspended: its data can be read, not changed."""

    code = "tenant_suspended"


class NotFound(BellbirdError):
    """There is no such thing here."""

    code = "not_found"
    status = 404


class TenantNotFound(NotFound):
    """There is no such tenant."""

    code = "tenant_not_found"


class Conflict(BellbirdError):
    """The change contradicts what is there."""

    code = "conflict"
    status = 409


class VersionMismatch(BellbirdError):
    """It was changed by somebody else since you read it."""

    code = "version_mismatch"
    status = 412


class BodyTooLarge(BellbirdError):
    """The body is larger than this server accepts."""

    code = "body_too_large"
    status = 413


class Unavailable(BellbirdError):
    """The database cannot be reached just now; nothing is known to have been changed. Try again shortly."""

    code = "unavailable"
    status = 503

    def __init__(self, detail: str = "", *, retry_after: int = 1, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after


# Constraints decide, and are translated once, by name: features register theirs beside their errors.
_BY_CONSTRAINT: dict[str, Callable[[], BellbirdError]] = {}


def translate_constraint(name: str, error: Callable[[], BellbirdError]) -> None:
    """From now on, a violation of the constraint `name` is raised as `error()`."""
    _BY_CONSTRAINT[name] = error


def for_constraint(name: str | None) -> BellbirdError | None:
    """The error a violated constraint stands for; a partition's constraint ends in `__` and its parent's name."""
    make = _BY_CONSTRAINT.get((name or "").rsplit("__", 1)[-1])
    return make() if make else None
