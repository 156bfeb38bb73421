"""Contacts on the command line."""

from uuid import uuid4

import psycopg

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures

ANN = (
    "--first-name", "Ann", "--last-name", "Lee", "--phone", "mobile:0412 345 678", "--phone", "(02) 9374 4000 ext 12",
    "--email", "work:ann@acme.example", "--url", "https://acme.example", "--company", "Acme", "--tag", "vip",
    "--street", "1 George St", "--city", "Sydney", "--state", "NSW", "--country", "AU", "--birthday", "1990-12-31",
    "--set", "custom.plan=gold", "--set", "custom.seats=3", "--set", "preferences.hours.from=9",
)  # fmt: skip


def add(cli: Run, *words: str) -> str:
    return cli("contacts", "add", *words).out.strip()


def test_what_was_added_is_shown(acme: Run) -> None:
    id = add(acme, *ANN)
    contact = acme("contacts", "show", id, "--json").data
    assert [(each["number"], each["label"], each["extension"]) for each in contact["phones"]] == [
        ("+61412345678", "mobile", None),
        ("+61293744000", None, "12"),
    ]
    assert contact["emails"][0]["label"] == "work"
    assert contact["urls"][0] == {"url": "https://acme.example", "label": None}
    assert contact["custom"] == {"plan": "gold", "seats": 3}
    assert contact["preferences"] == {"hours": {"from": 9}}
    shown = acme("contacts", "show", id).out
    assert "phone         0412 345 678  (mobile, primary)" in shown
    assert "phone         (02) 9374 4000 ext 12  (landline)" in shown
    assert "address       1 George St, Sydney NSW, AU  (primary)" in shown


def test_json_is_what_rest_answers(acme: Run) -> None:
    contact = acme("contacts", "add", "--first-name", "Ann", "--json").data
    assert list(contact) == [
        "id", "kind", "first_name", "last_name", "display_name", "company", "job_title", "phones", "emails",
        "addresses", "urls", "birthday", "timezone", "locale", "source", "owner_id", "tags", "custom", "preferences",
        "external_id", "version", "created_at", "updated_at", "deleted_at",
    ]  # fmt: skip
    assert acme("contacts", "list", "--json").data == {"data": [contact], "next_cursor": None, "previous_cursor": None}


def test_a_phone_of_another_region_and_every_other_fault_is_told(acme: Run) -> None:
    wrong = ("--phone", "+1 415 555 2671", "--email", "nope", "--timezone", "Mars")
    said = acme("contacts", "add", *wrong, fails=1).err
    assert "phones.0.number: '+1 415 555 2671' is a number of US" in said
    assert "Numbers are accepted from: Australia, New Zealand." in said
    assert "emails.0.address: 'nope' has no @." in said
    assert "timezone: 'Mars' is not a time zone" in said
    assert "A contact needs a name" in acme("contacts", "add", fails=1).err
    assert "foo=1: must look like custom.KEY=VALUE" in acme("contacts", "add", "--set", "foo=1", fails=1).err
    assert "1990-02-30" in acme("contacts", "add", "--birthday", "1990-02-30", fails=2).err


def test_duplicates_are_refused_or_named(acme: Run) -> None:
    first = add(acme, "--phone", "0412 345 678")
    said = acme("contacts", "add", "--phone", "+61412345678", fails=1).err
    assert f"A phone number is shared with {first}." in said
    acme("tenants", "set", "acme", "duplicate_policy=warn")
    assert (
        f"Others have the same number or e-mail address: {first}"
        in acme("contacts", "add", "--phone", "0412345678").err
    )


def test_an_edit_changes_what_is_named_and_nothing_else(acme: Run) -> None:
    id = add(acme, *ANN)
    words = (
        "--company",
        "Bank",
        "--unset",
        "birthday",
        "--unset",
        "custom.plan",
        "--unset",
        "tag",
        "--set",
        "custom.n=1",
    )
    changed = acme("contacts", "edit", id, *words, "--json").data
    assert changed["version"] == 2
    assert (changed["company"], changed["birthday"], changed["tags"]) == ("Bank", None, [])
    assert changed["custom"] == {"seats": 3, "n": 1}
    assert len(changed["phones"]) == 2
    assert changed["addresses"][0]["city"] == "Sydney"
    assert "is at version 2" in acme("contacts", "edit", id, "--version", "1", "--company", "C", fails=1).err
    assert "Say what to change" in acme("contacts", "edit", id, fails=1).err
    assert "nope: there is no such field to unset" in acme("contacts", "edit", id, "--unset", "nope", fails=1).err


def test_a_list_is_filtered_sorted_paged_and_counted(acme: Run) -> None:
    for name, tag in (("Cy", "vip"), ("Al", "vip"), ("Bo", "lead")):
        add(acme, "--first-name", name, "--tag", tag)
    ran = acme("contacts", "list", "--filter", "tag=vip", "--sort", "name", "--limit", "1", "--total")
    assert ran.out.splitlines()[1].startswith("Al")
    assert "2 in all." in ran.err
    cursor = ran.err.partition("--cursor ")[2].split()[0]
    ran = acme("contacts", "list", "--filter", "tag=vip", "--sort", "name", "--limit", "1", "--cursor", cursor)
    assert ran.out.splitlines()[1].startswith("Cy")
    names = [each["display_name"] for each in acme("contacts", "list", "--json").data["data"]]
    assert names == ["Bo", "Al", "Cy"]
    either = acme("contacts", "list", "--filter", "tag:in=vip,lead", "--filter", "first_name:starts_with=b", "--json")
    assert [each["first_name"] for each in either.data["data"]] == ["Bo"]
    as_json = acme("contacts", "list", "--filter", '{"or": [{"first_name": "al"}, {"tag": "lead"}]}', "--json")
    assert len(as_json.data["data"]) == 2


def test_a_list_that_cannot_be_made_says_why(acme: Run) -> None:
    for words, said in (
        (["--filter", "shoe_size=9"], "filter[shoe_size]: there is no such field"),
        (["--filter", "tag:like=x"], "tag cannot be compared with 'like'"),
        (["--filter", "tag"], "must look like FIELD=VALUE"),
        (["--filter", "{}", "--filter", "tag=x"], "give it once"),
        (["--sort", "shoes"], "sort: cannot be 'shoes'"),
        (["--cursor", "***"], "cursor: is not a cursor"),
    ):
        assert said in acme("contacts", "list", *words, fails=1).err


def test_finding_by_text_and_by_number(acme: Run) -> None:
    id = add(acme, *ANN)
    assert id in acme("contacts", "find", "an le").out
    assert id in acme("contacts", "find", "--number", "+61 2 9374 4000").out
    assert acme("contacts", "find", "ann@", "--json").data["data"][0]["id"] == id
    nothing = acme("contacts", "find", "zebra")
    assert nothing.out == ""
    assert "every word has to begin a word" in nothing.err
    assert "No contact has the number 0499 000 111" in acme("contacts", "find", "--number", "0499 000 111").err
    assert "at least its last 6 digits" in acme("contacts", "find", "--number", "12", fails=1).err
    assert "Say what to look for" in acme("contacts", "find", fails=2).err


def test_deleting_restoring_and_erasing_several_at_once(acme: Run, clone: str) -> None:
    ids = [add(acme, "--first-name", name) for name in ("Ann", "Bob")]
    assert "There is nobody to ask: add --yes" in acme("contacts", "delete", *ids, fails=2).err
    assert "There is no contact" in acme("contacts", "delete", *ids, uuid4(), "--yes", fails=1).err
    assert len(acme("contacts", "list", "--json").data["data"]) == 2, "all or none"
    assert "Deleted 2 contacts" in acme("contacts", "delete", *ids, "--yes").err
    assert len(acme("contacts", "list", "--deleted", "--json").data["data"]) == 2
    assert f"Restored the contact {ids[0]}." in acme("contacts", "restore", ids[0]).err
    assert "Erased 1 contact." in acme("contacts", "purge", ids[0], "--yes").err
    assert "Erased 0 contacts." in acme("contacts", "purge", "--expired", "--yes").err
    with psycopg.connect(clone) as owner:
        owner.execute("update contacts set deleted_at = deleted_at - interval '91 days'")
    assert "Erased 1 contact." in acme("contacts", "purge", "--expired", "--yes").err
    assert acme("contacts", "list", "--deleted", "--json").data["data"] == []
    assert "Say which contacts" in acme("contacts", "purge", fails=2).err


def test_a_contact_that_is_not_there_and_an_id_that_is_none(acme: Run) -> None:
    id = uuid4()
    for verb in (("show",), ("restore",), ("delete", "--yes"), ("purge", "--yes"), ("edit", "--company", "X")):
        assert acme("contacts", verb[0], id, *verb[1:], fails=1).err == f"Error: There is no contact {id}.\n"
    assert "'12' is not a valid UUID" in acme("contacts", "show", "12", fails=2).err


def test_what_is_done_here_is_recorded_as_done_here(acme: Run, clone: str) -> None:
    add(acme, "--first-name", "Ann")
    with psycopg.connect(clone) as owner:
        recorded = owner.execute("select type, actor, origin from events where contact_id is not null").fetchall()
    assert recorded == [("contact.created", "system:cli", "cli")]
