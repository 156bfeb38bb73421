"""`bellbird dial` on the command line."""

from pathlib import Path

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures

NUMBER = "0412 345 678"


def test_a_number_is_checked_and_opted_out(acme: Run) -> None:
    checked = acme("dial", "check", NUMBER, "--purpose", "service")
    assert checked.out.startswith("Yes: +61412345678 may be called on ")
    denied = acme("dial", "check", NUMBER, "--at", "2026-12-06T10:00+11:00", "--json", fails=1).data
    codes = [reason["code"] for reason in denied["reasons"]]
    assert codes == ["caller_id_missing", "outside_calling_hours"]
    assert "+61412345678 is not called any more" in acme("dial", "opt-out", NUMBER, "--source", "letter").err
    out = acme("dial", "check", NUMBER, "--purpose", "service", fails=1).out
    assert out.startswith("No: ")
    assert "opted_out" in out


def test_a_contact_is_checked(acme: Run) -> None:
    id = acme("contacts", "add", "--first-name", "Ann", "--phone", NUMBER, "--json").data["id"]
    assert acme("dial", "check", id, "--purpose", "service", "--json").data["contact_id"] == id


def test_a_washed_list_is_brought_in_as_often_as_one_likes(acme: Run, tmp_path: Path) -> None:
    file = tmp_path / "washed.csv"
    rows = [f"04120{number:05},{'yes' if number % 3 == 0 else 'no'}" for number in range(2500)]
    file.write_text("\n".join(["Number,Listed", *rows, "0412000000,no"]))
    for _ in range(2):
        ran = acme("dial", "wash", file, "--washed-at", "2026-11-20", "--json")
        assert ran.data == {"numbers": 2500, "listed": 834}


def test_one_bad_line_and_nothing_is_kept(acme: Run, tmp_path: Path) -> None:
    file = tmp_path / "washed.csv"
    file.write_text(f"number,listed\n{NUMBER},yes\n12,no\n0412345679,perhaps\n")
    told = acme("dial", "wash", file, fails=1).err
    assert "line 3: " in told
    assert "line 4: listed must be yes or no, not 'perhaps'" in told
    file.write_text("phone\n1\n")
    assert "has no column number and no column listed" in acme("dial", "wash", file, fails=1).err
    file.write_bytes(b"PK\x03\x04")
    assert "Excel" in acme("dial", "wash", file, fails=1).err
