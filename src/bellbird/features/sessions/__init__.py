"""Sessions: signing in with an e-mail address and a password, going on, and signing out.

A session lasts for the days of `BELLBIRD_SESSION_DAYS`. It is worked with by access tokens that hold for minutes, each
got for a refresh token that is good for once: when one comes twice, somebody else has it, and the session is over.
"""

from bellbird.features.sessions.actions import accept, change_password, end, end_all, refresh, sign_in, sign_out
from bellbird.features.sessions.models import (
    Acceptance,
    Caller,
    InvalidCredentials,
    InvitationInvalid,
    Me,
    NoPassword,
    NoSession,
    PasswordChange,
    PasswordChanged,
    Person,
    Refresh,
    RefreshTokenInvalid,
    RefreshTokenReused,
    Session,
    SessionNotFound,
    SignedIn,
    SignedInTenant,
    SignIn,
    Started,
    TenantNeeded,
    TooManySignIns,
    Withheld,
)
from bellbird.features.sessions.queries import me, page

__all__ = [
    "Acceptance",
    "Caller",
    "InvalidCredentials",
    "InvitationInvalid",
    "Me",
    "NoPassword",
    "NoSession",
    "PasswordChange",
    "PasswordChanged",
    "Person",
    "Refresh",
    "RefreshTokenInvalid",
    "RefreshTokenReused",
    "Session",
    "SessionNotFound",
    "SignIn",
    "SignedIn",
    "SignedInTenant",
    "Started",
    "TenantNeeded",
    "TooManySignIns",
    "Withheld",
    "accept",
    "change_password",
    "end",
    "end_all",
    "me",
    "page",
    "refresh",
    "sign_in",
    "sign_out",
]
