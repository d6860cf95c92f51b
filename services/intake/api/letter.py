"""The letter that tells a person what was collected about them elsewhere (Art. 14 GDPR, § 82a SGB X), in German."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from pydantic import RootModel
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.executor import Answer
from chassis.http import Call, Routes
from chassis.http.pages import PAPER, html_page, html_table
from chassis.service import Tools
from chassis.transitions import Refused
from contracts.calendar import GERMANY
from contracts.codes import AgeBand, DataCategory, LegalBasis, Purpose, Sphere
from contracts.labels import label
from services.intake.api.callers import STAFF
from services.intake.domain import Reason
from services.intake.domain.items import CollectedFrom
from services.intake.domain.limits import rests_on_31a
from services.intake.settings import Settings
from services.intake.store import informing

TITLE: Final = "Information über Daten, die wir von einer anderen Stelle erhalten haben"
TO_BE_FILLED_IN: Final = "…………………………………………………………"
RIGHTS: Final = """
<h2>Wer die Angaben bekommt und wie lange wir sie speichern</h2>
<p>Wir geben die Angaben nur weiter, wenn {consented} oder ein Gesetz es erlaubt; an wen etwas gegangen ist, sagen wir
Ihnen auf Nachfrage. Wir speichern sie, solange wir sie für unsere Aufgabe brauchen, und löschen sie dann oder schränken
ihre Verarbeitung ein (§ 84 SGB X). Es gibt keine automatisierte Entscheidung.</p>
<h2>{rights}</h2>
<ul>
<li>Sie können Auskunft verlangen, auch eine Kopie (Art. 15 DSGVO, § 83 SGB X).</li>
<li>Sie können verlangen, dass Falsches berichtigt wird (Art. 16 DSGVO, § 84 SGB X).</li>
<li>Sie können verlangen, dass Angaben gelöscht oder nur noch eingeschränkt verarbeitet werden (Art. 17 und 18 DSGVO,
§ 84 SGB X).</li>
<li>Sie können der Verarbeitung aus Gründen widersprechen, die sich aus {situation} ergeben (Art. 21 DSGVO, § 84 Abs. 5
SGB X).</li>
<li>Eine Einwilligung, die {given}, können Sie jederzeit widerrufen (Art. 7 Abs. 3 DSGVO, § 67b Abs. 2 SGB X). Was bis
dahin geschehen ist, bleibt rechtmäßig. Durch den Widerruf entsteht {nobody} kein Nachteil.</li>
<li>Sie können sich bei der Aufsichtsbehörde für den Datenschutz beschweren (Art. 77 DSGVO, § 81 SGB X).</li>
</ul>
"""
# § 31a(2), (3) SGB III: how long (Art. 14(2)(a) GDPR), and the right to object, which the person is to be told of.
ERASED_AFTER_SIX_MONTHS: Final = """
<p>Was wir nur nach § 31a SGB III bekommen haben, löschen wir spätestens sechs Monate danach.</p>
"""
NOTHING_TO_THE_LAND: Final = """
<p>Wenn {unused}, teilen wir der zuständigen Stelle des Landes {to_the_land} mit. <strong>Sie können dem
widersprechen</strong>; ein Wort genügt (§ 31a Abs. 2 SGB III).</p>
"""


@dataclass(frozen=True, slots=True)
class Addressee:
    """What is said otherwise to the person than to those who have custody; `collected`: from whom, seen from there."""

    opening: str
    collected: Mapping[CollectedFrom, str]
    rights: Mapping[str, str]


THE_PERSON: Final = Addressee(
    opening="""
<p>Wir haben Angaben über Sie nicht von Ihnen, sondern von einer anderen Stelle bekommen. Hier steht, was wir bekommen
haben, von wem, wofür und mit welchem Recht.</p>
""",
    collected=MappingProxyType({
        CollectedFrom.PERSON: "bei Ihnen",
        CollectedFrom.GUARDIAN: "bei Ihren Personensorgeberechtigten",
        CollectedFrom.THIRD_PARTY: "bei Dritten",
    }),
    rights=MappingProxyType({
        "consented": "Sie eingewilligt haben", "rights": "Ihre Rechte", "situation": "Ihrer besonderen Situation",
        "given": "Sie erteilt haben", "nobody": "Ihnen", "unused": "Sie unser Angebot nicht nutzen",
        "to_the_land": "Ihren Namen, Ihr Geburtsdatum und eine geänderte Anschrift",
    }),
)
# Who has custody need not be a parent, and need not be the one of whom something was collected.
THE_GUARDIANS: Final = Addressee(
    opening="""
<p>Wir haben von einer anderen Stelle Angaben über das Kind bekommen, für das Sie sorgeberechtigt sind. Hier steht, was
wir bekommen haben, von wem, wofür und mit welchem Recht.</p>
""",
    collected=MappingProxyType({
        CollectedFrom.PERSON: "beim Kind selbst",
        CollectedFrom.GUARDIAN: "bei Personensorgeberechtigten",
        CollectedFrom.THIRD_PARTY: "bei Dritten",
    }),
    rights=MappingProxyType({
        "consented": "Sie für das Kind eingewilligt haben",
        "rights": "Die Rechte des Kindes, die Sie für das Kind geltend machen können",
        "situation": "der besonderen Situation des Kindes", "given": "Sie für das Kind erteilt haben",
        "nobody": "Ihnen und dem Kind", "unused": "das Kind unser Angebot nicht nutzt",
        "to_the_land": "Namen, Geburtsdatum und eine geänderte Anschrift des Kindes",
    }),
)


routes = Routes()


class Letter(RootModel[str]):
    """The letter as a page: names of the person, of agencies and of sorts of data; what an item says is not in it."""


@routes.view("/cases/{case}/information", allow=STAFF, answer=Letter, media_type="text/html")
async def information(call: Call, tx: AsyncConnection, resources: Tools, case: UUID) -> Answer | Refused:
    """The letter that tells a person what was collected about them elsewhere: a draft for print, until it is recorded.

    It is about every release of the case of which nobody was told yet. A protected address (§ 51 BMG) is not in it.
    """
    found = await informing.letter_of(tx, case)
    if found is None:
        return Refused(Reason.UNKNOWN_CASE, unknown=case)
    if not found.releases:
        return Refused(Reason.INFORMATION_NOT_OWED)
    return html_page(TITLE, _letter(found, resources.settings), language="de", style=PAPER)


def _letter(found: Any, settings: Settings) -> str:
    names = _names(settings, found.alliance)
    head = ("Von wem, wann", "Art der Daten", "Angaben", "Ursprünglich erhoben", "Wofür", "Rechtsgrundlage")
    to = _to(found)
    us = f"{names.get(settings.agency, settings.agency)} ({label(settings.sphere)})"
    contacts = (
        ("Verantwortlich für die Verarbeitung", escape(us)),
        ("So erreichen Sie uns", escape(settings.contact or TO_BE_FILLED_IN)),
        ("Unsere Datenschutzbeauftragte oder unser Datenschutzbeauftragter",
         escape(settings.officer_contact or TO_BE_FILLED_IN)),
    )  # fmt: skip
    return "".join((
        _for_the_file(found),
        f"<p>{_addressed(found)}</p>",
        f"<p>Information nach Art. 14 DSGVO und § 82a SGB X, Aktenzeichen {escape(found.local_number or '–')}</p>",
        to.opening,
        html_table((), contacts),
        "<h2>Was wir bekommen haben</h2>",
        html_table(head, _received(found, names, to)),
        *_of_31a(found, settings.sphere, to),
        RIGHTS.format(**to.rights),
    ))  # fmt: skip


def _of_31a(found: Any, sphere: Sphere, to: Addressee) -> Iterable[str]:
    """What is to be said where something came on § 31a SGB III alone; that it may go to the Land, by the Agentur."""
    if any(rests_on_31a(line["bases"]) for line in found.lines or ()):
        yield ERASED_AFTER_SIX_MONTHS
        if sphere is Sphere.SGB_III:
            yield NOTHING_TO_THE_LAND.format(**to.rights)


def _names(settings: Settings, alliance: str | None) -> Mapping[str, str]:
    return {agency.id: agency.name for known in settings.read_alliances if known.id == alliance
            for agency in known.agencies}  # fmt: skip


def _for_the_file(found: Any) -> str:
    """Seen on the screen and not on paper: until when, to whom, and what to name when it is recorded."""
    due = min(date.fromisoformat(each["due_on"]) for each in found.releases)
    ids = "".join(f"<li>{escape(each['id'])}</li>" for each in found.releases)
    how = "".join(f"<p>{sentence}</p>" for sentence in _how_to_deliver(found))
    return (
        f"<aside><p><strong>Entwurf.</strong> Spätestens am {due:%d.%m.%Y} zu geben (Art. 14 Abs. 3 DSGVO), beim "
        f"ersten Gespräch schon dann.</p>{how}<p>Danach festhalten, dass und wie informiert wurde, über diese "
        f"Übermittlungen:</p><ul>{ids}</ul></aside>"
    )


def _how_to_deliver(found: Any) -> Iterator[str]:
    if found.address_protected:
        yield "Die Anschrift ist geschützt (§ 51 BMG) und steht nicht im Brief: persönlich übergeben."
    if _to(found) is THE_GUARDIANS:
        yield "Name und Anschrift der Personensorgeberechtigten ergänzen: Bekannt ist hier nur, wo das Kind wohnt."


def _addressed(found: Any) -> str:
    """The person with the address; of guardians neither is on record, and a child need not live with them."""
    if found.family_name is None:
        return "Die Angaben zur Person sind inzwischen gelöscht."
    lines = [f"{found.given_names} {found.family_name}"]
    if _to(found) is THE_GUARDIANS:
        lines = [TO_BE_FILLED_IN, f"Personensorgeberechtigte von {lines[0]}", TO_BE_FILLED_IN, TO_BE_FILLED_IN]
    elif found.street and not found.address_protected:
        lines += [found.street, f"{found.postcode} {found.place}"]
    return "<br>".join(map(escape, lines))


def _received(found: Any, names: Mapping[str, str], to: Addressee) -> Iterable[Sequence[str]]:
    """Line by line; of what is erased meanwhile nobody knows any more than that it came."""
    lines: dict[str, list[Mapping[str, Any]]] = {each["id"]: [] for each in found.releases}
    for line in found.lines or ():
        lines[line["release"]].append(line)
    for release in found.releases:
        from_whom = f"{escape(names.get(release['sender'], release['sender']))}, {_day(release['stored_at'])}"
        for line in lines[release["id"]]:
            yield from_whom, *_line(line, to)
        erased = release["items"] - sum(line["items"] for line in lines[release["id"]])
        if release["erased_at"] and erased > 0:
            gone = f"inzwischen gelöscht ({_day(release['erased_at'])})"
            yield from_whom, gone, str(erased), "–", "–", "–"


def _to(found: Any) -> Addressee:
    """Below 15 those who have custody act (§ 36 SGB I)."""
    return THE_GUARDIANS if found.age_band == AgeBand.UNDER_15 else THE_PERSON


def _line(line: Mapping[str, Any], to: Addressee) -> Sequence[str]:
    return (
        escape(label(DataCategory(line["category"]))),
        str(line["items"]),
        to.collected[CollectedFrom(line["collected_from"])],
        escape(label(Purpose(line["purpose"]))),
        "<br>".join(escape(label(LegalBasis(basis))) for basis in line["bases"]),
    )


def _day(kept: str) -> str:
    return f"{datetime.fromisoformat(kept).astimezone(GERMANY):%d.%m.%Y}"
