"""How cases and words are loaded: locked, in the order of their ids, with what their commands may ask about."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Statement, among, among_ids
from contracts.codes import (
    AgeBand,
    CompetenceArea,
    ContactChannel,
    Destination,
    Need,
    PauseReason,
    Phase,
    Sphere,
    TargetGroup,
)
from contracts.intake import CaseDiscarded, CaseDossierStored, CaseItemsErased
from services.intake.domain.case import Case, DossierReason, DossierState, HeldItem, PhaseSource, RecordedNeed, State
from services.intake.domain.commands import (
    EndDossier,
    EraseOutlived,
    EraseReleases,
    ExcuseInformation,
    RecordInformation,
    Register,
    StoreDossier,
)
from services.intake.domain.information import GuardianInformation
from services.intake.domain.items import Part
from services.intake.domain.persons import name_key
from services.intake.domain.phases import SchoolFacts, Training
from services.intake.domain.words import Words, WordsState
from services.intake.store.tables import cases, items, needs, persons, releases, words_written

Found = Mapping[UUID, tuple[Any, ...]]

_CASE = Statement(
    sa.select(
        cases,
        persons.c.birth_date,
        persons.c.release.label("person_release"),
        persons.c.street.is_not(None).label("has_address"),
        persons.c.address_protected,
    )
    .select_from(cases.outerjoin(persons, persons.c.id == cases.c.person))
    .where(among_ids(cases.c.id))
    .order_by(cases.c.id)
    .with_for_update(of=cases)
)
_OPEN_NEEDS = Statement(sa.select(needs).where(among_ids(needs.c.case)).order_by(needs.c.case, needs.c.code))
_RECEIVED = Statement(  # without what they say: no rule asks for it
    sa.select(
        items.c.case, items.c.id, items.c.source_item, items.c.release, items.c.bases, items.c.received_at, items.c.part
    )
    .where(among_ids(items.c.case), items.c.release.is_not(None))
    .order_by(items.c.id)
)
_ERASED = Statement(
    sa.select(releases.c.case, releases.c.id).where(among_ids(releases.c.case), releases.c.erased_at.is_not(None))
)

_OWED = Statement(
    sa.select(releases.c.case, releases.c.id).where(
        among_ids(releases.c.case), releases.c.stored_at.is_not(None), releases.c.information_at.is_(None)
    )
)


# Commands, and own facts that are remembered, which ask what was received.
ABOUT_WHAT_CAME = (
    EndDossier, EraseReleases, EraseOutlived, StoreDossier, CaseDiscarded, CaseDossierStored, CaseItemsErased,
)  # fmt: skip
ABOUT_INFORMATION = (RecordInformation, ExcuseInformation)


async def load(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Case]:
    """The cases with what the waiting commands may ask about; one nobody has heard of comes blank."""
    rows = {row.id: row for row in await _CASE(tx, {"ids": list(wanted)})}
    open_needs = await _grouped(tx, _OPEN_NEEDS, rows) if rows else {}
    asking = [case for case in rows if _any_of(wanted[case], *ABOUT_WHAT_CAME)]
    held = await _grouped(tx, _RECEIVED, asking) if asking else {}
    erased = await _grouped(tx, _ERASED, asking) if asking else {}
    settling = [case for case in rows if _any_of(wanted[case], *ABOUT_INFORMATION)]
    owed = await _grouped(tx, _OWED, settling) if settling else {}
    doubled = await _duplicates(tx, wanted)
    blank = {case: Case(case, duplicates=case in doubled) for case in wanted}
    known = {case: _case(row, open_needs.get(case, ()), duplicates=case in doubled) for case, row in rows.items()}
    return blank | {
        case: replace(
            found,
            held=tuple(map(_held, held.get(case, ()))),
            erased=frozenset(release.id for release in erased.get(case, ())),
            owed=frozenset(release.id for release in owed.get(case, ())),
        )
        for case, found in known.items()
    }


def _held(row: Any) -> HeldItem:
    return HeldItem(row.id, row.source_item, row.release, frozenset(row.bases), row.received_at, Part(row.part))


def _any_of(commands: Iterable[object], *kinds: type[object]) -> bool:
    return any(isinstance(command, kinds) for command in commands)


async def _grouped(tx: AsyncConnection, rows: Statement, of: Iterable[UUID]) -> Found:
    """Rows of a table by the case they belong to."""
    found: dict[UUID, tuple[Any, ...]] = {}
    for row in await rows(tx, {"ids": list(of)}):
        found[row.case] = (*found.get(row.case, ()), row)
    return found


async def _duplicates(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> frozenset[UUID]:
    """Cases whose new person has the name and birth date of somebody known, or of somebody else in the same batch."""
    new: dict[UUID, tuple[Any, str]] = {}
    for case, commands in wanted.items():
        for command in commands:
            if isinstance(command, Register | StoreDossier) and command.person is not None:
                person = command.person
                new[case] = (person.birth_date, name_key(person.given_names, person.family_name))
    if not new:
        return frozenset()
    key = sa.tuple_(persons.c.birth_date, persons.c.name_key)
    known = sa.select(persons.c.birth_date, persons.c.name_key, cases.c.id).where(
        key.in_(set(new.values())), cases.c.person == persons.c.id
    )
    holders: dict[tuple[Any, str], set[UUID]] = defaultdict(set)
    for row in await tx.execute(known):
        holders[row.birth_date, row.name_key].add(row.id)
    together = Counter(new.values())
    return frozenset(case for case, key in new.items() if holders[key] - {case} or together[key] > 1)


def _case(row: Any, open_needs: tuple[Any, ...], *, duplicates: bool) -> Case:
    return Case(
        id=row.id,
        version=row.version,
        state=State(row.state),
        sphere=row.sphere and Sphere(row.sphere),
        person=row.person,
        birth_date=row.birth_date,
        person_release=row.person_release,
        has_address=bool(row.has_address),
        address_protected=bool(row.address_protected),
        local_number=row.local_number,
        handover=row.handover,
        sender=row.sender,
        alliance=row.alliance,
        leads=row.leads,
        phase=row.phase and Phase(row.phase),
        phase_source=row.phase_source and PhaseSource(row.phase_source),
        school=row.school and _school(row.school),
        age_band=row.age_band and AgeBand(row.age_band),
        needs=tuple(_need(need) for need in open_needs),
        no_needs=row.no_needs,
        target_groups=frozenset(map(TargetGroup, row.target_groups)),
        contact_person=row.contact_person,
        pause_reason=row.pause_reason and PauseReason(row.pause_reason),
        review_on=row.review_on,
        competence_area=row.competence_area and CompetenceArea(row.competence_area),
        destination=row.destination and Destination(row.destination),
        reopen_reason=row.reopen_reason,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        dossier=DossierState(row.dossier),
        dossier_reason=row.dossier_reason and DossierReason(row.dossier_reason),
        has_own=row.has_own,
        known_at=row.known_at,
        guardian=row.guardian_at and _guardian(row),
        duplicates=duplicates,
    )


def _guardian(row: Any) -> GuardianInformation:
    channel = row.guardian_channel and ContactChannel(row.guardian_channel)
    return GuardianInformation(row.guardian_at, row.guardian_by, channel, row.guardian_why)


def _school(kept: Mapping[str, Any]) -> SchoolFacts:
    return SchoolFacts(kept["grade"], kept["final_year"], kept["left_school"], Training(kept["training"]))


def _need(row: Any) -> RecordedNeed:
    return RecordedNeed(Need(row.code), row.severity, row.entrusted, row.recorded_at, row.received)


async def load_words(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Words]:
    """How much was written under these references; the row is made first, because only a row can be locked."""
    blank = [{"id": reference, "version": 0, "written": 0} for reference in wanted]
    await tx.execute(pg_insert(words_written).on_conflict_do_nothing(), blank)
    statement = (
        sa.select(words_written)
        .where(among(words_written.c.id, wanted))
        .order_by(words_written.c.id)
        .with_for_update()
    )
    known = {row.id: _words(row) for row in await tx.execute(statement)}
    return {reference: known.get(reference, Words(reference)) for reference in wanted}


def _words(row: Any) -> Words:
    return Words(row.id, row.version, WordsState.WRITTEN if row.written else WordsState.NONE, row.written)
