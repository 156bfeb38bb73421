"""Follow-ups on the command line."""

from datetime import datetime, timedelta
from uuid import uuid4

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures

TOMORROW = f"{datetime.now() + timedelta(days=1):%Y-%m-%d %H:%M}"


def test_one_is_added_listed_and_done(acme: Run) -> None:
    ran = acme("follow-ups", "add", "0412 345 678", TOMORROW, "--note", "About the quote")
    id = ran.out.strip()
    assert "To be called back at" in ran.err
    ann = acme("contacts", "add", "--first-name", "Ann").out.strip()
    later = acme("follow-ups", "add", ann, "2027-01-31T09:00:00+11:00", "--json").data
    assert (later["contact_id"], later["due_at"]) == (ann, "2027-01-30T22:00:00Z")
    assert "About the quote" in acme("follow-ups", "list").out
    assert [each["id"] for each in acme("follow-ups", "list", "--contact", ann, "--json").data["data"]] == [later["id"]]
    assert "There is nobody to call back." in acme("follow-ups", "list", "--due", "now").err
    assert "There is more: --cursor" in acme("follow-ups", "list", "--limit", "1").err
    assert f"The follow-up {id} is done." in acme("follow-ups", "done", id).err
    assert [each["id"] for each in acme("follow-ups", "list", "--state", "done", "--json").data["data"]] == [id]


def test_mistakes_are_told(acme: Run) -> None:
    assert "number: " in acme("follow-ups", "add", "12", TOMORROW, fails=1).err
    assert "due_at: must be in the future" in acme("follow-ups", "add", "0412345678", "2020-01-01 09:00", fails=1).err
    assert "due: must be now, today or a moment" in acme("follow-ups", "list", "--due", "soon", fails=1).err
    assert "There is no follow-up" in acme("follow-ups", "done", uuid4(), fails=1).err
    assert "There is no contact" in acme("follow-ups", "add", uuid4(), TOMORROW, fails=1).err
