"""Operations on the command line."""

from uuid import uuid4

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures

TO = str(uuid4())


def test_one_is_started_here_shown_and_undone(acme: Run) -> None:
    id = acme("contacts", "add", "--first-name", "Ann").out.strip()
    ran = acme("operations", "start", "contacts.assign", "from=null", f"to={TO}", "--here")
    operation = ran.out.strip()
    assert "contacts.assign is completed: 1 of 1 done." in ran.err
    assert acme("contacts", "show", id, "--json").data["owner_id"] == TO
    assert "completed" in acme("operations", "show", operation).out
    assert acme("operations", "show", operation, "--json").data["done"] == 1
    assert "is completed" in acme("operations", "watch", operation).err
    undoing = acme("operations", "undo", operation).out.strip()
    assert acme("operations", "show", undoing, "--json").data["undo_of"] == operation
    listed = acme("operations", "list", "--json").data["data"]
    assert [each["id"] for each in listed] == [undoing, operation]
    assert "contacts.assign" in acme("operations", "list", "--state", "queued").out


def test_one_that_waits_is_paused_resumed_and_canceled(acme: Run) -> None:
    id = acme("operations", "start", "contacts.purge_deleted", "--json").data["id"]
    assert "is paused" in acme("operations", "pause", id).err
    assert acme("operations", "resume", id, "--json").data["state"] == "queued"
    assert "is canceled" in acme("operations", "cancel", id).err
    assert "The operation is canceled." in acme("operations", "cancel", id, fails=1).err
    assert "cannot be undone" in acme("operations", "undo", id, fails=1).err


def test_mistakes_are_told(acme: Run) -> None:
    assert "did you mean contacts.assign?" in acme("operations", "start", "contacts.asign", fails=1).err
    assert "params.from: is needed" in acme("operations", "start", "contacts.assign", f"to={TO}", fails=1).err
    assert "must be given as key=value" in acme("operations", "start", "contacts.assign", "to", fails=1).err
    assert "There is no operation here. Kinds are contacts.assign" in acme("operations", "list").err
    assert "There is no operation" in acme("operations", "show", TO, fails=1).err
