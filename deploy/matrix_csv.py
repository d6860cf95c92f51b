"""The matrix as a table for the officers' own programs, and back without loss: CSV as a German spreadsheet has it."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from contracts.alliance import Alliance, Approval, StatutoryBasis
from deploy.matrix import DAYS, exchange
from deploy.mistakes import MistakeError

COLUMNS: Final = tuple(field.alias or name for name, field in StatutoryBasis.model_fields.items())
OF_APPROVAL: Final = tuple(Approval.model_fields)
DELIMITER: Final = ";"  # what a German spreadsheet expects; commas are read as well
MARK: Final = "\ufeff"  # says UTF-8 to a spreadsheet, which would otherwise guess
# A cell that begins so is a formula to a spreadsheet; an apostrophe before it says that it is text. A real one at the
# beginning gets a second, so that reading back can tell them apart.
ESCAPED: Final = ("=", "+", "-", "@", "'")
GERMAN_DAY: Final = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})")
LINE_END: Final = re.compile(r"[\r\n]+")  # a spreadsheet may exchange them; a name has neither, and may have any other
OF_A_ROW: Final = re.compile(r"matrix\.(\d+)\.(\w+): (.*)")


def export_rows(alliance: Alliance) -> str:
    """Every row of the matrix, one line each, columns named as in the file."""
    out = io.StringIO(newline="")
    table = csv.writer(out, delimiter=DELIMITER, lineterminator="\r\n")
    table.writerow(COLUMNS)
    table.writerows([_escaped(cell) for cell in _cells(row)] for row in alliance.matrix)
    return MARK + out.getvalue()


def import_rows(file: Path, table: Path) -> Alliance | None:
    """Put the rows of a table in the place of the alliance file's; None where they are the same.

    MistakeError names line and column of every cell that is wrong; then nothing is written.
    """
    try:
        text = table.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise MistakeError(f"{table}: is not UTF-8; save it as CSV UTF-8") from error
    rows, at = read_rows(text)
    try:
        return exchange(file, rows)
    except ValidationError as error:
        raise MistakeError("\n".join(_of_the_whole(error, at))) from error


def read_rows(text: str) -> tuple[tuple[StatutoryBasis, ...], tuple[int, ...]]:
    """The rows of a table, and the line in which each begins. MistakeError names every cell that is wrong."""
    rows: list[StatutoryBasis] = []
    at: list[int] = []
    wrong: list[str] = []
    for line, cells in _records(text.removeprefix(MARK)):
        try:
            rows.append(StatutoryBasis.model_validate(_said(cells)))
            at.append(line)
        except ValidationError as error:
            wrong += [f"line {line}, column {column}: {why}" for column, why in _of_one(error)]
    if wrong:
        raise MistakeError("\n".join(wrong))
    return tuple(rows), tuple(at)


# --- cells ------------------------------------------------------------------------------------------------------------


def _cells(row: StatutoryBasis) -> Iterator[str]:
    said = row.model_dump(mode="json", by_alias=True)
    said["categories"] = ", ".join(said["categories"])
    said["approvals"] = "\n".join(" | ".join(yes[part] for part in OF_APPROVAL) for yes in said["approvals"])
    return (said[column] or "" for column in COLUMNS)


def _said(cells: Mapping[str, str]) -> dict[str, Any]:
    """A row as the file would say it; an empty cell says nothing."""
    said: dict[str, Any] = {column: _day(cell) if column in DAYS else cell for column, cell in cells.items() if cell}
    if "categories" in said:
        said["categories"] = [each.strip() for each in said["categories"].split(",")]
    if "approvals" in said:
        said["approvals"] = [_approval(line) for line in LINE_END.split(said["approvals"]) if line.strip()]
    return said


def _approval(line: str) -> dict[str, str]:
    parts = (part.strip() for part in line.split("|", len(OF_APPROVAL) - 1))
    said = dict(zip(OF_APPROVAL, parts, strict=False))
    return {part: _day(word) if part in DAYS else word for part, word in said.items()}


def _day(cell: str) -> str:
    """A spreadsheet may have written a day the German way."""
    return GERMAN_DAY.sub(r"\3-\2-\1", cell)


def _escaped(cell: str) -> str:
    return f"'{cell}" if cell.startswith(ESCAPED) else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(ESCAPED) else cell


# --- lines ------------------------------------------------------------------------------------------------------------


def _records(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Each line of the table that says anything, by column, with its number in the file."""
    delimiter = DELIMITER if DELIMITER in text.partition("\n")[0] else ","
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [column.strip() for column in next(table, [])]
        _refuse_other_columns(columns)
        line = table.line_num + 1
        for cells in table:
            if len(cells) > len(columns):
                raise MistakeError(f"line {line}: has more cells than there are columns")
            if any(cell.strip() for cell in cells):
                yield line, {name: _unescaped(cell.strip()) for name, cell in zip(columns, cells, strict=False)}
            line = table.line_num + 1
    except csv.Error as error:
        raise MistakeError(f"line {table.line_num}: {error}") from error


def _refuse_other_columns(columns: Sequence[str]) -> None:
    optional = {field.alias or name for name, field in StatutoryBasis.model_fields.items() if not field.is_required()}
    for column in columns:
        if column not in COLUMNS:
            raise MistakeError(f"line 1: no column is called '{column}'; there are {', '.join(COLUMNS)}")
    for column in COLUMNS:
        if columns.count(column) > 1 or (column not in columns and column not in optional):
            raise MistakeError(f"line 1: the column {column} must be there once")


def _of_one(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Which column, and why: rules about several fields begin with the name of the one to look at."""
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        why = one["msg"].removeprefix("Value error, ")
        if one["loc"]:
            yield str(one["loc"][0]), why
        else:
            place, _, reason = why.partition(": ")
            yield place.partition(".")[0], reason


def _of_the_whole(error: ValidationError, at: Sequence[int]) -> Iterable[str]:
    """What rows do not fit each other, or not these agencies."""
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        found = OF_A_ROW.search(one["msg"])
        yield f"line {at[int(found[1])]}, column {found[2]}: {found[3]}" if found else one["msg"]
