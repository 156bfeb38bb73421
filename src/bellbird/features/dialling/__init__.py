"""May I call? What the law, the tenant and whoever is to be called say about it, with the evidence.

Every call asks before it is placed, and every answer is kept: when somebody complains, it can be shown what was known.
"""

from bellbird.features.dialling.actions import ask, create_opt_out, grant, opt_out, remove_opt_out, wash, withdraw
from bellbird.features.dialling.deciding import decide, record
from bellbird.features.dialling.models import (
    Consent,
    ConsentNotFound,
    DialDecision,
    DialDecisionNotFound,
    NewConsent,
    NewDialDecision,
    NewOptOut,
    NewWashes,
    NoNumberToCall,
    OptOut,
    OptOutNotFound,
    OptOutRemoval,
    Question,
    Reason,
    Wash,
    Washed,
    WashedNumber,
)
from bellbird.features.dialling.queries import consent, consents, get, opt_outs, opted_out, page, washed

__all__ = [
    "Consent",
    "ConsentNotFound",
    "DialDecision",
    "DialDecisionNotFound",
    "NewConsent",
    "NewDialDecision",
    "NewOptOut",
    "NewWashes",
    "NoNumberToCall",
    "OptOut",
    "OptOutNotFound",
    "OptOutRemoval",
    "Question",
    "Reason",
    "Wash",
    "Washed",
    "WashedNumber",
    "ask",
    "consent",
    "consents",
    "create_opt_out",
    "decide",
    "get",
    "grant",
    "opt_out",
    "opt_outs",
    "opted_out",
    "page",
    "record",
    "remove_opt_out",
    "wash",
    "washed",
    "withdraw",
]
