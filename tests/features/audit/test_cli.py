"""The audit log on the command line."""

import psycopg

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures


def sealed(acme: Run) -> None:
    """Seal everything, though another database's transaction may hold it back for a moment."""
    while "Everything is sealed" not in acme("audit", "seal").err or not settled(acme):
        pass


def settled(acme: Run) -> bool:
    (told,) = acme("audit", "verify", "--tenant", "acme", "--json").data["data"]
    return bool(told["summary"]["unsealed"] == 0)


def test_the_log_is_searched(acme: Run) -> None:
    id = acme("contacts", "add", "--first-name", "Ann").out.strip()
    acme("contacts", "edit", id, "--company", "Acme")
    (updated,) = acme("audit", "events", "--contact", id, "--field", "company", "--json").data["data"]
    assert updated["changes"] == {"company": [None, "Acme"]}
    assert updated["origin"] == "cli"
    listed = acme("audit", "events", "--type", "contact.*", "--actor", "system:cli", "--from", "2020-01-01").out
    assert "contact.updated" in listed
    assert updated["id"] in listed
    shown = acme("audit", "show", updated["id"]).out
    assert "nothing -> Acme" in shown
    assert acme("audit", "show", updated["id"], "--json").data == updated
    assert "There is nothing of this" in acme("audit", "events", "--type", "contact.purged").err
    assert "There is more: --cursor" in acme("audit", "events", "--limit", "1").err
    assert "There is no event" in acme("audit", "show", id, fails=1).err
    assert "did you mean contact.created" in acme("audit", "events", "--type", "contact.creatd", fails=1).err
    assert "must be a moment" in acme("audit", "events", "--from", "yesterday", fails=2).err
    was = acme("contacts", "show", id, "--as-of", updated["at"], "--json").data
    assert (was["company"], was["version"]) == ("Acme", 2)
    assert "must not be in the future" in acme("contacts", "show", id, "--as-of", "2999-01-01", fails=1).err
    assert "made later than that" in acme("contacts", "show", id, "--as-of", "1999-01-01", fails=1).err


def test_tampering_is_told_with_a_line_each_and_an_exit_code(acme: Run, clone: str) -> None:
    for name in ("Ann", "Bob", "Cy"):
        acme("contacts", "add", "--first-name", name)
    acme("tenants", "create", "globex")
    sealed(acme)
    assert "Everything is sealed." in acme("audit", "seal").err
    ran = acme("audit", "verify")
    assert ran.out == ""
    assert "acme: 4 events, " in ran.err
    assert "0 not sealed yet" in ran.err
    assert "globex: 1 events" in ran.err
    data = acme("audit", "verify", "--tenant", "acme", "--json").data["data"]
    assert (data[0]["right"], data[0]["findings"]) == (True, [])
    known = data[0]["summary"]["hash"]
    acme("audit", "verify", "--tenant", "acme", "--known", known)
    assert "say which with --tenant" in acme("audit", "verify", "--known", known, fails=2).err
    assert "no seal has the hash" in acme("audit", "verify", "--tenant", "globex", "--known", known, fails=1).out
    with psycopg.connect(clone, autocommit=True) as owner:
        ids = [row[0] for row in owner.execute("select id from events where contact_id is not null order by id")]
        owner.execute("update events set actor = 'user:x' where id = %s", [ids[0]])
        owner.execute("delete from events where id = %s", [ids[1]])
    ran = acme("audit", "verify", fails=1)
    lines = sorted(ran.out.splitlines())
    assert lines[0].startswith(f"acme: event {ids[0]} altered: what it says of who did what")
    assert lines[1].startswith(f"acme: event {ids[1]} removed: seal ")
    assert len(lines) == 2
    assert "2 not right" in ran.err
    told = acme("audit", "verify", "--json", fails=1).data["data"]
    assert [(each["tenant"], each["right"]) for each in told] == [("acme", False), ("globex", True)]
    assert {finding["kind"] for finding in told[0]["findings"]} == {"altered", "removed"}


def test_the_months_are_kept(acme: Run) -> None:
    assert "0 months made, 0 dropped, and 0 events of others deleted." in acme("audit", "maintain").err
