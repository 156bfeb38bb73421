"""A contact's timeline on the command line."""

from uuid import uuid4

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures


def test_it_is_shown_newest_first(acme: Run) -> None:
    id = acme("contacts", "add", "--first-name", "Ann").out.strip()
    acme("contacts", "edit", id, "--company", "Acme")
    lines = acme("timeline", id).out.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["contact.updated", "contact.created"]
    assert "system:cli" in lines[1]
    assert "company" in lines[1]
    data = acme("timeline", id, "--json", "--type", "contact.created", "--type", "contact.deleted").data["data"]
    assert [entry["type"] for entry in data] == ["contact.created"]


def test_pages_go_on_and_mistakes_are_told(acme: Run) -> None:
    id = acme("contacts", "add", "--first-name", "Ann").out.strip()
    acme("contacts", "delete", id, "--yes")
    first = acme("timeline", id, "--limit", "1")
    assert "contact.deleted" in first.out
    cursor = first.err.strip().rpartition(" ")[2]
    assert "contact.created" in acme("timeline", id, "--limit", "1", "--cursor", cursor).out
    assert "There is nothing of this on its timeline." in acme("timeline", id, "--type", "contact.updated").err
    assert "types: there is no 'contact.update'" in acme("timeline", id, "--type", "contact.update", fails=1).err
    assert "There is no contact" in acme("timeline", uuid4(), fails=1).err
