"""A contact's fields as options of a command, and what was typed there as a contact or a change to one."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
import msgspec

from bellbird.core.errors import Fault, InvalidInput
from bellbird.features.contacts.cleaning import PATCHABLE
from bellbird.features.contacts.models import Address, ContactPatch, Email, NewContact, Phone, Url

Command = TypeVar("Command", bound=Callable[..., Any])

ADDRESS: Final = ("street", "city", "region", "postcode", "country")
OBJECTS: Final = ("custom", "preferences")
_LISTS: Final = {"phone": "phones", "email": "emails", "tag": "tags", "url": "urls", "address": "addresses"}

# `mobile:0412 345 678`, but neither `tel:+61412345678` nor `https://acme.example`.
_LABELLED = re.compile(r"(?!tel:)([A-Za-z][\w -]{0,30}):(?!//)(.+)", re.DOTALL)

_OPTIONS: Final = (
    click.option("--kind", type=click.Choice(["person", "organisation"]), help="Default: person."),
    click.option("--first-name"),
    click.option("--last-name"),
    click.option("--display-name", help="What it is called; default: made up from the other names."),
    click.option("--company"),
    click.option("--job-title"),
    click.option("--phone", "phones", multiple=True,
                 help='In any format; may be repeated, and labelled: "mobile:0412 345 678".'),
    click.option("--email", "emails", multiple=True, help="May be repeated, and labelled: work:ann@acme.example."),
    click.option("--url", "urls", multiple=True, help="May be repeated, and labelled."),
    click.option("--street", help="With the next four: the postal address."),
    click.option("--city"),
    click.option("--state", "region", help="The state, territory or region."),
    click.option("--postcode"),
    click.option("--country", help="AU, NZ, ..."),
    click.option("--birthday", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD"),
    click.option("--timezone", help="Such as Australia/Perth."),
    click.option("--locale", help="Such as en-AU."),
    click.option("--source", help="Where it came from."),
    click.option("--owner", "owner_id", type=click.UUID, help="The user who looks after it."),
    click.option("--tag", "tags", multiple=True, help="May be repeated."),
    click.option("--external-id", help="Its id in another system."),
    click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE",
                 help="custom.KEY or preferences.KEY; the value as JSON, or else as text. May be repeated."),
)  # fmt: skip


def fields(function: Command) -> Command:
    """Give a command an option for each field of a contact."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def new(options: Mapping[str, Any]) -> NewContact:
    """The contact that the options describe."""
    return NewContact(**_given(options))


def patch(options: Mapping[str, Any], unset: Sequence[str]) -> ContactPatch:
    """The change that the options describe; `unset` names what is to be emptied. Raises InvalidInput."""
    given = _given(options)
    faults = []
    for typed in unset:
        name, _, key = typed.strip().replace("-", "_").partition(".")
        name = _LISTS.get(name, name)
        if name in OBJECTS and key:
            given.setdefault(name, {})[typed.partition(".")[2]] = None
        elif name in PATCHABLE and not key:
            given[name] = None
        else:
            message = f"there is no such field to unset; there are {', '.join(PATCHABLE)}, and custom.KEY"
            faults.append(Fault("unknown_field", message, pointer=f"/{typed}"))
    if faults:
        raise InvalidInput(faults=faults)
    if not given:
        raise InvalidInput("Say what to change: `bellbird contacts edit --help` lists the options.")
    return ContactPatch(**given)


def labelled(text: str) -> tuple[str | None, str]:
    """What was typed, apart from its label: "mobile:0412 345 678" -> ("mobile", "0412 345 678")."""
    match = _LABELLED.fullmatch(text.strip())
    return (match[1].strip(), match[2].strip()) if match else (None, text)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that options were given for. Raises InvalidInput."""
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    assignments = given.pop("assignments", ())
    if parts := {name: given.pop(name) for name in ADDRESS if name in given}:
        given["addresses"] = (Address(**parts),)
    if "birthday" in given:
        given["birthday"] = given["birthday"].date()
    if "phones" in given:
        given["phones"] = tuple(Phone(number, label=label) for label, number in map(labelled, given["phones"]))
    if "emails" in given:
        given["emails"] = tuple(Email(address, label) for label, address in map(labelled, given["emails"]))
    if "urls" in given:
        given["urls"] = tuple(Url(url, label) for label, url in map(labelled, given["urls"]))
    return given | _objects(assignments)


def _objects(assignments: Sequence[str]) -> dict[str, Any]:
    """`custom` and `preferences` from `custom.plan=gold`, `preferences.hours.from=9`."""
    objects: dict[str, Any] = {}
    faults = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        name, *keys = path.strip().split(".")
        if not equals or name not in OBJECTS or not all(keys) or not keys:
            message = "must look like custom.KEY=VALUE or preferences.KEY=VALUE; other fields have options of their own"
            faults.append(Fault("invalid_value", message, pointer=f"/{assignment}"))
            continue
        within = objects.setdefault(name, {})
        for key in keys[:-1]:
            within = within.setdefault(key, {}) if isinstance(within, dict) else {}
        if isinstance(within, dict):
            within[keys[-1]] = _json_or_text(text)
    if faults:
        raise InvalidInput(faults=faults)
    return objects


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
