"""The page a lawyer can read, in German: who may tell whom what, on which norm, and what only consent lets go."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise, permutations
from typing import Final

from contracts.alliance import Agency, Agreement, Alliance, StatutoryBasis
from contracts.codes import DataCategory
from contracts.labels import label
from deploy.matrix import in_one_line

ONE_DAY: Final = timedelta(days=1)
MADE: Final = "Erzeugt mit `staffel matrix page` aus der Bündnisdatei `{}`, Version {}; nicht von Hand ändern."
OPENING: Final = """\
Diese Seite sagt, welche Sozialdaten zwischen den beteiligten Stellen **ohne Einwilligung** übermittelt werden dürfen,
auf welcher Norm und für welche Aufgabe, wer das freigegeben hat und an welchen Tagen es gilt. Was hier nicht steht,
geht nur mit Einwilligung des jungen Menschen (§ 67b SGB X). Gesagt ist, was nach dieser Version der Bündnisdatei gilt;
was galt, bevor ein Wortlaut geändert wurde, sagt die Seite der früheren Version."""
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
Links steht, wer übermittelt, oben, wer empfängt. Eine Nummer ist eine Zeile der Matrix, auf der etwas ohne Einwilligung
geht oder einmal ging oder gehen wird. An welchen Tagen, und was an ihnen nur mit Einwilligung geht, steht darunter bei
jedem Weg. An Tagen, die dort nicht genannt sind, und zwischen Stellen ohne Vereinbarung (–) wird nichts übermittelt,
auch nicht mit Einwilligung."""


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
    used = _used(_periods(alliance, sender, receiver)).items()
    found = (f"Zeile {number}{' (nur Anvertrautes)' if row.of_entrusted else ''}" for number, row in used)
    return ", ".join(found) or "nur mit Einwilligung"


def _ways(alliance: Alliance) -> Iterator[tuple[Agency, Agency]]:
    known = {agency.id: agency for agency in alliance.agencies}
    return ((known[sender], known[receiver]) for sender, receiver in alliance.pairs())


def _way(alliance: Alliance, sender: Agency, receiver: Agency) -> str:
    periods = _periods(alliance, sender, receiver)
    about = [number for number, row in enumerate(alliance.matrix, 1) if row.between(sender, receiver)]
    idle = ", ".join(str(number) for number in about if number not in _used(periods))
    lines = [
        f"### {_text(sender.name)} an {_text(receiver.name)}",
        "",
        *(f"* {_agreed(agreement)}" for agreement in _agreements(alliance, sender, receiver)),
        *(line for period in periods for line in _goes(period)),
        *([f"* Erlaubt hier nichts (Entwurf, oder es gibt keine Vereinbarung): Zeile {idle}"] if idle else []),
    ]
    return "\n".join(lines)


# --- on which days ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Period:
    """Days on which the same goes on one way: by these rows without consent, all else with it."""

    first: date
    last: date
    rows: tuple[tuple[int, StatutoryBasis], ...]
    answers_only: bool


def _periods(alliance: Alliance, sender: Agency, receiver: Agency) -> tuple[Period, ...]:
    """All days on which anything may go, the earliest first, as the decision about each of them has it."""
    first_days = sorted(_first_days(alliance, sender, receiver))
    found: list[Period] = []
    for first, following in pairwise(first_days):
        there = alliance.agreement(sender.id, receiver.id, first)
        back = alliance.agreement(receiver.id, sender.id, first)
        if not receiver.may_receive(first) or there is back is None:
            continue
        counting = alliance.rows(sender.id, receiver.id, first)
        rows = tuple((number, row) for number, row in enumerate(alliance.matrix, 1) if row in counting)
        found.append(Period(first, following - ONE_DAY, rows, answers_only=there is None))
    return tuple(_joined(found))


def _first_days(alliance: Alliance, sender: Agency, receiver: Agency) -> Iterator[date]:
    """Every day from which on something may be otherwise than the day before; the last one ends the last agreement."""
    ways = {(sender.id, receiver.id), (receiver.id, sender.id)}
    for agreement in alliance.agreements:
        if (agreement.sender, agreement.receiver) in ways:
            yield from (agreement.valid_from, agreement.valid_until + ONE_DAY)
    for row in alliance.matrix:
        begin = _begin(row, sender, receiver) if row.between(sender, receiver) else None
        if begin is not None:
            yield from (begin, row.last_day + ONE_DAY)
    if receiver.data_protection_agreement_until is not None:
        yield receiver.data_protection_agreement_until + ONE_DAY


def _joined(periods: Iterable[Period]) -> Iterator[Period]:
    """Neighbours on which the same goes are one."""
    last: Period | None = None
    for period in periods:
        if last is not None and replace(period, first=last.first) == replace(last, last=period.last) \
                and last.last + ONE_DAY == period.first:
            last = replace(last, last=period.last)
            continue
        if last is not None:
            yield last
        last = period
    if last is not None:
        yield last


def _used(periods: Iterable[Period]) -> Mapping[int, StatutoryBasis]:
    """The rows that let something go on any of these days, in their order."""
    used = {number: row for period in periods for number, row in period.rows}
    return {number: used[number] for number in sorted(used)}


def _goes(period: Period) -> Iterator[str]:
    """What goes on these days by law, by which row, and what only with consent; what was entrusted apart from it."""
    only = ", nur als Antwort auf eine Übergabe" if period.answers_only else ""
    ordinary = [row for _, row in period.rows if not row.of_entrusted]
    entrusted = len(period.rows) > len(ordinary)
    lets_go = {category for row in ordinary for category in row.categories}
    rest = ", ".join(label(category) for category in DataCategory if category not in lets_go) or "nichts weiter"
    yield f"* {_day(period.first)} bis {_day(period.last)}{only}:"
    for number, row in period.rows:
        what = ", ".join(label(category) for category in row.categories)
        whatever = "Anvertrautes ohne Einwilligung" if row.of_entrusted else "Ohne Einwilligung"
        yield f"    * {whatever} für {_text(row.norm)} (Zeile {number}): {what}"
    if not ordinary:
        yield f"    * Ohne Einwilligung{', soweit nicht anvertraut' if entrusted else ''}: **nichts**"
    yield f"    * {'Sonst nur' if entrusted else 'Nur'} mit Einwilligung: {rest if lets_go else 'alles'}"


def _begin(row: StatutoryBasis, sender: Agency, receiver: Agency) -> date | None:
    """From which day on the row counts between these two; None where one has not approved it, or only afterwards."""
    said = [row.approval(agency.id) for agency in (sender, receiver)]
    days = [yes.approved_on for yes in said if yes is not None]
    if len(days) < len(said):
        return None
    begin = max(row.valid_from, *days)
    return begin if begin <= row.last_day else None


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
    """Free words of the file, so that they can neither end a cell or a line nor begin an element."""
    return in_one_line(said).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
