"""The note for the file (Aktenvermerk): what left, to whom, when, for what, on which basis; in German, fit to print."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final
from uuid import UUID

from pydantic import RootModel
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.executor import Answer
from chassis.http import Call, Routes
from chassis.http.pages import PAPER, html_page, html_table
from chassis.transitions import Refused
from contracts.alliance import Alliance
from contracts.calendar import GERMANY
from contracts.codes import Completeness, ConsentForm, DataCategory, EntrustedException, Giver, LegalBasis, Purpose
from contracts.ids import AgencyId, AllianceId
from contracts.labels import label
from services.consent.api.views import STAFF
from services.consent.domain import Reason
from services.consent.door import Resources
from services.consent.store import views

TITLE: Final = "Aktenvermerk über eine Übermittlung von Sozialdaten"
HEAD: Final = ("Art der Daten", "Angaben", "davon selbst von anderer Stelle erhalten", "Rechtsgrundlage")
ENDED: Final = {
    Completeness.COMPLETE: "vollständig übermittelt",
    Completeness.REDUCED: "gekürzt übermittelt: für einen Teil des Pakets gab es keine Rechtsgrundlage",
    Completeness.MORE: "übermittelt; weitere Teile derselben Übergabe folgen mit eigenem Vermerk",
    Completeness.UNKNOWN: "abgebrochen: wie viel angekommen ist, ist nicht bekannt",
}
END: Final = """
<p>Was die Angaben besagen, steht nicht in diesem Vermerk. Für Auskünfte an die betroffene Person (Art. 15 DSGVO, § 83
SGB X) gilt das Verzeichnis der Übermittlungen.</p>
<p class="sign">Zur Akte genommen (Datum, Zeichen)</p>
"""
NOT_KNOWN: Final = "nicht mehr bekannt (die Datenbank war aus einer Sicherung wiederherzustellen)"

routes = Routes()


class Note(RootModel[str]):
    """The note as a page: no content of any item, and no name of an employee."""


@routes.view("/releases/{release}/note", allow=STAFF, answer=Note, media_type="text/html")
async def note(call: Call, tx: AsyncConnection, resources: Resources, release: UUID) -> Answer | Refused:
    """The note of one release for the file: categories and numbers, recipient, purpose, bases; never contents.

    Who stated a task is on record and not in the note: the agency answers for it, and others come to read the file.
    """
    found = await views.note_of(tx, release)
    if found is None:
        return Refused(Reason.UNKNOWN_RELEASE, unknown=release)
    alliance = resources.alliances.get(AllianceId(found.alliance))
    return html_page(TITLE, _content(found, resources.agency, alliance), language="de", style=PAPER)


def _content(found: Any, sender: AgencyId, alliance: Alliance | None) -> str:
    facts = (
        ("Übermittelt von", _agency(sender, alliance)),
        ("Übermittelt an", _agency(AgencyId(found.recipient), alliance)),
        ("Am", _moment(found.opened_at)),
        ("Ausgang", escape(ENDED[Completeness(found.completeness)] if found.closed_at else "noch nicht beendet")),
        ("Zweck", escape(label(Purpose(found.purpose)))),
        ("Auf welchem Weg", f"Übergabe {found.handover}, verschlüsselt für die empfangende Stelle"),
        ("Fall", str(found.case or "–")),
        ("Übermittlung", str(found.id)),
        ("Vereinbarungen", f"Bündnis {escape(found.alliance)}, {_version(found.alliance_version)}"),
    )
    parts = (
        html_table((), facts),
        "<h2>Was übermittelt wurde, und auf welcher Rechtsgrundlage</h2>",
        html_table(HEAD, _lines(found)),
        *_tasks(found),
        END,
    )
    return "".join(parts)


def _lines(found: Any) -> Iterable[Sequence[str]]:
    consents = {each["id"]: each for each in found.consents or ()}
    for line in found.lines or ():
        category = escape(label(DataCategory(line["category"]))) if line["category"] else NOT_KNOWN
        bases = [_basis(basis, consents) for basis in line["bases"]]
        yield category, str(line["items"]), str(line["passed_on"]), _list(bases) if bases else NOT_KNOWN


def _basis(basis: Mapping[str, Any], consents: Mapping[str, Mapping[str, Any]]) -> str:
    """A norm, with the task of the law or the consent that makes it one."""
    said = escape(label(LegalBasis(basis["norm"])))
    if exception := basis.get("exception"):
        said += f": {escape(label(EntrustedException(exception)))}"
    if basis["task"]:
        said += f", für die Aufgabe nach {escape(basis['task'])}"
    given = consents.get(basis["consent"] or "")
    if given is None:
        return said
    form = f", {label(ConsentForm(given['form'])).lower()}" if given["form"] else ""
    day = f" vom {_day(given['given_at'])}" if given["given_at"] else ""
    return f"{said}{day}{form}, erklärt durch: {escape(label(Giver(given['giver'])))} (Kennung {escape(given['id'])})"


def _tasks(found: Any) -> Iterable[str]:
    """Why it was necessary, where a task of the law was stated and something went on it."""
    used = {basis["task"] for line in found.lines or () for basis in line["bases"]}
    stated = [task for task in found.tasks or () if task["norm"] in used]
    if stated:
        yield "<h2>Warum es erforderlich war</h2>"
        yield html_table(("Aufgabe", "Für", "Erforderlich, weil", "Festgestellt am"), map(_task, stated))


def _task(task: Mapping[str, Any]) -> Sequence[str]:
    harmless = " Der Erfolg einer Hilfe wird nicht gefährdet (§ 64 Abs. 2 SGB VIII)." if task["not_endangering"] else ""
    categories = ", ".join(label(DataCategory(each)) for each in task["categories"])
    why = escape(task["necessity"] + harmless)
    return escape(task["norm"]), escape(categories), why, _moment(datetime.fromisoformat(task["stated_at"]))


def _agency(wanted: AgencyId, alliance: Alliance | None) -> str:
    found = alliance.agency(wanted) if alliance else None
    return escape(f"{found.name} ({label(found.sphere)})" if found else wanted)


def _version(number: int) -> str:
    """0 is what a release has that is known from its own event alone."""
    return f"Version {number}" if number else f"Version {NOT_KNOWN}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(GERMANY):%d.%m.%Y, %H:%M:%S} Uhr"


def _day(kept: str) -> str:
    return f"{datetime.fromisoformat(kept).astimezone(GERMANY):%d.%m.%Y}"


def _list(entries: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{entry}</li>' for entry in entries)}</ul>"
