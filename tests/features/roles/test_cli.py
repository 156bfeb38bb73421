"""Roles on the command line."""

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures


def test_a_role_is_made_shown_changed_and_deleted(acme: Run) -> None:
    said = acme(
        "roles", "create", "night-shift", "--permission", "contacts:read", "--permission", "contacts:write",
        "--visibility", "team", "--hide", "contact.birthday", "--hide", "contact.custom",
        "--read-only", "contact.phones",
    ).err  # fmt: skip
    assert said == "The role night-shift is made.\n"
    made = acme("roles", "show", "night-shift", "--json").data
    assert made["permissions"] == ["contacts:read", "contacts:write"]
    assert made["fields"] == {"contact": {"hidden": ["birthday", "custom"], "read_only": ["phones"]}}
    changes = ("--permission", "contacts:read", "--read-only", "contact.custom", "--show", "contact.phones")
    changed = acme("roles", "set", "night-shift", *changes, "--hide", "contact.job-title", "--json").data
    assert (changed["permissions"], changed["visibility"], changed["version"]) == (["contacts:read"], "team", 2)
    assert changed["fields"] == {"contact": {"hidden": ["birthday", "job_title"], "read_only": ["custom"]}}
    shown = acme("roles", "set", "night-shift", "--visibility", "own").out
    assert "contact.birthday, contact.job_title, contact.custom (read-only)" in shown
    assert "version" in shown
    listed = acme("roles", "list").out
    assert listed.index("owner") < listed.index("viewer") < listed.index("night-shift")
    assert [role["name"] for role in acme("roles", "list", "--json").data["data"]][-1] == "night-shift"
    assert "is deleted" in acme("roles", "delete", "night-shift", "--yes").err
    assert "There is no role 'night-shift'." in acme("roles", "show", "night-shift", fails=1).err


def test_every_mistake_is_told_at_once(acme: Run) -> None:
    said = acme(
        "roles", "create", "Night Shift", "--permission", "contact:read", "--hide", "contact.birthdy",
        "--read-only", "contract.id", fails=1,
    ).err  # fmt: skip
    for line in (
        "name: must be 1 to 50 small letters, digits, hyphens and underscores",
        "permissions.0: 'contact:read' is no permission; did you mean contacts:read?",
        "fields.contact.hidden.0: 'birthdy' is no field of a contact that can be withheld; did you mean birthday?",
        "fields.contract: 'contract' is no kind of record; did you mean contact?",
    ):
        assert line in said
    assert "such as contact.birthday" in acme("roles", "create", "x", "--hide", "birthday", fails=1).err
    assert "built in" in acme("roles", "set", "owner", "--visibility", "own", fails=1).err
    assert "Say what to change" in acme("roles", "set", "owner", fails=2).err
    assert "nobody to ask: add --yes" in acme("roles", "delete", "owner", fails=2).err
