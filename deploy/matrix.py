"""The matrix of an alliance file on a desk: laid out, approved, exchanged; all else in the file stays as it is."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

import yaml

from contracts.alliance import Agency, Alliance, Approval, StatutoryBasis
from contracts.ids import AgencyId
from deploy.embedded.files import write
from deploy.installation import read_alliance
from deploy.mistakes import MistakeError

MATRIX, VERSION = "matrix", "version"
DAYS: Final = frozenset({"valid_from", "valid_until", "ended_on", "approved_on"})
DIGEST_LETTERS_MIN = 12  # enough of a digest to be copied from paper and not to fit another wording
NO_FOLDING = 1_000  # letters in a line: a task stays in one


class End(StrEnum):
    """One of the two ends of a row's way."""

    FROM = "from"
    TO = "to"


# --- laid out ---------------------------------------------------------------------------------------------------------


def lines(alliance: Alliance, on: date) -> Iterator[str]:
    """Every row with who has approved it and whether it lets anything go that day."""
    for number, row in enumerate(alliance.matrix, 1):
        yield from row_lines(alliance, number, row)
        yield f"   {_counts(alliance, row, on)}"


def row_lines(alliance: Alliance, number: int, row: StatutoryBasis) -> Iterator[str]:
    """One row, and the digest of what is to be signed off."""
    kind = f" ({row.jobcenter_kind})" if row.jobcenter_kind else ""
    early = f", ended early on {row.ended_on}" if row.ended_on else ""
    entrusted = f" {row.exception} (what was entrusted, nothing else)" if row.exception else ""
    task = in_one_line(f"{row.norm}: {row.task}")
    yield f"{number}  {row.sender} → {row.receiver}{kind}  {row.basis}{entrusted}  {task}"
    yield f"   {', '.join(row.categories)}"
    yield f"   {row.valid_from} to {row.valid_until}{early}"
    for agency in alliance.concerned(row):
        yield f"   {agency.id}: {_said(row, agency)}"
    yield f"   digest {row.digest}"


def in_one_line(said: str) -> str:
    """Free words with a space wherever they break a line, by whichever of the signs that Unicode has for it."""
    return " ".join(said.split())


def _said(row: StatutoryBasis, agency: Agency) -> str:
    yes = row.approval(agency.id)
    if yes is not None:
        return f"approved by {in_one_line(yes.officer)} on {yes.approved_on}"
    older = any(other.agency == agency.id for other in row.approvals)
    return "the approval was of another wording and no longer counts" if older else "not approved"


def _counts(alliance: Alliance, row: StatutoryBasis, on: date) -> str:
    ways = [
        f"{sender.id} → {receiver.id}"
        for sender in alliance.agencies
        for receiver in alliance.agencies
        if sender is not receiver and row.holds(sender, receiver, on)
    ]
    return f"counts on {on}: {', '.join(ways)}" if ways else f"permits nothing on {on}"


# --- approved ---------------------------------------------------------------------------------------------------------


def row_of(alliance: Alliance, number: int) -> StatutoryBasis:
    """The row of that number, counted from 1 as everywhere people read it; MistakeError where there is none."""
    if not 1 <= number <= len(alliance.matrix):
        raise MistakeError(f"there is no row {number}: the matrix has {len(alliance.matrix)}")
    return alliance.matrix[number - 1]


def signer(alliance: Alliance, row: StatutoryBasis, end: End, named: str | None) -> AgencyId:
    """Whose officer signs on that side: the agency there, or the one named where there are several."""
    sphere = row.sender if end is End.FROM else row.receiver
    there = [agency.id for agency in alliance.concerned(row) if agency.sphere is sphere]
    if named is not None:
        there = [agency for agency in there if agency == named]
    if len(there) != 1:
        found = ", ".join(there) or "nobody of that name"
        raise MistakeError(f"on the side '{end}' there is {found}: say with --agency whose officer has approved")
    return there[0]


def approve(file: Path, number: int, yes: tuple[AgencyId, str, date], signed: str) -> Alliance | None:
    """Write down that this agency's officer approved the row on that day; None where the file says so already.

    `signed`: the digest that stands on what was signed. MistakeError where the row has another wording by now.
    """
    alliance = read_alliance(file)
    row = row_of(alliance, number)
    if len(signed) < DIGEST_LETTERS_MIN or not row.digest.startswith(signed.lower()):
        raise MistakeError(f"row {number} has the digest {row.digest}, not the one that was signed")
    agency, officer, on = yes
    approval = Approval(agency=agency, officer=officer, approved_on=on, digest=row.digest)
    rows = list(alliance.matrix)
    rows[number - 1] = row.approved(approval)
    return exchange(file, rows)


# --- exchanged --------------------------------------------------------------------------------------------------------


def exchange(file: Path, rows: Sequence[StatutoryBasis]) -> Alliance | None:
    """Put these rows in the place of the file's matrix and raise its version; None where it has them already.

    Comments between the old rows go with them. ValidationError where the rows do not fit the alliance, MistakeError
    where the file is laid out so that its matrix cannot be exchanged alone; then nothing is written.
    """
    before = read_alliance(file)
    if before.matrix == tuple(rows):
        return None
    expected = before.model_copy(update={"matrix": tuple(rows), "version": before.version + 1})
    text = _with(file.read_bytes().decode("utf-8"), rows, expected.version)
    if Alliance.model_validate(yaml.safe_load(text)) != expected:
        raise MistakeError(f"{file}: its matrix cannot be exchanged without touching more; nothing is written")
    write(file, text, stat.S_IMODE(file.stat().st_mode))
    return expected


class _Exact(yaml.SafeDumper):
    """Words that break a line go into the file escaped: unescaped, not every such sign is read back as it was."""


_Exact.add_representer(
    str,
    lambda dumper, said: dumper.represent_scalar(
        "tag:yaml.org,2002:str", said, style=None if len(said.splitlines()) < 2 else '"'  # noqa: PLR2004  # in one line
    ),
)


def _with(text: str, rows: Sequence[StatutoryBasis], version: int) -> str:
    """The text with another matrix and another version; both are found by a parser, not by what lines look like."""
    root = cast("yaml.MappingNode", yaml.compose(text, Loader=yaml.SafeLoader))  # it was read as an alliance before
    places = {key.value: (key, value) for key, value in root.value}
    _, old_version = places[VERSION]
    changes = [(old_version.start_mark.index, old_version.end_mark.index, str(version))]
    written = yaml.dump(
        {MATRIX: [_kept(row) for row in rows]}, Dumper=_Exact,
        allow_unicode=True, sort_keys=False, width=NO_FOLDING, default_flow_style=None,  # a list of codes in one line
    )  # fmt: skip
    if MATRIX in places:
        key, value = places[MATRIX]
        start, end = key.start_mark.index, _end_of(text, value)
        changes.append((start, end, written if text[start:end].endswith("\n") else written.rstrip("\n")))
    else:
        changes.append((len(text), len(text), ("" if text.endswith("\n") else "\n") + written))
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _end_of(text: str, value: yaml.Node) -> int:
    """Where a value ends: blank lines and comments behind it belong to what follows."""
    end: int = value.end_mark.index
    while end > value.start_mark.index:
        line = text.rfind("\n", 0, end - 1) + 1
        said = text[line:end].strip()
        if said and not said.startswith("#"):
            break
        end = line
    return end


def _kept(row: StatutoryBasis) -> Mapping[str, Any]:
    """A row as the file has it: what says nothing is left out, a day is a day."""
    said: Mapping[str, Any] = _with_days(row.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    return said


def _with_days(said: Any, name: str = "") -> Any:
    if isinstance(said, dict):
        return {key: _with_days(value, key) for key, value in said.items()}
    if isinstance(said, list):
        return [_with_days(value) for value in said]
    return date.fromisoformat(said) if name in DAYS else said
