"""API keys on the command line."""

from bellbird.core import credentials
from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures


def test_only_the_key_goes_to_stdout(acme: Run) -> None:
    ran = acme("keys", "create", "Website form", "--scope", "contacts:read", "--scope", "contacts:write")
    key = credentials.read("live", ran.out.strip())
    assert "The key Website form" in ran.err
    assert "contacts:read, contacts:write, until it is revoked. It is not shown again:" in ran.err
    (listed,) = acme("keys", "list", "--json").data["data"]
    assert (listed["id"], listed["name"], listed["created_by"]) == (str(key.id), "Website form", "system:cli")
    assert "key" not in listed
    table = acme("keys", "list").out
    assert listed["prefix"] in table
    assert ran.out.strip() not in table


def test_keys_are_listed_page_by_page_and_revoked(acme: Run) -> None:
    ids = [acme("keys", "create", f"k{n}", "--scope", "contacts:read", "--json").data["id"] for n in range(3)]
    assert "There is more: --cursor" in acme("keys", "list", "--limit", "2").err
    assert "Revoked 2 keys." in acme("keys", "revoke", *ids[:2], "--yes").err
    assert [key["id"] for key in acme("keys", "list", "--json").data["data"]] == ids[2:]
    assert [key["id"] for key in acme("keys", "list", "--revoked", "--json").data["data"]] == ids[::-1]
    assert "Revoked" in acme("keys", "list", "--revoked").out
    assert f"Revoked the key {ids[2]}." in acme("keys", "revoke", ids[2], "--yes").err
    assert "There is no API key here." in acme("keys", "list").err


def test_mistakes_are_told(acme: Run) -> None:
    assert "Missing option '--scope'" in acme("keys", "create", "x", fails=2).err
    said = acme("keys", "create", " ", "--scope", "contact:read", "--scope", "tenants:write", fails=1).err
    assert "scopes.0: 'contact:read' is no permission; did you mean contacts:read?" in said
    assert "scopes.1: 'tenants:write' is no permission" in said
    assert "name: must have something to be read" in said
    assert acme("keys", "create", "x", "--scope", "contacts:read", "--days", "9999", fails=2).err
    made = acme("keys", "create", "x", "--scope", "contacts:read", "--days", "30", "--json").data
    assert made["expires_at"] is not None
    assert "nobody to ask: add --yes" in acme("keys", "revoke", made["id"], fails=2).err
