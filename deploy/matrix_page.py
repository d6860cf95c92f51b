"""The page a lawyer can read, in German: who may tell whom what, on which norm, and what only consent lets go."""

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import permutations
from typing import Final

from contracts.alliance import Agency, Agreement, Alliance, StatutoryBasis
from contracts.codes import DataCategory
from contracts.labels import label

MADE: Final = "Erzeugt mit `staffel matrix page` aus der Bündnisdatei `{}`, Version {}; nicht von Hand ändern."
OPENING: Final = """\
Diese Seite sagt, welche Sozialdaten zwischen den beteiligten Stellen **ohne Einwilligung** übermittelt werden dürfen,
auf welcher Norm und für welche Aufgabe, wer das freigegeben hat und bis wann es gilt. Was hier nicht steht, geht nur
mit Einwilligung des jungen Menschen (§ 67b SGB X)."""
RULES: Final = """\
## Was immer gilt

* Eine Zeile erlaubt zwischen zwei Stellen erst dann etwas, wenn die **Datenschutzbeauftragten beider Stellen** genau
  diesen Wortlaut freigegeben haben, und nur an den Tagen, für die sie gilt. Wird eine Zeile geändert, ist sie wieder
  ein Entwurf. Ein Entwurf erlaubt nichts.
* Für jede Übergabe hält eine Fachkraft fest, für welche Aufgabe die Übermittlung **erforderlich** ist, warum, und für
  welche Arten von Daten (§ 69 Abs. 1 Nr. 1 SGB X). Nur diese gehen.
* Gibt ein Jugendamt Daten weiter, muss festgehalten sein, dass **der Erfolg keiner Hilfe gefährdet** wird (§ 64
  Abs. 2 SGB VIII).
* **Anvertrautes** (§ 65 SGB VIII) geht nur, wenn die Person einwilligt, die es anvertraut hat, oder auf einer Zeile,
  die eine Ausnahme nach § 65 Abs. 1 Nr. 3, 4 oder 5 SGB VIII nennt; eine solche Zeile lässt nur Anvertrautes gehen.
  Nr. 2 (Familiengericht) und Nr. 6 (Forschung) haben in diesem Bündnis keinen Empfänger. Wer so empfängt, ist an den
  Zweck gebunden (§ 65 Abs. 1 letzter Satz). Ob es Fachkräften außerhalb des Jugendamts anonym oder unter Pseudonym
  mitgeteilt werden kann (§ 64 Abs. 2a SGB VIII), prüft, wer die Aufgabe festhält.
* **Berufsgeheimnisse** (§ 203 StGB, § 76 SGB X) gehen auf keiner Zeile, sondern nur mit Einwilligung. Auch was
  eingeschränkt ist oder wem widersprochen wurde, geht auf keiner Zeile, Anvertrautes eingeschlossen.
* Schulen und Dritte sind keine Leistungsträger: § 69 SGB X gilt für sie nicht. Für sie gibt es nur die Einwilligung,
  Landesrecht und § 31a SGB III mit dessen Liste von Angaben; für Dritte auch § 65 Abs. 1 Nr. 4 und 5 SGB VIII.
* Die Pflicht zur Zusammenarbeit (§ 81 SGB VIII, §§ 9 und 9a SGB III, § 18 SGB II, § 86 SGB X) ist für sich genommen
  keine Befugnis zur Übermittlung.
* Zweck der Übermittlung ist, was die Vereinbarung nennt; wer empfängt, ist daran gebunden (§§ 67c, 78 SGB X)."""

BETWEEN: Final = """\
Links steht, wer übermittelt, oben, wer empfängt. Eine Nummer ist die Zeile der Matrix, auf der etwas ohne Einwilligung
geht. Zwischen Stellen ohne Vereinbarung (–) wird nichts übermittelt."""


def page(alliance: Alliance) -> str:
    """The whole page in Markdown. It knows no today: what begins and ends stands there as a day."""
    chapters = (
        f"# Wer darf wem was sagen: {_text(alliance.name)}",
        MADE.format(alliance.id, alliance.version),
        OPENING,
        RULES,
        f"## Die beteiligten Stellen\n\n{_agencies(alliance)}",
        f"## Von wem an wen\n\n{BETWEEN}\n\n{_overview(alliance)}",
        *(_way(alliance, sender, receiver) for sender, receiver in _ways(alliance)),
        "## Die Zeilen der Matrix",
        *(_row(alliance, number, row) for number, row in enumerate(alliance.matrix, 1)),
    )
    return "\n\n".join(chapters) + "\n"


# --- who --------------------------------------------------------------------------------------------------------------


def _agencies(alliance: Alliance) -> str:
    lines = [
        f"| {_text(agency.name)} | {_kind(agency)} | {label(agency.sphere)} | "
        f"{_day(agency.data_protection_agreement_until) if agency.data_protection_agreement_until else '–'} |"
        for agency in alliance.agencies
    ]
    head = "| Stelle | Art | Rechtskreis | Vereinbarung zum Datenschutz bis (§ 61 Abs. 3 SGB VIII) |"
    return "\n".join([head, "|---|---|---|---|", *lines])


def _kind(agency: Agency) -> str:
    of = f" ({label(agency.jobcenter_kind)})" if agency.jobcenter_kind else ""
    return label(agency.kind) + of


# --- from whom to whom ------------------------------------------------------------------------------------------------


def _overview(alliance: Alliance) -> str:
    ways = set(alliance.pairs())
    lines = [
        f"| **{_text(sender.name)}** | "
        + " | ".join(
            _without_consent(alliance, sender, receiver) if (sender.id, receiver.id) in ways else "–"
            for receiver in alliance.agencies
        )
        + " |"
        for sender in alliance.agencies
    ]
    head = f"| von \\ an | {' | '.join(_text(agency.name) for agency in alliance.agencies)} |"
    return "\n".join([head, "|---" * (len(alliance.agencies) + 1) + "|", *lines])


def _without_consent(alliance: Alliance, sender: Agency, receiver: Agency) -> str:
    rows = [(number, row) for number, row in enumerate(alliance.matrix, 1) if row.between(sender, receiver)]
    found = ", ".join(
        f"Zeile {number}{' (nur Anvertrautes)' if row.of_entrusted else ''}"
        for number, row in rows
        if _begin(row, sender, receiver) is not None
    )
    return found or "nur mit Einwilligung"


def _ways(alliance: Alliance) -> Iterator[tuple[Agency, Agency]]:
    known = {agency.id: agency for agency in alliance.agencies}
    return ((known[sender], known[receiver]) for sender, receiver in alliance.pairs())


def _way(alliance: Alliance, sender: Agency, receiver: Agency) -> str:
    rows = [(number, row) for number, row in enumerate(alliance.matrix, 1) if row.between(sender, receiver)]
    approved = [(number, row) for number, row in rows if _begin(row, sender, receiver) is not None]
    drafts = [str(number) for number, row in rows if _begin(row, sender, receiver) is None]
    ordinary = [row for _, row in approved if not row.of_entrusted]
    entrusted = len(approved) > len(ordinary)
    lets_go = {category for row in ordinary for category in row.categories}
    rest = ", ".join(label(category) for category in DataCategory if category not in lets_go)
    lines = [
        f"### {_text(sender.name)} an {_text(receiver.name)}",
        "",
        *(f"* {_agreed(agreement)}" for agreement in _agreements(alliance, sender, receiver)),
        *(_lets_go(number, row, _begin(row, sender, receiver)) for number, row in approved),
        *([] if ordinary else [f"* Ohne Einwilligung{', soweit nicht anvertraut' if entrusted else ''}: **nichts**"]),
        f"* {'Sonst nur' if entrusted else 'Nur'} mit Einwilligung: {rest if lets_go else 'alles'}",
        *([f"* Entwürfe, die nichts erlauben: Zeile {', '.join(drafts)}"] if drafts else []),
    ]
    return "\n".join(lines)


def _begin(row: StatutoryBasis, sender: Agency, receiver: Agency) -> date | None:
    """From which day on the row counts between these two; None where one has not approved it, or only afterwards."""
    said = [row.approval(agency.id) for agency in (sender, receiver)]
    days = [yes.approved_on for yes in said if yes is not None]
    if len(days) < len(said):
        return None
    begin = max(row.valid_from, *days)
    return begin if begin <= row.last_day else None


def _lets_go(number: int, row: StatutoryBasis, begin: date | None) -> str:
    until = f"{_day(begin or row.valid_from)} bis {_day(row.last_day)}"
    what = ", ".join(label(category) for category in row.categories)
    entrusted = "Anvertrautes ohne Einwilligung" if row.of_entrusted else "Ohne Einwilligung"
    return f"* {entrusted} für {_text(row.norm)}, {until} (Zeile {number}): {what}"


def _agreements(alliance: Alliance, sender: Agency, receiver: Agency) -> Iterable[Agreement | None]:
    held = [each for each in alliance.agreements if (each.sender, each.receiver) == (sender.id, receiver.id)]
    return held or [None]


def _agreed(agreement: Agreement | None) -> str:
    if agreement is None:
        return "Keine Vereinbarung in dieser Richtung: nur Antworten auf eine Übergabe."
    purposes = ", ".join(label(purpose) for purpose in agreement.purposes)
    until = f"{_day(agreement.valid_from)} bis {_day(agreement.valid_until)}"
    return f"Vereinbarung „{_text(agreement.id)}“, {until}; Zwecke: {purposes}"


# --- rows -------------------------------------------------------------------------------------------------------------


def _row(alliance: Alliance, number: int, row: StatutoryBasis) -> str:
    kind = f", nur {label(row.jobcenter_kind)}" if row.jobcenter_kind else ""
    early = f"; vorzeitig beendet am {_day(row.ended_on)}" if row.ended_on else ""
    lines = [
        f"### Zeile {number}: von {label(row.sender)} an {label(row.receiver)}{kind}",
        "",
        f"* Aufgabe: {_text(row.task)} ({_text(row.norm)})",
        f"* Befugnis: {label(row.basis)}{f': {label(row.exception)}' if row.exception else ''}",
        f"* Arten von Daten: {', '.join(label(category) for category in row.categories)}",
        f"* Gilt von {_day(row.valid_from)} bis {_day(row.valid_until)}{early}",
        f"* Stand: {_standing(alliance, row)}",
        *(f"    * {_text(agency.name)}: {_said(row, agency)}" for agency in alliance.concerned(row)),
        f"* Prüfsumme dieses Wortlauts: `{row.digest}`",
    ]
    return "\n".join(lines)


def _standing(alliance: Alliance, row: StatutoryBasis) -> str:
    ways = [way for way in permutations(alliance.agencies, 2) if row.between(*way)]
    approved = [way for way in ways if _begin(row, *way) is not None]
    if not approved:
        return "**Entwurf, erlaubt nichts**"
    return "freigegeben" if approved == ways else "freigegeben zwischen den Stellen, die beide zugestimmt haben"


def _said(row: StatutoryBasis, agency: Agency) -> str:
    yes = row.approval(agency.id)
    if yes is not None:
        return f"freigegeben von {_text(yes.officer)} am {_day(yes.approved_on)}"
    older = any(other.agency == agency.id for other in row.approvals)
    return "Freigabe verfallen, der Wortlaut hat sich seither geändert" if older else "keine Freigabe"


# --- parts ------------------------------------------------------------------------------------------------------------


def _day(day: date) -> str:
    return f"{day:%d.%m.%Y}"


def _text(said: str) -> str:
    """Free words of the file, so that they can neither end a cell nor begin an element."""
    return said.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
