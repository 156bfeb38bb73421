"""Everything Bellbird refuses or cannot do, as one tree.

    BellbirdError
    ├── InvalidInput (422)            what was sent cannot be accepted; `faults` says where and why
    │   ├── MalformedBody (400)       the body could not even be read
    │   ├── IdempotencyKeyReused
    │   └── Rejected                  a hook of the deployment does not accept it
    ├── NotSignedIn (401)
    ├── Forbidden (403)
    │   ├── CannotGrant           nobody gives more than they have
    │   └── TenantSuspended
    ├── NotFound (404)
    │   └── TenantNotFound
    ├── Conflict (409)
    │   └── IdempotencyConflict
    ├── VersionMismatch (412)         somebody else changed it first; `current` holds the present state
    ├── BodyTooLarge (413)
    ├── RateLimited (429)             too many requests: try again after `retry_after` seconds
    ├── Unavailable (503)             try again after `retry_after` seconds
    │   └── HookTimedOut
    ├── HookFailed (500)
    └── HookInvalid (500)             to whoever registers it

Features add their own leaves (`ContactNotFound` is a `NotFound`).
A class's docstring is its title for people, `code` its name for programs; both are in the API's documentation,
and so is what a docstring says further: what else the answer has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final


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

    # After how many seconds the same request may be worth sending again.
    retry_after: int | None = None

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
    """The request has values that cannot be accepted.

    `errors` lists them all, with the codes below.
    """

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
    """The body could not be read.

    It is not JSON.
    """

    code = "malformed_body"
    status = 400


class NotSignedIn(BellbirdError):
    """Sign-in is needed, or what was presented is not valid.

    There is no access token, or it is expired, altered, incomplete or of a tenant that does not exist.
    """

    code = "not_signed_in"
    status = 401


class Forbidden(BellbirdError):
    """You may not do this.

    The caller lacks the permission that `detail` names.
    """

    code = "permission_denied"
    status = 403


class CannotGrant(Forbidden):
    """Nobody can give more than they have themselves.

    `detail` names what that would be: permissions, a visibility, fields that are withheld from the caller.
    """

    code = "cannot_grant"


class TenantSuspended(Forbidden):
    """The tenant is suspended: its data can be read, not changed."""

    code = "tenant_suspended"


class NotFound(BellbirdError):
    """There is no such thing here.

    To a request: there is no such path.
    """

    code = "not_found"
    status = 404


class TenantNotFound(NotFound):
    """There is no such tenant."""

    code = "tenant_not_found"


class Conflict(BellbirdError):
    """The change contradicts what is there."""

    code = "conflict"
    status = 409


class IdempotencyConflict(Conflict):
    """A request with this Idempotency-Key is being answered at this moment: send it again shortly."""

    code = "idempotency_conflict"
    retry_after = 1


class IdempotencyKeyReused(InvalidInput):
    """This Idempotency-Key came with another request before: use a new key for each thing to be done."""

    code = "idempotency_key_reused"


class Rejected(InvalidInput):
    """A hook of this deployment does not accept it.

    `detail` says why, and `errors` where if the hook said so. Hooks raise it: `Rejected("...", pointer="/phones/0")`.
    """

    code = "rejected"

    def __init__(self, detail: str = "", *, pointer: str | None = None, **extra: Any) -> None:
        faults = () if pointer is None else (Fault("hook_rejected", detail or self.title(), pointer=pointer),)
        super().__init__(detail or self.title(), faults=faults, **extra)


class VersionMismatch(BellbirdError):
    """It was changed by somebody else since you read it.

    `current` holds its present state.
    """

    code = "version_mismatch"
    status = 412


class BodyTooLarge(BellbirdError):
    """The body is larger than this server accepts.

    `BELLBIRD_BODY_LIMIT` says how large it may be.
    """

    code = "body_too_large"
    status = 413


class RateLimited(BellbirdError):
    """There were too many requests: wait before sending more.

    `detail` says of whom ([limits](../guides/rate-limits.md)); send more after `Retry-After` seconds.
    """

    code = "rate_limited"
    status = 429

    def __init__(self, detail: str = "", *, retry_after: int = 1, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after


class Unavailable(BellbirdError):
    """The database cannot be reached just now; nothing is known to have been changed. Try again shortly."""

    code = "unavailable"
    status = 503

    def __init__(self, detail: str = "", *, retry_after: int = 1, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after


class HookTimedOut(Unavailable):
    """A hook of this deployment took too long; nothing was changed.

    `hook` names it. `BELLBIRD_HOOK_TIMEOUT` says how long it may take.
    """

    code = "hook_timed_out"


class HookFailed(BellbirdError):
    """A hook of this deployment failed; nothing was changed.

    `hook` names it; why it failed is in the server's log.
    """

    code = "hook_failed"
    status = 500


class HookInvalid(BellbirdError):
    """A hook cannot be registered, or the package that brings it not be loaded.

    No request is answered so: it is raised when Bellbird is set up.
    """

    code = "hook_invalid"
    status = 500


# Constraints decide, and are translated once, by name: features register theirs beside their errors.
_BY_CONSTRAINT: dict[str, Callable[[], BellbirdError]] = {}


def translate_constraint(name: str, error: Callable[[], BellbirdError]) -> None:
    """From now on, a violation of the constraint `name` is raised as `error()`."""
    _BY_CONSTRAINT[name] = error


def for_constraint(name: str | None) -> BellbirdError | None:
    """The error a violated constraint stands for; a partition's constraint ends in `__` and its parent's name."""
    make = _BY_CONSTRAINT.get((name or "").rsplit("__", 1)[-1])
    return make() if make else None


# What the codes of faults mean: features add theirs beside their errors, and docs/reference/errors.md lists them all.
FAULTS: Final[dict[str, str]] = {
    "unknown_field": "There is no field of this name; the nearest one is suggested.",
    "missing_field": "A field that is needed is not there.",
    "invalid_type": "The value is of the wrong type, or not one of the choices.",
    "invalid_value": "The value is of the right type, and cannot be.",
    "invalid_id": "This is no UUID.",
    "unknown_parameter": "The query string has a parameter that this path does not know.",
    "unknown_sort": "The list cannot be sorted by this.",
    "unknown_operator": "The field cannot be compared in this way.",
    "unknown_type": "There is no such type of event; the nearest one is suggested.",
    "invalid_filter": "The filter's value or form cannot be.",
    "invalid_cursor": "The cursor is altered, or belongs to another list.",
    "too_many": "The list has more items than it may have.",
    "text_character": "The text has a character that cannot be seen or kept: a control character, half of a surrogate "
    "pair, a reversal of direction.",
    "text_too_long": "The text is longer than its limit.",
    "phone_empty": "There is no digit in the number.",
    "phone_has_letters": "The number has letters that are no advertised word.",
    "phone_too_short": "The number has too few digits.",
    "phone_too_long": "The number has too many digits.",
    "phone_short_code": "An emergency or service code is no contact's number.",
    "phone_region_not_allowed": "The number is of a country that the tenant does not accept.",
    "phone_invalid": "The digits are no number in use, or it cannot be told which.",
    "phone_ambiguous": "The number can be read as one of several countries: say which.",
    "email_empty": "There is no address.",
    "email_has_name": "The address has a name or angle brackets around it.",
    "email_domain_invalid": "The part after the @ is no domain.",
    "email_too_long": "The address is longer than RFC 5321 allows.",
    "email_invalid": "This is no e-mail address.",
    "region_unknown": "This is no country code (ISO 3166-1).",
    "timezone_unknown": "This is no time zone of the IANA database.",
    "hook_rejected": "A hook of this deployment does not accept it; the message says why.",
}


def describe_faults(meanings: Mapping[str, str]) -> None:
    """From now on the documentation has these codes of faults, each with a sentence."""
    FAULTS.update(meanings)
