"""Consents, opt-outs, washes and decisions as rows of their tables, and back."""

from dataclasses import fields
from typing import Any, Final

import msgspec

from bellbird.core import erasing
from bellbird.core.connection import Parameter
from bellbird.features.dialling.models import Consent, DialDecision, OptOut, Reason, Wash


def _columns(shape: type) -> str:
    return ", ".join(field.name for field in fields(shape))


CONSENT: Final = _columns(Consent)
OPT_OUT: Final = _columns(OptOut)
WASH: Final = _columns(Wash)
DECISION: Final = _columns(DialDecision)

# The same to be read: JSON as text.
READ_DECISION: Final = DECISION.replace("reasons, warnings", "reasons::text, warnings::text").replace(
    "evidence", "evidence::text"
)

# The opt-out of a number that holds, if there is one.
KNOWN: Final = f"select {OPT_OUT} from opt_outs where tenant_id = $1 and number = $2 and removed_at is null"

_reasons = msgspec.json.Decoder(tuple[Reason, ...]).decode
_evidence = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def decision(row: tuple[Any, ...]) -> DialDecision:
    """A row of READ_DECISION."""
    read = DialDecision(*row)
    kept = {name: getattr(read, name) for name in ("reasons", "warnings", "evidence")}
    object.__setattr__(read, "reasons", _reasons(kept["reasons"]))
    object.__setattr__(read, "warnings", _reasons(kept["warnings"]))
    object.__setattr__(read, "evidence", _evidence(kept["evidence"]))
    return read


def of_decision(decision: DialDecision) -> tuple[Parameter, ...]:
    """The values of DECISION."""
    as_json = {name: _encode(getattr(decision, name)) for name in ("reasons", "warnings", "evidence")}
    return tuple(as_json.get(field.name, getattr(decision, field.name)) for field in fields(DialDecision))


def places(count: int, first: int = 2) -> str:
    """Placeholders of as many parameters: `$2, $3`."""
    return ", ".join(f"${number}" for number in range(first, first + count))


# Of a purged contact's consents nothing stays; of what was decided, that it was. That a number is not to be called
# stays for as long as somebody might call it, without whose it was: an objection is kept so that it is honoured.
erasing.of_contact(
    "delete from consents where tenant_id = $1 and contact_id = $2",
    "update opt_outs set contact_id = null, note = null where tenant_id = $1 and contact_id = $2",
    """
update dial_decisions
set number = null, evidence = '{}', reasons = '[]', warnings = '[]', explanation = ''
where tenant_id = $1 and contact_id = $2
""",
)
