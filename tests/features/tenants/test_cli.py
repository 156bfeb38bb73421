"""Tenants on the command line."""

import json
from uuid import UUID

import psycopg

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures


def test_a_tenant_is_made_shown_changed_and_deleted(cli: Run) -> None:
    made = cli("tenants", "create", "kauri", "--name", "Kauri Ltd", "--default-region", "nz", "--json").data
    assert made["settings"]["default_region"] == "NZ"
    assert made["settings"]["timezone"] == "Pacific/Auckland"
    shown = cli("tenants", "show", "kauri").out
    assert "Kauri Ltd" in shown
    assert "calling_hours.au_telemarketing.sunday     none" in shown
    assert cli("tenants", "show", "kauri", "--json").data == made
    assert cli("tenants", "list", "--json").data == {"data": [made]}
    assert "is deleted, with 2 events." in cli("tenants", "delete", "kauri", "--yes").err
    assert "There is no tenant yet" in cli("tenants", "list").err


def test_settings_are_typed_as_people_type_them(cli: Run) -> None:
    cli("tenants", "create", "acme")
    changes = (
        "name=Acme Pty Ltd", "allowed_regions=au, nz,US", "max-phones=3", "duplicate_policy=reject",
        "calling_hours.nz.monday=null", "calling_hours.nz.sunday=10:00-12:00",
    )  # fmt: skip
    tenant = cli("tenants", "set", "acme", *changes, "--json").data
    settings = tenant["settings"]
    assert tenant["name"] == "Acme Pty Ltd"
    assert settings["allowed_regions"] == ["AU", "NZ", "US"]
    assert settings["max_phones"] == 3
    assert settings["calling_hours"]["nz"]["monday"] is None
    assert settings["calling_hours"]["nz"]["sunday"] == "10:00-12:00"
    assert settings["calling_hours"]["nz"]["tuesday"] == "08:00-21:00"
    assert "every region" in cli("tenants", "set", "acme", "allowed_regions=").out


def test_every_mistake_is_told_at_once_and_nothing_is_changed(cli: Run) -> None:
    cli("tenants", "create", "acme")
    wrong = (
        "max_phones=x", "max_emails=900", "foo=1", "timezone=Mars/Olympus", "calling_hours.nz.sunday=25:00-26:00",
        "calling_hours.nz.someday=09:00-10:00", "calling_hours=all", "duplicate_policy=maybe", "bar", "id=1",
        "keep_deleted_days=5",
    )  # fmt: skip
    said = cli("tenants", "set", "acme", *wrong, fails=1).err
    for line in (
        "max_phones: must be a whole number from 1 to 100, not 'x'",
        "max_emails: must be a whole number from 1 to 100, not '900'",
        "foo: there is no such setting; known are default_region",
        "id: there is no such setting",
        "timezone: 'Mars/Olympus' is not a time zone",
        "calling_hours.nz.sunday: must look like 09:00-20:00",
        "calling_hours.nz.someday: is set by the day",
        "calling_hours: is set by the day: calling_hours.au_telemarketing.monday to calling_hours.service.sunday",
        "duplicate_policy: must be allow or warn or reject, not 'maybe'",
        "bar: must be given as key=value",
    ):
        assert line in said
    assert cli("tenants", "show", "acme", "--json").data["version"] == 1


def test_a_new_tenant_with_mistakes_is_not_made(cli: Run) -> None:
    said = cli("tenants", "create", "acme", "--default-region", "XX", "--set", "max_phones=0", fails=1).err
    assert "'XX' is not a country code" in said
    assert "max_phones" in said
    assert "There is no tenant yet" in cli("tenants", "list").err


def test_a_slug_is_taken_or_wrong(acme: Run) -> None:
    assert "Another tenant has this slug." in acme("tenants", "create", "acme", fails=1).err
    assert "slug: must be 1 to 63 small letters" in acme("tenants", "create", "Acme Ltd", fails=1).err


def test_a_suspended_tenant_can_only_be_read(acme: Run) -> None:
    acme("tenants", "suspend", "acme")
    assert "The tenant acme is suspended" in acme("contacts", "add", "--first-name", "Ann", fails=1).err
    acme("contacts", "list")
    acme("tenants", "resume", "acme")
    UUID(acme("contacts", "add", "--first-name", "Ann").out.strip())


def test_deletion_asks_and_where_nobody_can_answer_refuses(acme: Run) -> None:
    assert "add --yes" in acme("tenants", "delete", "acme", fails=2).err
    assert len(acme("tenants", "list", "--json").data["data"]) == 1


def test_an_unknown_tenant_is_answered_with_those_there_are(acme: Run) -> None:
    for words in (("show",), ("suspend",), ("resume",), ("delete", "--yes"), ("set",)):
        extra = ["name=X"] if words == ("set",) else []
        ran = acme("tenants", words[0], "acmee", *words[1:], *extra, fails=1)
        assert ran.err == "Error: There is no tenant acmee; there are: acme.\n"


def test_a_change_is_an_event_of_the_command_line(acme: Run, clone: str) -> None:
    acme("tenants", "set", "acme", "max_phones=3")
    with psycopg.connect(clone) as owner:
        rows = owner.execute("select type, actor, origin, changes from events order by id").fetchall()
    assert [row[:3] for row in rows] == [
        ("tenant.created", "system:cli", "cli"),
        ("tenant.updated", "system:cli", "cli"),
    ]
    assert json.loads(json.dumps(rows[1][3])) == {"max_phones": [10, 3]}
