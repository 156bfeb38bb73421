"""The shapes of signing in: what is sent for it, what is answered, who is calling; and what can be wrong."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, Literal
from uuid import UUID

from pydantic import ConfigDict

from bellbird.core import topics
from bellbird.core.actors import Origin, Visibility
from bellbird.core.errors import Conflict, InvalidInput, NotFound, NotSignedIn, RateLimited, describe_faults
from bellbird.core.tenants import TenantStatus

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """An e-mail address and a password; whoever is a member of several tenants names the one by its slug."""

    email: str
    password: str = field(repr=False)
    tenant: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """The refresh token of the answer before: it is good for once."""

    refresh_token: str = field(repr=False)

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChange:
    """A password to be put in another's place."""

    current_password: str = field(repr=False)
    new_password: str = field(repr=False)

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """An invitation, and a password: a new one, or for whoever has an account already the one they have.

    `name` is what the person would be called, where the invitation has it otherwise.
    """

    token: str = field(repr=False)
    password: str = field(repr=False)
    name: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Where a request to sign in comes from."""

    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    origin: Origin = "library"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as a tenant knows them."""

    id: UUID
    email: str
    name: str


@dataclass(frozen=True, slots=True)
class SignedInTenant:
    """The tenant that somebody is signed in to; one that is suspended can be read."""

    id: UUID
    slug: str
    name: str
    status: TenantStatus


@dataclass(frozen=True, slots=True)
class Started:
    """A session that was begun, or goes on: whose it is, and the token that it goes on with the next time."""

    id: UUID
    user: Person
    tenant: SignedInTenant
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a person works with once they are signed in, as RFC 6749, section 5.1 has it.

    The access token goes with each request for `expires_in` seconds; the refresh token is exchanged for the next two.
    """

    access_token: str = field(repr=False)
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str = field(repr=False)
    user: Person
    tenant: SignedInTenant


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that still holds: with what program, since when; `current` is the one that asks."""

    id: UUID
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class Withheld:
    """What is withheld of one kind of record: fields that are not shown, and fields that cannot be changed."""

    hidden: tuple[str, ...]
    read_only: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Me:
    """Who is calling, and what they may do.

    `user` is the person whose token this is, or who made the key, where the tenant knows them; of a key, `role` is
    what it is called. `session` is that of a token that somebody got by signing in.
    """

    kind: Literal["user", "key", "system"]
    id: str
    user: Person | None
    tenant: SignedInTenant
    role: str | None
    permissions: tuple[str, ...]
    visibility: Visibility
    fields: dict[str, Withheld]
    session: Session | None


class InvalidCredentials(NotSignedIn):
    """The e-mail address or the password is wrong."""

    code = "invalid_credentials"


class TenantNeeded(InvalidInput):
    """You are a member of several tenants: say which one is meant.

    `tenants` lists them, each with its `slug` and its `name`.
    """

    code = "tenant_needed"


class TooManySignIns(RateLimited):
    """Too many wrong passwords were tried: wait before trying another."""

    code = "too_many_sign_ins"


class RefreshTokenInvalid(NotSignedIn):
    """The refresh token cannot be used (any more): sign in again."""

    code = "refresh_token_invalid"


class RefreshTokenReused(NotSignedIn):
    """The refresh token was used before, so that somebody else may have it: the session is ended. Sign in again."""

    code = "refresh_token_reused"


class InvitationInvalid(InvalidInput):
    """The invitation cannot be accepted (any more): ask for another."""

    code = "invitation_invalid"


class NoSession(Conflict):
    """This token belongs to no session: it holds until it expires."""

    code = "no_session"


class NoPassword(Conflict):
    """Whoever this token speaks for does not sign in with a password."""

    code = "no_password"


class PasswordChanged(Conflict):
    """The password was changed by another request at this moment: try again with the new one."""

    code = "password_changed"


class SessionNotFound(NotFound):
    """There is no such session, or it is over."""

    code = "session_not_found"


describe_faults({
    "wrong_password": "This is not the present password.",
    "password_given": "This password was chosen by somebody else, who knows it: change it first.",
    "invalid_token": "This is no such token, or it is used up or expired.",
})  # fmt: skip

topics.recorded("session.started", "session.ended")
