"""Writing contacts: each verb checks, writes and records its event in the caller's transaction.

What a verb queued is sent with the transaction's next question or its COMMIT;
an error that only PostgreSQL can see (`ExternalIdTaken`) is raised there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from bellbird.core import erasing, ids
from bellbird.core.actors import visible
from bellbird.core.emails import key as email_key
from bellbird.core.engine import Tx
from bellbird.core.errors import HookFailed, InvalidInput, VersionMismatch
from bellbird.core.events import Event
from bellbird.core.hooks import Change, hookable
from bellbird.core.tenants import DuplicatePolicy, TenantSettings
from bellbird.features.contacts import cleaning, rules
from bellbird.features.contacts.models import (
    AmbiguousMatch,
    Contact,
    ContactNotFound,
    ContactPatch,
    DuplicateContact,
    ExternalIdTaken,
    MatchBy,
    NewContact,
)
from bellbird.features.contacts.rows import COLUMNS, DERIVED, READ, from_row, to_row

# What an event's `changes` may name. The rest (version, timestamps) the event itself tells.
RECORDED: Final = tuple(cleaning.PATCHABLE)

for _verb, _given in {"create": NewContact, "update": Change, "delete": UUID, "restore": UUID, "purge": UUID}.items():
    hookable(f"contact.{_verb}", _given)

_WRITTEN = [name.strip() for name in f"{COLUMNS}, {DERIVED}".split(",")]

INSERT = f"""
insert into contacts (tenant_id, {COLUMNS}, {DERIVED})
values ($1, {", ".join(f"${number}" for number in range(2, len(_WRITTEN) + 2))})
"""


async def create(tx: Tx, new: NewContact) -> Contact:
    """Add a contact and record `contact.created`; whoever does not see all contacts owns those that they make.

    Raises InvalidInput with every fault, DuplicateContact under the policy `reject`, ExternalIdTaken.
    """
    tx.require("contacts:write")
    new = await tx.before("contact.create", new)
    settings = (await tx.writable()).settings
    contact = _made(tx, new, settings)
    duplicates = await _claim(tx, contact, settings.duplicate_policy)
    _insert(tx, contact)
    return _answer(tx, contact, duplicates)


def _answer(tx: Tx, contact: Contact, duplicates: "_Sharing | None") -> Contact:
    """A contact that was written, with who else has its numbers or addresses, as the actor may see it."""
    if duplicates:
        contact = replace(contact, duplicates=duplicates.seen, other_duplicates=duplicates.others or UNSET)
    return rules.shown(tx.actor, contact)


def _made(tx: Tx, new: NewContact, settings: TenantSettings) -> Contact:
    now = tx.now()
    new, refused = rules.admit(tx.actor, new)
    return cleaning.make(new, settings, id=ids.uuid7(now), now=now, refused=refused)


def _insert(tx: Tx, contact: Contact) -> None:
    tx.queue(INSERT, tx.tenant_id, *to_row(contact))
    tx.emit(_event("contact.created", contact, _difference(None, contact)))


# The id, the kind of row and when it was made stay as they are; FOR UPDATE has locked the row.
UPDATE = f"""
update contacts
set {", ".join(f"{name} = ${number}" for number, name in enumerate(_WRITTEN, 2))}
where tenant_id = $1 and id = $2
"""

LOCK = f"""
select {READ}
from contacts
where tenant_id = $1 and id = $2
for update
"""


async def update(tx: Tx, id: UUID, patch: ContactPatch, *, version: int | None = None) -> Contact:
    """Change a contact and record `contact.updated`; a patch that changes nothing writes nothing.

    Raises ContactNotFound, VersionMismatch when `version` is given and no longer the current one,
    InvalidInput, DuplicateContact, ExternalIdTaken.
    """
    tx.require("contacts:write")
    patch = (await tx.before("contact.update", Change(id, patch))).patch
    contact, settings = await _locked(tx, id, version=version)
    return await _change(tx, contact, patch, settings, rules.refusals(tx.actor, patch))


async def _change(
    tx: Tx, contact: Contact, patch: ContactPatch, settings: TenantSettings, refused: cleaning.Refused
) -> Contact:
    changed = cleaning.change(contact, patch, settings, now=tx.now(), refused=refused)
    if changed is contact:
        return rules.shown(tx.actor, contact)
    gained = replace(
        changed,
        phones=tuple(phone for phone in changed.phones if phone.number not in {had.number for had in contact.phones}),
        emails=tuple(email for email in changed.emails if email.address not in {had.address for had in contact.emails}),
    )
    duplicates = await _claim(tx, gained, settings.duplicate_policy)
    tx.queue(UPDATE, tx.tenant_id, *to_row(changed))
    tx.emit(_event("contact.updated", changed, _difference(contact, changed)))
    return _answer(tx, changed, duplicates)


DELETE = """
update contacts
set deleted_at = $3, updated_at = $3, version = version + 1
where tenant_id = $1 and id = $2
"""


async def delete(tx: Tx, id: UUID, *, version: int | None = None) -> None:
    """Take a contact out of lists and search, and record `contact.deleted`; it can be restored until it is purged.

    Raises ContactNotFound, VersionMismatch.
    """
    tx.require("contacts:write")
    await tx.before("contact.delete", id)
    contact, _ = await _locked(tx, id, version=version)
    now = tx.now()
    tx.queue(DELETE, tx.tenant_id, id, now)
    deleted = replace(contact, deleted_at=now, version=contact.version + 1, updated_at=now)
    tx.emit(_event("contact.deleted", deleted, {"deleted_at": (None, now)}))


async def restore(tx: Tx, id: UUID) -> Contact:
    """Bring a deleted contact back and record `contact.restored`; one that is not deleted is returned as it is.

    Raises ContactNotFound when it was purged or its time to be restored is over,
    DuplicateContact or ExternalIdTaken when another contact has taken its place.
    """
    tx.require("contacts:write")
    await tx.before("contact.restore", id)
    contact, settings = await _locked(tx, id, deleted=True)
    if contact.deleted_at is None:
        return rules.shown(tx.actor, contact)
    if contact.deleted_at < tx.now() - timedelta(days=settings.keep_deleted_days):
        raise ContactNotFound(f"The contact {id} was deleted more than {settings.keep_deleted_days} days ago.")
    restored = replace(contact, deleted_at=None, version=contact.version + 1, updated_at=tx.now())
    duplicates = await _claim(tx, restored, settings.duplicate_policy)
    tx.queue(UPDATE, tx.tenant_id, *to_row(restored))
    tx.emit(_event("contact.restored", restored, {"deleted_at": (contact.deleted_at, None)}))
    return _answer(tx, restored, duplicates)


PURGE = "delete from contacts where tenant_id = $1 and id = $2"
FORGET = "select forget_contact($1, $2)"


async def purge(tx: Tx, id: UUID) -> None:
    """Erase a contact, deleted or not, and every copy of its data; only `contact.purged` stays, without any of it.

    Raises ContactNotFound.
    """
    tx.require("contacts:purge")
    await tx.before("contact.purge", id)
    await _locked(tx, id, deleted=True)
    tx.queue(PURGE, tx.tenant_id, id)
    for statement in erasing.STATEMENTS:
        tx.queue(statement, tx.tenant_id, id)
    tx.queue(FORGET, tx.tenant_id, id)
    tx.emit(Event("contact.purged", id, id))


EXPIRED = """
select id
from contacts
where tenant_id = $1 and deleted_at < $2{}
order by deleted_at
limit 500
"""


async def expired(tx: Tx) -> list[UUID]:
    """Up to 500 deleted contacts whose time to be restored is over: what a sweep purges next."""
    tx.require("contacts:purge")
    settings = (await tx.writable()).settings
    seen, owners = visible(tx.actor, 3)
    before = tx.now() - timedelta(days=settings.keep_deleted_days)
    rows = await tx.all(EXPIRED.format(seen), tx.tenant_id, before, *owners)
    return [row[0] for row in rows]


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert came to: the contact, and whether it is new."""

    contact: Contact
    created: bool


async def upsert(tx: Tx, new: NewContact, *, match: MatchBy) -> Upserted:
    """Update the contact that has one of `new`'s e-mails or phones, or its external id; make it when there is none.

    On a contact found, the fields that are given replace what was there; phones and e-mails are added to those it
    has, and `custom` and `preferences` merge, so that nothing known is lost. However many ask at once, one is made.
    Raises AmbiguousMatch when several contacts match, DuplicateContact or ExternalIdTaken when the one that does is not
    for the actor to see, and what `create` and `update` raise.
    """
    tx.require("contacts:write")
    settings = (await tx.writable()).settings
    contact = _made(tx, new, settings)
    keys = _keys(contact, match)
    if not keys:
        raise InvalidInput.at("match", f"is {match}, but the contact has none to match by")
    # Everything the contact has is locked at once and in order, so that two upserts cannot wait for each other.
    _lock(tx, {*keys, *_keys(contact, "email"), *_keys(contact, "phone")})
    rows = await tx.all(_MATCHES[match], tx.tenant_id, [value for _, value in keys])
    if existing := _matched(tx, match, [from_row(row) for row in rows]):
        addition = _addition(existing, contact, new)
        patch = (await tx.before("contact.update", Change(existing.id, addition))).patch
        refused = {} if patch is addition else rules.refusals(tx.actor, patch)
        return Upserted(await _change(tx, existing, patch, settings, refused), created=False)
    amended = await tx.before("contact.create", new)
    if amended is not new:
        contact = _made(tx, amended, settings)
        if set(_keys(contact, match)) != set(keys):
            raise HookFailed(f"A hook changed what the contact is matched by ({match}): an upsert cannot go by it.")
    duplicates = await _claim(tx, contact, settings.duplicate_policy)
    _insert(tx, contact)
    return Upserted(_answer(tx, contact, duplicates), created=True)


def _matched(tx: Tx, match: MatchBy, found: Sequence[Contact]) -> Contact | None:
    """The one contact that matches, if any does. Raises a Conflict for several, and for one that is not seen."""
    sharing = _Sharing(tuple(each.id for each in found if tx.actor.sees(each.owner_id)), len(found))
    if len(found) > 1:
        raise AmbiguousMatch(f"More than one contact matches by {match}: {sharing}.", **sharing.extra())
    if sharing.others and match == "external_id":
        raise ExternalIdTaken("A contact that you do not see has this external_id.")
    if sharing.others:
        what = "number" if match == "phone" else "address"
        detail = f"A contact that you do not see has this {what}: it cannot be updated by you, and is not made twice."
        raise DuplicateContact(detail, **sharing.extra())
    return found[0] if found else None


# Not through the view: a row can only be locked in its table. The ids are found by the view's indexes first.
_MATCH = f"""
select {READ}
from contacts
where tenant_id = $1 and deleted_at is null and id = any(array(
  select id from tenant_contacts where tenant_id = $1 and deleted_at is null and {{}} limit 10))
order by id
for update
"""

_MATCHES: Final[dict[MatchBy, str]] = {
    "email": _MATCH.format("email_addresses && $2::text[]"),
    "phone": _MATCH.format("phone_numbers && $2::text[]"),
    "external_id": _MATCH.format("external_id = any($2::text[])"),
}


def _addition(existing: Contact, contact: Contact, new: NewContact) -> ContactPatch:
    """What an upsert changes on the contact it found."""
    given = {
        name: getattr(contact, name)
        for name in cleaning.PATCHABLE
        if getattr(new, name) and name not in ("kind", "phones", "emails")
    }
    numbers = {(phone.number, phone.extension) for phone in existing.phones}
    addresses = {email.address for email in existing.emails}
    phones = [phone for phone in contact.phones if (phone.number, phone.extension) not in numbers]
    emails = [email for email in contact.emails if email.address not in addresses]
    if phones:
        given["phones"] = (*existing.phones, *(replace(phone, primary=False) for phone in phones))
    if emails:
        given["emails"] = (*existing.emails, *(replace(email, primary=False) for email in emails))
    return ContactPatch(**given)


async def _locked(
    tx: Tx, id: UUID, *, version: int | None = None, deleted: bool = False
) -> tuple[Contact, TenantSettings]:
    """The contact, locked until the transaction ends, and the tenant's settings, in one round trip."""
    asked = tx.queue(LOCK, tx.tenant_id, id)
    tenant = await tx.writable()
    if not asked.rows:
        await tx.flush()
    contact = from_row(asked.rows[0]) if asked.rows else None
    if contact is None or (contact.deleted_at is not None and not deleted) or not tx.actor.sees(contact.owner_id):
        raise ContactNotFound(f"There is no contact {id}.")
    if version is not None and version != contact.version:
        raise VersionMismatch(
            f"The contact is at version {contact.version}; your change was made to version {version}.",
            current=rules.shown(tx.actor, contact),
        )
    return contact, tenant.settings


@dataclass(frozen=True, slots=True)
class _Sharing:
    """Contacts that have something in common: those that the actor sees, and how many there are in all."""

    seen: tuple[UUID, ...]
    total: int

    @property
    def others(self) -> int:
        """How many of them the actor does not see."""
        return self.total - len(self.seen)

    def extra(self) -> dict[str, Any]:
        """What a problem says of them beside its words."""
        return {"contacts": list(self.seen), **({"others": self.others} if self.others else {})}

    def __str__(self) -> str:
        unseen = f"{self.others} that you do not see"
        return ", ".join(map(str, self.seen)) + (f" and {unseen}" if self.seen else unseen) * bool(self.others)


SHARING = """
select id, phone_numbers && $2::text[], email_addresses && $3::text[], owner_id{}
from tenant_contacts
where tenant_id = $1 and deleted_at is null and id <> $4
  and (phone_numbers && $2::text[] or email_addresses && $3::text[])
order by {}id
limit 20
"""

_SHARING_SEEN: Final = SHARING.format("", "")


async def _claim(tx: Tx, contact: Contact, policy: DuplicatePolicy) -> _Sharing | None:
    """Hold the contact's numbers and addresses against whoever adds them at this moment; returns who has them already.

    The policy goes by every contact of the tenant, and tells of those that the actor sees.
    Raises DuplicateContact under the policy `reject`.
    """
    if policy == "allow" or not (contact.phones or contact.emails):
        return None
    phones, emails = _keys(contact, "phone"), _keys(contact, "email")
    _lock(tx, {*phones, *emails})
    seen, owners = visible(tx.actor, 5)
    asked = SHARING.format(", count(*) over ()", f"(true{seen}) desc nulls last, ") if seen else _SHARING_SEEN
    # A statement of its own: it sees what was committed while the locks were waited for.
    rows = await tx.all(asked, tx.tenant_id, [n for _, n in phones], [a for _, a in emails], contact.id, *owners)
    if not rows:
        return None
    sharing = _Sharing(tuple(row[0] for row in rows if tx.actor.sees(row[3])), rows[0][4] if seen else len(rows))
    if policy == "reject":
        secret = rules.hidden(tx.actor)
        kinds = ((1, "phones", "a phone number"), (2, "emails", "an e-mail address"))
        shared = [what for at, name, what in kinds if name not in secret and any(row[at] for row in rows)]
        what = " and ".join(shared) or "something that you do not see"
        raise DuplicateContact(f"{what.capitalize()} is shared with {sharing}.", **sharing.extra())
    return sharing


def _keys(contact: Contact, match: MatchBy) -> list[tuple[str, str]]:
    """What a contact can be matched by, in its normal form."""
    if match == "external_id":
        return [("external_id", contact.external_id)] if contact.external_id else []
    if match == "phone":
        return [("phone", phone.number) for phone in contact.phones]
    return [("email", email_key(email.address)) for email in contact.emails]


HOLD = "select pg_advisory_xact_lock($1)"


def _lock(tx: Tx, keys: Iterable[tuple[str, str]]) -> None:
    """Queue locks on normalised values, each tenant's apart, always in the same order."""
    numbers = {
        int.from_bytes(blake2b(f"{tx.tenant_id}/{kind}/{value}".encode(), digest_size=8).digest(), signed=True)
        for kind, value in keys
    }
    for number in sorted(numbers):
        tx.queue(HOLD, number)


def _event(type: str, contact: Contact, changes: dict[str, tuple[Any, Any]]) -> Event:
    """What happened to a contact, which is now like this: the version puts a contact's events in order for good."""
    return Event(type, contact.id, contact.id, changes, {"version": contact.version}, at=contact.updated_at)


def _difference(old: Contact | None, new: Contact) -> dict[str, tuple[Any, Any]]:
    """`{field: [old, new]}` of what differs; of a new contact, of what it has."""
    changes = {}
    for name in RECORDED:
        after = getattr(new, name)
        before = getattr(old, name) if old else None
        if before != after and (old or after):
            changes[name] = (before, after)
    return changes
