"""CSV files as people have them: whatever is wrong with one is told by its line.

A file is read twice: first whole, without writing anything, so that one that cannot be read is refused before a single
contact is added; then record by record. Neither pass keeps more than a record in memory.
"""

import csv
import io
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from bellbird.core.errors import BellbirdError

CHUNK: Final = 1 << 20
MAX_CELL: Final = 100_000
DELIMITERS: Final = (",", ";", "\t")

# The first bytes of what is often taken for a CSV file.
_OTHERS: Final = {
    b"PK\x03\x04": "an Excel workbook or a zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
_UTF8: Final = 'Save it as "CSV UTF-8 (comma delimited)" and try again.'


class UnreadableFile(BellbirdError):
    """The file cannot be read as CSV; nothing was imported."""

    code = "unreadable_file"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first reading found."""

    delimiter: str
    header: tuple[str, ...]
    records: int


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the file: its first and last line, its cells, and what is wrong with its quotes, if anything."""

    line: int
    last_line: int
    cells: list[str]
    problem: str | None = None


def survey(file: BinaryIO) -> Survey:
    """Read the whole file once. Raises UnreadableFile with the line at fault."""
    _check_text(file)
    delimiter = _delimiter(file)
    found = _records(file, delimiter)
    header = next(found, None)
    if header is None:
        raise UnreadableFile("The file is empty. Its first line has to name the columns: first_name,phone,email")
    if header.problem:
        raise UnreadableFile(f"Line {header.line}, which names the columns, {header.problem}.")
    titles = [title.strip() for title in header.cells]
    while titles and not titles[-1]:
        titles.pop()
    return Survey(delimiter, tuple(titles), sum(1 for _ in found))


def records(file: BinaryIO, surveyed: Survey) -> Generator[Record, None, None]:
    """The rows below the header; empty ones are left out."""
    found = _records(file, surveyed.delimiter)
    next(found, None)
    return found


def _records(file: BinaryIO, delimiter: str) -> Generator[Record, None, None]:
    file.seek(0)
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    try:
        yield from _parsed(text, delimiter)
    finally:
        text.detach()  # or it would close the file, which is not its own


def _parsed(text: io.TextIOWrapper, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(MAX_CELL)
    lines: list[str] = []

    def remembered() -> Iterator[str]:
        for line in text:
            if len(lines) < 100:  # enough to show of a record that cannot be read
                lines.append(line)
            yield line

    reader = csv.reader(remembered(), delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 1
        lines.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field larger" in str(error):
                raise UnreadableFile(
                    f"A quote that is opened in line {begins} is not closed within {MAX_CELL:,} characters: "
                    'close it, or double each quote inside a text ("Ann ""Annie"" Lee").'
                ) from None
            lenient = next(csv.reader(lines, delimiter=delimiter), [])
            problem = 'has a quote in the middle of a text; double it, as in "Ann ""Annie"" Lee"'
            yield Record(begins, reader.line_num, lenient, problem)
            continue
        if any(cell.strip() for cell in cells):
            yield Record(begins, reader.line_num, cells)


def _check_text(file: BinaryIO) -> None:
    """See that all of it is UTF-8 in lines. Raises UnreadableFile."""
    import codecs

    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, first = 1, True
    while chunk := file.read(CHUNK):
        if first:
            _check_beginning(chunk)
            first = False
        if len(chunk) == CHUNK and b"\n" not in chunk and b"\r" not in chunk:
            raise UnreadableFile(f"Line {line} is longer than a million characters: this is no CSV file.")
        held = decoder.getstate()[0]
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise _not_utf8(held + chunk, error, line) from None
        line += _line_ends(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise UnreadableFile(f"The file ends in the middle of a character, in line {line}: it is not whole.") from None


def _check_beginning(chunk: bytes) -> None:
    for signature, what in _OTHERS.items():
        if chunk.startswith(signature):
            raise UnreadableFile(f"The file is {what}, and not CSV. {_UTF8}")
    if b"\0" in chunk.partition(b"\n")[0]:
        raise UnreadableFile(f"The first line has NUL bytes: the file is text in UTF-16, or no text. {_UTF8}")


def _not_utf8(chunk: bytes, error: UnicodeDecodeError, line: int) -> UnreadableFile:
    line += _line_ends(chunk[: error.start])
    byte = chunk[error.start]
    guess = bytes([byte]).decode("cp1252", errors="replace")
    return UnreadableFile(
        f"Line {line} is not UTF-8: its byte 0x{byte:02X} ({guess} in the Windows encoding) means nothing there. "
        + _UTF8
    )


def _line_ends(chunk: bytes) -> int:
    return chunk.count(b"\n") or chunk.count(b"\r")


def _delimiter(file: BinaryIO) -> str:
    """What stands between the cells: whichever there is most of in the first line."""
    file.seek(0)
    first = file.readline(CHUNK).decode("utf-8-sig", errors="replace")
    return max(DELIMITERS, key=first.count)
