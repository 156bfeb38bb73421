"""What else goes when a contact is purged: every copy of its data, in the same transaction.

    erasing.of_contact("update calls set notes = null where tenant_id = $1 and contact_id = $2")

Core knows no feature: each says so when it is imported.
"""

from typing import Final

STATEMENTS: Final[list[str]] = []


def of_contact(*statements: str) -> None:
    """From now on a purge runs these too, in their order; `$1` is the tenant's id, `$2` the contact's."""
    STATEMENTS.extend(statement for statement in statements if statement not in STATEMENTS)
