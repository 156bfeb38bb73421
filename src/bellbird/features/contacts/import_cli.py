"""Import contacts from a CSV file."""

import asyncio
import csv
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import click

from bellbird.core.errors import Unavailable
from bellbird.core.tenants import Tenant
from bellbird.entrypoints import cli, tables
from bellbird.features.contacts import columns, csv_files
from bellbird.features.contacts.csv_files import Record, Survey
from bellbird.features.contacts.importing import Importer, Outcome, Reject
from bellbird.features.tenants import choice

# How many rejected rows the terminal shows.
SHOWN: Final = 20

# In the log an import is told from what somebody does by hand.
IMPORTER: Final = replace(choice.OPERATOR, origin="import")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@choice.option
@click.option(
    "--rejects",
    "rejects_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rows that were not added, and why, to this CSV file.",
)
@click.option("--ignore-unknown", is_flag=True, help="Leave out columns that are no field of a contact.")
@click.option("--dry-run", is_flag=True, help="Check everything and add nothing.")
@cli.as_json
@cli.asynchronous
async def command(
    file: Path, tenant: str | None, rejects_file: Path | None, ignore_unknown: bool, dry_run: bool, as_json: bool
) -> None:  # fmt: skip
    """Import contacts from a CSV file in UTF-8, whose first line names the columns.

    \b
    Columns: first_name, last_name, display_name, company, job_title, kind, phone, mobile, "work phone", phone 2,
    email, email 2, url, street, city, state, postcode, country, birthday, tags (separated by ;), timezone,
    locale, source, owner, external_id, custom.KEY, preferences.KEY; the usual other names of these are known.

    Rows that cannot be accepted are shown with their line and the reason, and the others are added, 500 at a time.
    The exit code is 0 if every row went in, 1 if any did not.

    \b
    Example: bellbird contacts import leads.csv --tenant acme --rejects rejects.csv
    """
    _check_apart(file, rejects_file)
    with ExitStack() as stack:
        source = stack.enter_context(_rereadable(file))
        survey = csv_files.survey(source)
        layout = columns.layout(survey.header, ignore_unknown=ignore_unknown)
        write = stack.enter_context(_rejects(rejects_file, survey))
        async with cli.bellbird() as bellbird:
            chosen = await choice.tenant(bellbird, tenant)
            importer = Importer(bellbird.engine, chosen.id, IMPORTER, layout, dry_run)
            seen = stack.enter_context(_progress(survey.records))
            stopped = stack.enter_context(_interrupts())
            outcome = Outcome()

            def refuse(rejects: Sequence[Reject]) -> None:
                _show(rejects, outcome.rejected - len(rejects))
                write(rejects)

            records = stack.enter_context(closing(csv_files.records(source, survey)))
            try:
                await importer.run(_counted(records, seen), outcome, refuse=refuse, stopped=stopped)
            except Unavailable as error:
                raise cli.Refusal(f"{error.detail} {_so_far(outcome, survey)}") from error
    _conclude(outcome, survey, chosen, dry_run=dry_run, as_json=as_json, rejects_file=rejects_file)


def _check_apart(file: Path, rejects_file: Path | None) -> None:
    if rejects_file is not None and rejects_file.exists() and rejects_file.samefile(file):
        raise click.UsageError("--rejects would overwrite the file that is imported: give it another name.")


@contextmanager
def _rereadable(path: Path) -> Iterator[BinaryIO]:
    """The file, which is read twice; what comes through a pipe is laid down in a temporary file first."""
    try:
        given = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise cli.Refusal(f"{path} cannot be opened: {error.strerror}.") from None
    with given:
        if given.seekable():
            yield given
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(given, copy)
            yield copy


@contextmanager
def _rejects(path: Path | None, survey: Survey) -> Iterator[Callable[[Sequence[Reject]], None]]:
    """Writes rejected rows as they were, with their line and the reason behind."""
    if path is None:
        yield lambda rejects: None
        return
    try:
        file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed below
    except OSError as error:
        raise cli.Refusal(f"{path} cannot be written: {error.strerror}.") from None
    with file:
        writer = csv.writer(file)
        writer.writerow([*survey.header, "line", "reason"])
        width = len(survey.header)

        def write(rejects: Sequence[Reject]) -> None:
            for reject in rejects:
                cells = [*reject.record.cells, *[""] * width][:width]
                writer.writerow([*cells, reject.record.line, reject.reason])
            file.flush()

        yield write


def _show(rejects: Sequence[Reject], before: int) -> None:
    for number, reject in enumerate(rejects, before):
        if number < SHOWN:
            cli.note(f"Line {reject.record.line}: {reject.reason}")
        elif number == SHOWN:
            cli.note("Further rejected rows are not shown; --rejects FILE.csv writes them all.")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar, if somebody is watching."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("Rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not cli.is_terminal()) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _counted(records: Iterable[Record], seen: Callable[[], None]) -> Iterator[Record]:
    for record in records:
        yield record
        seen()


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: the batch under way is finished first. The second time ends it at once."""
    loop = asyncio.get_running_loop()
    came: list[int] = []

    def note(number: int) -> None:
        came.append(number)
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, note, number)
    try:
        yield lambda: bool(came)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _conclude(
    outcome: Outcome, survey: Survey, tenant: Tenant, *, dry_run: bool, as_json: bool, rejects_file: Path | None
) -> None:
    """Say what came of it, and exit accordingly."""
    whole = outcome.added + outcome.rejected == survey.records
    if as_json:
        counts = {"added": outcome.added, "rejected": outcome.rejected, "rows": survey.records, "dry_run": dry_run}
        tables.json({"tenant": tenant.slug, **counts})
    if not whole:
        cli.note(f"Interrupted. {_so_far(outcome, survey)}")
        raise click.exceptions.Exit(cli.INTERRUPTED)
    trial = "Trial, nothing is kept: " if dry_run else ""
    said = f"{trial}{outcome.added:,} of {survey.records:,} rows added to {tenant.slug}"
    if outcome.rejected:
        where = f": see {rejects_file}" if rejects_file else ""
        said += f", {outcome.rejected:,} rejected{where}"
    cli.note(f"{said}.")
    if outcome.rejected:
        raise click.exceptions.Exit(1)


def _so_far(outcome: Outcome, survey: Survey) -> str:
    if not outcome.added + outcome.rejected:
        return "Nothing was added."
    return (
        f"The rows up to line {outcome.through} are dealt with: {outcome.added:,} added and {outcome.rejected:,} "
        f"rejected of {survey.records:,}. To go on, import the first line with the lines behind {outcome.through}."
    )
