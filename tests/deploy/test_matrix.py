"""`staffel matrix`: rows go out to a spreadsheet and come back, officers approve wordings, lawyers get a page."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.alliance import Alliance, Approval, StatutoryBasis
from contracts.ids import AgencyId
from deploy.cli import app
from deploy.installation import read_alliance
from deploy.matrix import exchange, row_lines
from deploy.matrix_csv import COLUMNS, export_rows, import_rows, read_rows
from deploy.matrix_page import _periods, page
from deploy.mistakes import MistakeError
from deploy.system import ALLIANCES
from tests.approving import approved

JOBCENTER, JUGENDAMT = AgencyId("jobcenter"), AgencyId("jugendamt")
TO_YOUTH_OFFICE = 2  # the row from SGB II to SGB VIII, as people count
DAY = date(2026, 3, 2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of the demo, with something behind the matrix that must stay."""
    copy = tmp_path / "musterland.yaml"
    text = (ALLIANCES / "musterland.yaml").read_text("utf-8")
    before, matrix = text.split("agencies:", 1)
    rest, rows = matrix.split("matrix:", 1)
    agencies, agreements = rest.split("# One agreement per direction", 1)
    copy.write_text(
        f"{before}agencies:{agencies}matrix:{rows}\n# One agreement per direction{agreements}", encoding="utf-8"
    )
    return copy


def run(*arguments: object) -> str:
    """What `staffel matrix …` says."""
    said = CliRunner().invoke(app, ["matrix", *map(str, arguments)])
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        raise said.exception
    assert said.exit_code == 0, said.output
    return said.output


def a_row(**changes: Any) -> StatutoryBasis:
    said = {
        "from": "SGB_II", "to": "SGB_VIII", "basis": "sgb_x_69_1_1", "norm": "§ 41 SGB VIII", "task": "Hilfe",
        "categories": ["contact", "needs"], "valid_from": "2026-01-01", "valid_until": "2026-12-31",
    }
    return StatutoryBasis.model_validate(said | changes)


def signed_by(officer: str, row: StatutoryBasis) -> StatutoryBasis:
    return row.approved(Approval(agency=JOBCENTER, officer=officer, approved_on=DAY, digest=row.digest))


def table(*rows: StatutoryBasis, **changed: str) -> str:
    """These rows as a table, with other words in the last of them."""
    lines = list(csv.DictReader(io.StringIO(export_rows(_holding(rows)).removeprefix("\ufeff")), delimiter=";"))
    lines[-1] |= changed
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, delimiter=";")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _holding(rows: tuple[StatutoryBasis, ...]) -> Alliance:
    return read_alliance(ALLIANCES / "musterland.yaml").model_copy(update={"matrix": rows})


YES = f"D. Muster | 2026-01-01 | {'0' * 64}"  # of another wording

# --- out and back -----------------------------------------------------------------------------------------------------

AWKWARD = (
    a_row(),
    approved(a_row(norm="§ 13 SGB VIII", task="-1+1"), JOBCENTER, JUGENDAMT),
    a_row(norm="=HYPERLINK(1)", task="'=2", jobcenter_kind="ge", ended_on="2026-02-01"),
    a_row(norm="+49; „Semikolon“, Komma", task="'schon mit Strich"),
    a_row(norm="@SUMME(1)", task='ein "Zitat"', categories=["needs", "contact"]),
    *(signed_by(f"D.{name}Muster", a_row(norm=f"§ {n}", task=f"eine{end}=Aufgabe"))
      for n, (end, name) in enumerate((("\n", " "), ("\r\n", "\u2028"), ("\u2028", "\u2029"), ("\x85", "\x85"),
                                       ("\x0b", "\x0c"), ("\x1c", "\x1e")))),
    a_row(
        **{"from": "SGB_VIII", "to": "DRITTE"}, basis="sgb_viii_65_exception", exception="nr_4", norm="§ 8a SGB VIII"
    ),
)  # fmt: skip


def test_rows_come_back_from_a_table_as_they_went(file: Path) -> None:
    assert read_rows(export_rows(_holding(AWKWARD)))[0] == AWKWARD
    exchange(file, AWKWARD)
    assert read_alliance(file).matrix == AWKWARD


def test_a_table_from_before_a_column_was_there_is_read_without_it() -> None:
    lines = list(csv.DictReader(io.StringIO(table(a_row())), delimiter=";"))
    out = io.StringIO(newline="")
    older = [each for each in COLUMNS if each != "exception"]
    writer = csv.DictWriter(out, older, delimiter=";", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(lines)
    assert read_rows(out.getvalue())[0] == (a_row(),)


def test_a_table_that_was_only_looked_at_changes_nothing(file: Path) -> None:
    before, out = file.read_bytes(), file.with_name("rows.csv")
    run("export", "--alliance", file, "--csv", out)
    assert "nothing to change" in run("import", "--alliance", file, "--csv", out)
    assert file.read_bytes() == before


def test_no_cell_is_a_formula_to_a_spreadsheet() -> None:
    for line in csv.reader(io.StringIO(export_rows(_holding(AWKWARD))), delimiter=";"):
        assert not [cell for cell in line if cell.startswith(("=", "+", "-", "@"))]


def test_a_table_with_commas_and_german_days_is_read_too() -> None:
    text = table(a_row()).replace("contact, needs", "contact").replace(";", ",").replace("2026-01-01", "01.01.2026")
    assert read_rows(text)[0] == (a_row(categories=["contact"]),)


def test_what_is_beside_the_matrix_stays_letter_by_letter_and_the_version_rises(file: Path) -> None:
    before = file.read_text("utf-8")
    rows = file.with_name("rows.csv")
    rows.write_text(table(a_row()), encoding="utf-8")
    assert "version 2" in run("import", "--alliance", file, "--csv", rows)
    after = file.read_text("utf-8")
    start, end = before.index("matrix:"), before.index("# One agreement per direction")
    assert after.startswith(before[:start].replace("version: 1", "version: 2"))
    assert after.endswith(before[end:])
    assert read_alliance(file).matrix == (a_row(),)


@pytest.mark.parametrize("matrix", ["matrix: []", "matrix: []  # nothing yet", "matrix:\n  []", ""])
def test_wherever_and_however_the_matrix_stands_it_is_found(file: Path, matrix: str) -> None:
    text = file.read_text("utf-8")
    start, end = text.index("matrix:"), text.index("# One agreement per direction")
    file.write_text(f"{text[:start]}{matrix}\n{text[end:]}", encoding="utf-8")
    exchange(file, [a_row()])
    assert read_alliance(file).matrix == (a_row(),)
    assert file.read_text("utf-8").endswith(text[end:]) is bool(matrix)
    exchange(file, [])
    assert read_alliance(file).matrix == ()


def test_a_file_of_another_systems_line_ends_keeps_them(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    end = file.read_bytes().index(b"# One agreement per direction")
    kept = file.read_bytes()[end:]
    exchange(file, [a_row()])
    assert file.read_bytes().endswith(kept)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"from": "SGB_IX"}, "line 3, column from: Input should be"),
        ({"categories": "contact, shoe_size"}, "line 3, column categories: Input should be"),
        ({"categories": ""}, "line 3, column categories: Field required"),
        ({"valid_from": "31.02.2026"}, "line 3, column valid_from: "),
        ({"valid_until": "2025-01-01"}, "line 3, column valid_until: earlier than valid_from"),
        ({"basis": "consent_sgb_x_67b"}, "line 3, column basis: not a statutory basis"),
        ({"approvals": "jobcenter | D. Muster"}, "line 3, column approvals: Field required"),
        ({"approvals": f"jobcenter | {YES} | x"}, "line 3, column approvals: String should match"),
        ({"approvals": f"agentur | {YES}"}, "line 3, column approvals: no agency 'agentur'"),
        ({"norm": "§ 41 SGB VIII"}, "line 3, column valid_from: overlaps with row 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_cell_is_named_by_line_and_column_and_nothing_is_written(
    file: Path, changed: dict[str, str], named: str
) -> None:
    rows, before = file.with_name("rows.csv"), file.read_bytes()
    rows.write_text(table(a_row(), a_row(norm="§ 13 SGB VIII"), **changed), encoding="utf-8")
    with pytest.raises(MistakeError) as said:
        import_rows(file, rows)
    assert named in str(said.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "line 1: the column from must be there once"),
        (table(a_row()).replace("basis", "bases", 1), "line 1: no column is called 'bases'"),
        (table(a_row()).replace("jobcenter_kind", "norm", 1), "line 1: the column norm must be there once"),
        (table(a_row()).rstrip() + ";;;x\r\n", "line 2: has more cells than there are columns"),
        (table(a_row()).replace("Hilfe", '"Hilfe"x', 1), "line 2: "),
    ],
    ids=["empty", "unknown column", "column twice", "too many cells", "no table"],
)
def test_what_is_no_table_of_rows_is_refused(text: str, named: str) -> None:
    with pytest.raises(MistakeError) as said:
        read_rows(text)
    assert named in str(said.value)


def test_a_table_in_another_writing_is_not_guessed_at(file: Path) -> None:
    rows = file.with_name("rows.csv")
    rows.write_bytes(table(a_row()).encode("cp1252"))
    with pytest.raises(MistakeError, match="save it as CSV UTF-8"):
        import_rows(file, rows)


# --- approved ---------------------------------------------------------------------------------------------------------


def sign(file: Path, side: str, *more: object) -> str:
    """The officer of that side has signed the row as it stands, or as `--digest` says."""
    seen = () if "--digest" in more else ("--digest", read_alliance(file).matrix[TO_YOUTH_OFFICE - 1].digest)
    return run(
        "approve", "--alliance", file, "--row", TO_YOUTH_OFFICE, "--side", side, "--officer", f"D. {side}",
        "--on", DAY, *seen, *more,
    )


def test_a_row_counts_when_both_sides_have_approved_it_and_not_before(file: Path) -> None:
    for side, counted in (("from", False), ("to", True)):
        sign(file, side)
        assert bool(read_alliance(file).rows(JOBCENTER, JUGENDAMT, DAY)) is counted
    said = run("show", "--alliance", file, "--on", DAY)
    assert "jugendamt: approved by D. to on 2026-03-02" in said
    assert "counts on 2026-03-02: jobcenter → jugendamt" in said
    assert said.count("permits nothing on") == 7
    assert "permits nothing on 2026-03-01" in run("show", "--alliance", file, "--on", "2026-03-01")
    assert "counts on" not in run("show", "--alliance", file, "--on", "2026-03-01")


def test_an_approval_adds_itself_to_the_file_and_changes_nothing_but_the_version(file: Path) -> None:
    """Whoever reads the change of the file sees what was approved, and that nothing else was touched."""
    before = file.read_text("utf-8").splitlines()
    sign(file, "from")
    after = file.read_text("utf-8").splitlines()
    assert [line for line in before if line not in after] == ["version: 1"]
    added = [line.strip() for line in after if line not in before]
    assert [line.partition(":")[0] for line in added] == ["version", "approvals", "- {agency"]


def test_what_is_to_be_signed_is_shown_and_only_that_wording_can_be_signed(file: Path) -> None:
    before = file.read_bytes()
    shown = run("approve", "--alliance", file, "--row", TO_YOUTH_OFFICE, "--side", "to")
    digest = read_alliance(file).matrix[TO_YOUTH_OFFICE - 1].digest
    assert f"digest {digest}" in shown
    assert file.read_bytes() == before
    with pytest.raises(MistakeError, match="say with --digest"):
        run("approve", "--alliance", file, "--row", TO_YOUTH_OFFICE, "--side", "to", "--officer", "D. Muster")
    with pytest.raises(MistakeError, match="not the one that was signed"):
        sign(file, "to", "--digest", "0" * 12)
    with pytest.raises(MistakeError, match="not the one that was signed"):
        sign(file, "to", "--digest", digest[:4])
    sign(file, "to", "--digest", digest[:12].upper())
    assert read_alliance(file).matrix[TO_YOUTH_OFFICE - 1].approval(JUGENDAMT) is not None


def test_a_row_changed_in_a_spreadsheet_loses_what_was_approved(file: Path) -> None:
    sign(file, "from")
    sign(file, "to")
    rows = file.with_name("rows.csv")
    run("export", "--alliance", file, "--csv", rows)
    changed = rows.read_text("utf-8").replace("master_data, contact, needs", "master_data, contact, needs, health")
    rows.write_text(changed, encoding="utf-8")
    run("import", "--alliance", file, "--csv", rows)
    assert read_alliance(file).rows(JOBCENTER, JUGENDAMT, DAY) == ()
    assert "no longer counts" in run("show", "--alliance", file)


def test_where_two_agencies_are_on_a_side_it_is_said_whose_officer_signs(file: Path) -> None:
    text = file.read_text("utf-8")
    second = text[text.index("  - id: jugendamt\n"):text.index("  - id: schule\n")]
    more = second.replace("id: jugendamt", "id: jugendamt-stadt").replace("agency:jugendamt", "agency:jugendamt-stadt")
    file.write_text(text.replace(second, second + more), encoding="utf-8")
    with pytest.raises(MistakeError, match=r"jugendamt, jugendamt-stadt: say with --agency"):
        sign(file, "to")
    with pytest.raises(MistakeError, match="nobody of that name"):
        sign(file, "to", "--agency", "jobcenter")
    sign(file, "to", "--agency", "jugendamt-stadt")
    row = read_alliance(file).matrix[TO_YOUTH_OFFICE - 1]
    assert [yes.agency for yes in row.approvals] == ["jugendamt-stadt"]


def test_there_is_no_row_that_is_not_there(file: Path) -> None:
    for number in (0, 9):
        with pytest.raises(MistakeError, match=f"there is no row {number}: the matrix has 8"):
            run("approve", "--alliance", file, "--row", number, "--side", "to", "--officer", "D. Muster")


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_says_of_drafts_that_nothing_goes_without_consent(file: Path) -> None:
    said = page(read_alliance(file))
    alliance = read_alliance(file)
    assert said.count("    * Ohne Einwilligung: **nichts**\n    * Nur mit Einwilligung: alles") == len(alliance.pairs())
    assert said.count("**Entwurf, erlaubt nichts**") == 8
    assert "keine Freigabe" in said


def test_the_page_says_who_may_tell_whom_what_for_which_task_and_until_when(file: Path) -> None:
    sign(file, "from")
    sign(file, "to")
    out = file.with_name("page.md")
    run("page", "--alliance", file, "--out", out)
    said = out.read_text("utf-8")
    way = said.partition("### Jobcenter Musterland an Jugendamt Landkreis Musterland")[2].partition("###")[0]
    before, during, after = way.split("\n* ")[2:]
    nothing = "    * Ohne Einwilligung: **nichts**\n    * Nur mit Einwilligung: alles"
    assert before == f"01.01.2024 bis 01.03.2026:\n{nothing}"
    assert during.startswith(
        "02.03.2026 bis 31.12.2030:\n"
        "    * Ohne Einwilligung für § 13 SGB VIII (Zeile 2): Stammdaten, Kontaktdaten, Bedarfslagen\n"
        "    * Nur mit Einwilligung: Schule, "
    )
    assert after.strip() == f"01.01.2031 bis 31.12.2035:\n{nothing}"
    assert "| **Jobcenter Musterland** | – | nur mit Einwilligung | Zeile 2 | – | – |" in said
    row = said.partition("### Zeile 2:")[2].partition("###")[0]
    assert "(§ 13 SGB VIII)" in row
    assert "Erfüllung sozialer Aufgaben (§ 69 Abs. 1 Nr. 1 SGB X)" in row
    assert "* Stand: freigegeben\n" in row
    assert "Jugendamt Landkreis Musterland: freigegeben von D. to am 02.03.2026" in row
    assert run("page", "--alliance", file) == said


def test_the_page_tells_what_was_entrusted_from_what_was_not() -> None:
    """§ 65(1) Nr. 4 SGB VIII: contact data that nobody has entrusted still go on consent alone."""
    row = AWKWARD[-1]
    alliance = _holding((approved(row, JUGENDAMT, AgencyId("bruecke")),))
    said = page(alliance)
    assert "| – | – | – | Zeile 1 (nur Anvertrautes) |" in said.replace("nur mit Einwilligung", "–")
    way = said.partition("### Jugendamt Landkreis Musterland an Die Brücke")[2].partition("###")[0]
    assert "* Anvertrautes ohne Einwilligung für § 8a SGB VIII (Zeile 1): Kontaktdaten, Bedarfslagen\n" in way
    assert "* Ohne Einwilligung, soweit nicht anvertraut: **nichts**\n    * Sonst nur mit Einwilligung: alles" in way
    assert "(§ 65 Abs. 1 Nr. 4 SGB VIII)" in said.partition("### Zeile 1:")[2]


def test_the_page_never_says_of_a_day_what_was_so_on_another_one() -> None:
    """A row that is over and the one in its place name other categories: neither counts on the other's days."""
    older = a_row(categories=["contact", "needs"], valid_until="2026-03-31")
    newer = a_row(categories=["contact", "school"], valid_from="2026-06-01")
    alliance = _holding(tuple(approved(row, JOBCENTER, JUGENDAMT) for row in (older, newer)))
    way = page(alliance).partition("### Jobcenter Musterland an Jugendamt Landkreis Musterland")[2].partition("###")[0]
    said = dict(period.split(":\n", 1) for period in way.split("\n* ")[2:])
    assert list(said) == [
        "01.01.2024 bis 31.12.2025", "01.01.2026 bis 31.03.2026", "01.04.2026 bis 31.05.2026",
        "01.06.2026 bis 31.12.2026", "01.01.2027 bis 31.12.2035",
    ]
    without, only = (said["01.01.2026 bis 31.03.2026"].split("\n"))
    assert ("Bedarfslagen" in without, "Schule" in without) == (True, False)
    assert ("Bedarfslagen" in only, "Schule" in only) == (False, True)
    without, only, *_ = (said["01.06.2026 bis 31.12.2026"].split("\n"))
    assert ("Bedarfslagen" in without, "Schule" in without) == (False, True)
    assert ("Bedarfslagen" in only, "Schule" in only) == (True, False)


def test_on_every_day_the_page_says_what_the_decision_does() -> None:
    """Day by day against the alliance itself: agreements that begin and end, a provider's data protection, rows."""
    alliance = _holding((approved(a_row(), JOBCENTER, JUGENDAMT), approved(a_row(norm="§ 13 SGB VIII"), JOBCENTER)))
    short = {"valid_from": date(2026, 3, 1), "valid_until": date(2026, 10, 31)}
    alliance = alliance.model_copy(update={
        "agreements": tuple(each.model_copy(update=short) if each.receiver == JUGENDAMT else each
                            for each in alliance.agreements),
        "agencies": tuple(each.model_copy(update={"data_protection_agreement_until": date(2026, 8, 31)})
                          if each.data_protection_agreement_until else each for each in alliance.agencies),
    })  # fmt: skip
    known = {agency.id: agency for agency in alliance.agencies}
    for sender, receiver in alliance.pairs():
        periods = _periods(alliance, known[sender], known[receiver])
        for number in range(366 + 365):
            day = date(2026, 1, 1) + timedelta(days=number)
            on = [period for period in periods if period.first <= day <= period.last]
            there = alliance.agreement(sender, receiver, day)
            open_ = known[receiver].may_receive(day) and (there or alliance.agreement(receiver, sender, day))
            assert len(on) == (1 if open_ else 0), (sender, receiver, day)
            for period in on:
                assert period.answers_only is (there is None)
                assert tuple(row for _, row in period.rows) == alliance.rows(sender, receiver, day)


def test_words_of_the_file_cannot_become_a_part_of_the_page() -> None:
    said = page(_holding((a_row(task="<script>x</script> | y"),)))
    assert "<script" not in said
    assert "&lt;script>x&lt;/script> &#124; y" in said


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_words_of_the_file_begin_no_line_of_their_own(end: str) -> None:
    """However a line may end: not on the page that lawyers read, nor on the list by which a row is signed."""
    name = {"\n": " ", "\r\n": " ", "\r": " "}.get(end, end)  # an officer has no such name
    broken = a_row(task=f"Hilfe{end}{end}## Zeile 9", norm=f"§ 1{end}| x |")
    alliance = _holding((signed_by(f"D.{name}Muster", broken),))
    plain = _holding((signed_by("D. Muster", a_row(task="Hilfe ## Zeile 9", norm="§ 1 | x |")),))
    for made in (page, lambda of: "\n".join(row_lines(of, 1, of.matrix[0]))):
        said = made(alliance).replace(alliance.matrix[0].digest, plain.matrix[0].digest)
        assert said.splitlines() == made(plain).splitlines()
