"""CSV files as people have them."""

import io

import pytest

from bellbird.core.errors import InvalidInput
from bellbird.features.contacts import columns, csv_files
from bellbird.features.contacts.csv_files import UnreadableFile


def read(content: bytes) -> list[tuple[int, int, list[str]]]:
    file = io.BytesIO(content)
    surveyed = csv_files.survey(file)
    found = [(record.line, record.last_line, record.cells) for record in csv_files.records(file, surveyed)]
    assert len(found) == surveyed.records
    return found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty."),
        (b"\n\n", "The file is empty."),
        ("first_name\nAnn\nRenée\n".encode("cp1252"), "Line 3 is not UTF-8: its byte 0xE9 (é in the Windows encoding)"),
        ("first_name\nAnn\n".encode("utf-16"), "The file is text in UTF-16"),
        ("first_name\nAnn\n".encode("utf-16-le"), "The first line has NUL bytes"),
        (b"PK\x03\x04....", "an Excel workbook"),
        (b'first_name\nAnn\n"Bob\nCat\n', "A quote that is opened in line 3 is not closed"),
        (b"first_name\n" + b"x" * 3_000_000, "is longer than a million characters"),
        (b"first_name\nRen\xc3", "ends in the middle of a character, in line 2"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_line(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        csv_files.survey(io.BytesIO(content))
    assert said in refused.value.detail


def test_rows_are_counted_by_the_lines_of_the_file() -> None:
    content = b'name,phone\r\n\r\n"Ann\r\nLee",1\r\n,\r\nBob,2\r\n'
    assert read(content) == [(3, 4, ["Ann\r\nLee", "1"]), (6, 6, ["Bob", "2"])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_line_ends_delimiters_and_byte_order_marks_are_recognised(end: str, delimiter: str, encoding: str) -> None:
    content = f"name{delimiter}phone{end}Zoë{delimiter}1{end}"
    assert read(content.encode(encoding)) == [(2, 2, ["Zoë", "1"])]


def test_a_character_may_lie_across_two_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "CHUNK", 8)
    assert read(b"name\nx\n" + "ë\nx\nxy\n".encode()) == [(2, 2, ["x"]), (3, 3, ["ë"]), (4, 4, ["x"]), (5, 5, ["xy"])]
    assert read(b"name\nxy" + "ë\n".encode())[-1][2] == ["xyë"]


def test_a_broken_character_across_two_chunks_is_told_by_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "CHUNK", 8)
    with pytest.raises(UnreadableFile, match="Line 2 is not UTF-8: its byte 0xC3"):
        csv_files.survey(io.BytesIO(b"name\nxy\xc3x\n"))


def test_a_row_whose_quotes_are_wrong_is_shown_as_it_is_and_the_next_is_read() -> None:
    file = io.BytesIO(b'name\n"Gus "x" y"\nAnn\n')
    gus, ann = csv_files.records(file, csv_files.survey(file))
    assert (gus.line, gus.problem is not None) == (2, True)
    assert (ann.line, ann.cells, ann.problem) == (3, ["Ann"], None)


@pytest.mark.parametrize(
    ("title", "field", "label"),
    [
        ("First Name", "first_name", None), ("SURNAME", "last_name", None), ("E-mail", "email", None),
        ("e-mail 2", "email", None), ("Phone 3", "phone", None), ("phone2", "phone", None),
        ("Mobile", "phone", "mobile"),
        ("Work Phone", "phone", "work"), ("Mobile 2", "phone", "mobile"), ("Suburb", "city", None),
        ("State/Territory", "region", None), ("Post Code", "postcode", None), ("Address Line 1", "street", None),
        ("custom.Shoe Size", "custom.Shoe Size", None), ("D.O.B.", "birthday", None), ("first_name 2", None, None),
        ("Date of birth", "birthday", None), ("Company Name", "company", None), ("custom.", None, None),
    ],
)  # fmt: skip
def test_a_title_is_recognised_by_what_people_call_it(title: str, field: str | None, label: str | None) -> None:
    if field is None:
        with pytest.raises(InvalidInput):
            columns.layout([title])
        return
    (column,) = columns.layout([title]).columns
    assert (column.field, column.label) == (field, label)


@pytest.mark.parametrize(
    ("typed", "kept"), [("1990-12-31", "1990-12-31"), ("31/12/1990", "1990-12-31"), ("1.2.1990", "1990-02-01")]
)
def test_a_birthday_is_read_day_first(typed: str, kept: str) -> None:
    contact, _ = columns.layout(["birthday"]).contact([typed])
    assert str(contact.birthday) == kept


@pytest.mark.parametrize("typed", ["12/31/1990", "31/12/90", "tomorrow", "1990-02-30"])
def test_what_is_no_date_is_told(typed: str) -> None:
    with pytest.raises(InvalidInput, match=f"DOB: must be a date such as 1990-12-31 or 31/12/1990, not '{typed}'"):
        columns.layout(["DOB"]).contact([typed])
