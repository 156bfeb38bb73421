"""Importing contacts from a file: what goes in, what is refused, and how that is told."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from bellbird.core.engine import Tx
from bellbird.core.errors import Unavailable
from bellbird.features.contacts import importing
from tests.command_line import SECRET, Run, acme, cli, cli_settings  # noqa: F401 - fixtures

GOOD = """First Name,Surname,Mobile,phone 2,E-mail,Organisation,State,Country,tags,DOB,custom.plan
Ann,Lee,0412 345 678,(02) 9374 4000,ann@acme.example,Acme,NSW,Australia,vip; lead,31/12/1990,gold

"Bob
Junior",Ray,,,bob@x.example,,,,,1990-02-01,
,,,,,,,,,,
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.csv"


def contacts(acme: Run, *words: str) -> list[dict[str, object]]:
    data: list[dict[str, object]] = acme("contacts", "list", "--json", "--sort", "created_at", *words).data["data"]
    return data


def test_a_file_as_people_have_it_goes_in(acme: Run, file: Path) -> None:
    file.write_text(GOOD, "utf-8-sig")
    assert "2 of 2 rows added to acme." in acme("contacts", "import", file).err
    ann, bob = contacts(acme)
    assert (ann["first_name"], ann["last_name"], ann["company"], ann["birthday"]) == (
        "Ann",
        "Lee",
        "Acme",
        "1990-12-31",
    )
    assert [(each["number"], each["label"]) for each in ann["phones"]] == [  # type: ignore[attr-defined]
        ("+61412345678", "mobile"),
        ("+61293744000", None),
    ]
    assert (ann["tags"], ann["custom"]) == (["vip", "lead"], {"plan": "gold"})
    assert ann["addresses"][0]["country"] == "AU"  # type: ignore[index]
    assert bob["first_name"] == "Bob Junior"
    logged = acme("audit", "events", "--contact", ann["id"], "--json").data["data"]
    assert [(each["type"], each["origin"]) for each in logged] == [("contact.created", "import")]


def test_rejects_are_told_by_line_and_reason_and_the_rest_goes_in(acme: Run, file: Path, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    file.write_text(
        "first_name,Mobile,email,external_id\n"
        "Ann,+1 415 555 2671,ann@a.example,1\n"  # 2: a phone of another region
        "Bob,12,bob@,2\n"  # 3: two faults
        "Cat,0412 345 678,,3\n"
        "Dan,,,3\n"  # 5: PostgreSQL alone sees that 3 is taken
        ",,,5\n"  # 6: nobody
        "Eve,x\n"  # 7: short
        "Fay,,,7,extra\n"  # 8: long
        '"Gus "x" y",,,8\n'  # 9: quotes
        "Hal\0,,,9\n"  # 10: NUL
        "Ivy,0412345678,,10\n"  # 11: a duplicate
        "Jo,,jo@a.example,11\n"
    )
    ran = acme("contacts", "import", file, "--rejects", rejects, "--json", fails=1)
    assert ran.data == {"tenant": "acme", "added": 2, "rejected": 9, "rows": 11, "dry_run": False}
    assert [each["first_name"] for each in contacts(acme)] == ["Cat", "Jo"]
    with open(rejects, newline="") as written:
        rows = {int(row["line"]): row for row in csv.DictReader(written)}
    said = {
        2: "Mobile: '+1 415 555 2671' is a number of US",
        3: "email: 'bob@' has no dot",
        5: "Another contact has this external_id",
        6: "A contact needs a name",
        7: "has 2 cells, and the first line 4",
        8: "Too much is: extra",
        9: "has a quote in the middle of a text",
        10: "U+0000",
        11: "A phone number is shared with",
    }
    assert rows.keys() == said.keys()
    for line, reason in said.items():
        assert reason in rows[line]["reason"]
        assert f"Line {line}: " in ran.err
    assert rows[3]["first_name"] == "Bob"
    assert "Mobile: '12' has too few digits" in rows[3]["reason"]


def test_only_the_first_rejects_are_shown(acme: Run, file: Path) -> None:
    file.write_text("first_name,phone\n" + "Ann,12\n" * 30)
    ran = acme("contacts", "import", file, fails=1)
    assert "Line 21: " in ran.err
    assert "Line 22: " not in ran.err
    assert "--rejects FILE.csv writes them all" in ran.err
    assert "0 of 30 rows added to acme, 30 rejected." in ran.err


def test_unknown_columns_are_named_with_what_may_be_meant(acme: Run, file: Path) -> None:
    file.write_text("fist_name,phone,Shoe Size,company,Organisation,,email\nAnn,,9,,,,\n")
    said = acme("contacts", "import", file, fails=1).err
    assert "column 1: 'fist_name' is not a field of a contact; did you mean first_name?" in said
    assert (
        "column 3: 'Shoe Size' is not a field of a contact; for a field of your own call it custom.shoe_size." in said
    )
    assert "column 5: 'Organisation' is the same field as 'company': company." in said
    assert "column 6: has no title" in said
    file.write_text("First Name,Shoe Size\nAnn,9\n")
    acme("contacts", "import", file, "--ignore-unknown")
    assert [each["first_name"] for each in contacts(acme)] == ["Ann"]


def test_a_file_that_cannot_be_read_is_refused_before_anything_is_written(acme: Run, file: Path) -> None:
    file.write_bytes(b"first_name\nAnn\n" * 600 + "Renée\n".encode("cp1252"))
    assert "Line 1201 is not UTF-8" in acme("contacts", "import", file, fails=1).err
    assert contacts(acme) == []


def test_what_is_no_file_is_refused(acme: Run, tmp_path: Path, file: Path) -> None:
    assert "is a directory" in acme("contacts", "import", tmp_path, fails=2).err
    assert "does not exist" in acme("contacts", "import", file, fails=2).err
    file.write_text("first_name\nAnn\n")
    assert "would overwrite the file" in acme("contacts", "import", file, "--rejects", file, fails=2).err


def test_a_file_of_a_title_line_alone_is_no_mistake(acme: Run, file: Path) -> None:
    file.write_text("first_name,phone,,\n")
    assert "0 of 0 rows added to acme." in acme("contacts", "import", file).err


def test_a_trial_tells_everything_and_keeps_nothing(acme: Run, file: Path) -> None:
    file.write_text("first_name,external_id\nAnn,1\nBob,1\n,2\n")
    ran = acme("contacts", "import", file, "--dry-run", fails=1)
    assert "Trial, nothing is kept: " in ran.err
    assert "Line 4: A contact needs a name" in ran.err
    assert contacts(acme) == []


def test_a_pipe_is_read_too(acme: Run, file: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["sh", "-c", f"printf 'first_name\\nAnn\\n' > {pipe}"])
    acme("contacts", "import", pipe)
    writer.wait(5)
    assert len(contacts(acme)) == 1


def test_more_than_one_batch_goes_in_whole_and_in_order(acme: Run, file: Path) -> None:
    taken = 700  # in the second batch: its external id is that of row 3
    rows = [f"Ann {number},{3 if number == taken else number}" for number in range(1201)]
    file.write_text("first_name,external_id\n" + "\n".join(rows) + "\n")
    ran = acme("contacts", "import", file, fails=1)
    assert f"Line {taken + 2}: Another contact has this external_id\n" in ran.err
    assert "1,200 of 1,201 rows added to acme, 1 rejected." in ran.err
    assert acme("contacts", "list", "--total", "--json", "--limit", "1").data["total"] == {"count": 1200, "exact": True}


def test_a_commit_whose_answer_was_lost_is_not_repeated(acme: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, commits = Tx.commit, []

    async def lose_the_first_answer(tx: Tx) -> None:
        await commit(tx)
        commits.append(tx)
        if len(commits) == 1:
            raise Unavailable()

    async def no_pause(seconds: float) -> None: ...

    monkeypatch.setattr(Tx, "commit", lose_the_first_answer)
    monkeypatch.setattr(importing.asyncio, "sleep", no_pause)
    file.write_text("first_name\nAnn\nBob\n")
    acme("contacts", "import", file)
    assert len(contacts(acme)) == 2


def test_a_lost_transaction_is_repeated_and_one_that_stays_lost_is_told(
    acme: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, lose = Tx.commit, [True, True]

    async def lose_some(tx: Tx) -> None:
        if lose and lose.pop():
            raise Unavailable()
        await commit(tx)

    async def no_pause(seconds: float) -> None: ...

    monkeypatch.setattr(Tx, "commit", lose_some)
    monkeypatch.setattr(importing.asyncio, "sleep", no_pause)
    file.write_text("first_name\nAnn\nBob\n")
    acme("contacts", "import", file)
    assert len(contacts(acme)) == 2
    lose.extend([True] * importing.TRIES)
    ran = acme("contacts", "import", file, fails=1)
    assert "Nothing was added." in ran.err


def test_ctrl_c_finishes_the_batch_and_says_how_far_it_came(clone: str, acme: Run, file: Path) -> None:
    with open(file, "w") as lines:
        lines.write("first_name,email\n")
        lines.writelines(f"Ann {number},a{number}@acme.example\n" for number in range(20_000))
    env = {**os.environ, "BELLBIRD_DATABASE_URL": clone, "BELLBIRD_SECRET": SECRET}
    words = [sys.executable, "-m", "bellbird", "contacts", "import", str(file)]
    process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
    count = "select count(*) from contacts"
    with psycopg.connect(clone, autocommit=True) as owner:
        until = time.monotonic() + 20
        while owner.execute(count).fetchone() == (0,) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        row = owner.execute(count).fetchone()
    assert row is not None
    assert process.returncode == 130
    assert 0 < row[0] < 20_000
    assert f"Interrupted. The rows up to line {row[0] + 1} are dealt with: {row[0]:,} added" in err
    assert err.count("\n") == 1
