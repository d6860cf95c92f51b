"""What a command changes about a case, one function per command: pure, from a case to a case."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from chassis.transitions import Context, Reservation
from services.intake.domain import commands as asked
from services.intake.domain.case import (
    Case,
    DossierReason,
    DossierState,
    HeldItem,
    PhaseChange,
    PhaseSource,
    ReceivedRelease,
    RecordedNeed,
    Warned,
)
from services.intake.domain.information import GuardianInformation, Information
from services.intake.domain.items import Item, Part
from services.intake.domain.persons import Person
from services.intake.domain.phases import SchoolFacts, age_band, is_expected_age, phase_of

NUMBER_BITS = 40  # of the id's random end: eight signs, short enough to say on the phone
NUMBER_BITS_LONG = 60  # where the short one is taken already; as good as never taken
_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: none of them is read as another


def made_number(case: UUID, bits: int = NUMBER_BITS) -> str:
    """A local number made from a case's id, for agencies that bring none."""
    return "".join(_SIGNS[(case.int >> shift) & 31] for shift in range(bits - 5, -1, -5))


def number_reserved(number: str) -> Reservation:
    """The rule that a local number stands for one case of the agency."""
    return Reservation("local_number", number)


def _numbered(case: Case, wanted: str | None, context: Context) -> str:
    if wanted is not None or case.local_number is not None:
        return wanted or case.local_number or ""
    short = made_number(case.id)
    return short if number_reserved(short) in context.granted else made_number(case.id, NUMBER_BITS_LONG)


def _write(case: Case, **changes: Any) -> Case:
    return replace(case, writes=replace(case.writes, **changes))


# --- registering ------------------------------------------------------------------------------------------------------


def announce(case: Case, command: asked.Announce, context: Context) -> Case:
    """Open a case nobody has a name in yet; the preview is all there is."""
    needs = tuple(
        RecordedNeed(code, 0, entrusted=False, recorded_at=context.now, received=True) for code in sorted(command.needs)
    )
    return replace(
        case,
        handover=command.handover,
        person=case.id,  # at a receiver the person's id is the handover reference as well
        sender=command.sender,
        alliance=command.alliance,
        local_number=_numbered(case, None, context),
        phase=command.phase,
        phase_source=PhaseSource.PREVIEW if command.phase else None,
        age_band=command.age_band,
        needs=needs,
        dossier=DossierState.PENDING,
        opened_at=context.now,
    )


def register(case: Case, command: asked.Register, context: Context) -> Case:
    """Take in what a caseworker says. What a preview or a dossier said stays until somebody knows better."""
    registered = replace(
        _known(case, _as_protected(case, command.person), context),
        sphere=command.sphere,
        local_number=_numbered(case, command.local_number, context),
        leads=case.leads or case.handover is None,
        needs=_with_needs(case.needs, command.needs),
        no_needs=command.no_needs or (case.no_needs and not command.needs),
        target_groups=case.target_groups | command.target_groups,
        opened_at=case.opened_at or context.now,
        has_own=True,
    )
    registered = _write(registered, items=registered.writes.items + command.items)
    return registered if command.school is None else _schooled(registered, command.school, command.by, context)


def _as_protected(case: Case, person: Person) -> Person:
    """A protected address stays protected, whoever forgets to say so (§ 51 BMG)."""
    if person.address is None or not case.address_protected:
        return person
    return replace(person, address=replace(person.address, protected=True))


def _known(case: Case, person: Person, context: Context) -> Case:
    warned = set[Warned]()
    if not is_expected_age(person.birth_date, context.now):
        warned.add(Warned.AGE_UNEXPECTED)
    if case.duplicates:
        warned.add(Warned.POSSIBLE_DUPLICATE)
    person = replace(person, id=case.person or person.id)  # at a receiver the person's id was fixed by the handover
    known = replace(
        case,
        person=person.id,
        birth_date=person.birth_date,
        known_at=case.known_at if person.birth_date == case.birth_date else context.now,
        person_release=person.release,
        has_address=person.address is not None,
        address_protected=person.address is not None and person.address.protected,
        age_band=age_band(person.birth_date, context.now),
        warned=frozenset(warned),
    )
    return _write(known, person=person)


def _with_needs(before: tuple[RecordedNeed, ...], needs: Iterable[RecordedNeed]) -> tuple[RecordedNeed, ...]:
    by_code = {need.code: need for need in (*before, *needs)}
    return tuple(by_code[code] for code in sorted(by_code))


# --- working ----------------------------------------------------------------------------------------------------------


def assign_contact_person(case: Case, command: asked.AssignContactPerson, context: Context) -> Case:
    """Who answers for the case to the young person."""
    return replace(case, contact_person=command.contact_person)


def record_contact(case: Case, command: asked.RecordContact, context: Context) -> Case:
    """One more attempt in the history."""
    return replace(_write(case, contacts=(*case.writes.contacts, command.contact)), has_own=True)


def record_need(case: Case, command: asked.RecordNeed, context: Context) -> Case:
    """The latest word about a need counts; it is our own word now."""
    return replace(case, needs=_with_needs(case.needs, (command.need,)), no_needs=False, has_own=True)


def resolve_need(case: Case, command: asked.ResolveNeed, context: Context) -> Case:
    """The need is no longer among the open ones."""
    return replace(case, needs=tuple(need for need in case.needs if need.code != command.code))


def record_school_facts(case: Case, command: asked.RecordSchoolFacts, context: Context) -> Case:
    """The phase follows from the facts."""
    return replace(_schooled(case, command.school, command.by, context), has_own=True)


def _schooled(case: Case, school: SchoolFacts, by: str, context: Context) -> Case:
    phase = phase_of(school)
    if phase is None:
        return replace(case, school=school)
    change = PhaseChange(context.now, by, phase, PhaseSource.RULE, None)
    schooled = replace(case, school=school, phase=phase, phase_source=PhaseSource.RULE)
    return _write(schooled, phase_changes=(*case.writes.phase_changes, change))


def override_phase(case: Case, command: asked.OverridePhase, context: Context) -> Case:
    """The phase by hand, with its reason in the history."""
    change = PhaseChange(context.now, command.by, command.phase, PhaseSource.HAND, command.reason)
    overridden = replace(case, phase=command.phase, phase_source=PhaseSource.HAND, has_own=True)
    return _write(overridden, phase_changes=(*case.writes.phase_changes, change))


def add_items(case: Case, command: asked.AddItems, context: Context) -> Case:
    """More is known."""
    return replace(_write(case, items=case.writes.items + command.items), has_own=True)


def protect_address(case: Case, command: asked.ProtectAddress, context: Context) -> Case:
    """The flag lies on the address; items are looked at when they leave."""
    return _write(replace(case, address_protected=command.protected), protect_address=command.protected)


def reach_age_band(case: Case, command: asked.ReachAgeBand, context: Context) -> Case:
    """The age band of today."""
    return case if case.birth_date is None else replace(case, age_band=age_band(case.birth_date, context.now))


def confirm_responsibility(case: Case, command: asked.ConfirmResponsibility, context: Context) -> Case:
    """Work begins, with needs or with the statement that there are none."""
    return replace(case, no_needs=case.no_needs or command.no_needs)


def declare_not_responsible(case: Case, command: asked.DeclareNotResponsible, context: Context) -> Case:
    """Whose task it seems to be."""
    return replace(case, competence_area=command.area)


def pause(case: Case, command: asked.Pause, context: Context) -> Case:
    """Work rests, until when and why."""
    return replace(case, pause_reason=command.reason, review_on=command.review_on)


def end_pause(case: Case, command: object, context: Context) -> Case:
    """Nothing rests any more."""
    return replace(case, pause_reason=None, review_on=None)


def close(case: Case, command: asked.Close, context: Context) -> Case:
    """Where the young person went, and when."""
    return replace(case, destination=command.destination, closed_at=context.now)


def reopen(case: Case, command: asked.Reopen, context: Context) -> Case:
    """Open again: no destination, the reason kept."""
    return replace(case, destination=None, closed_at=None, reopen_reason=command.reason)


def take_lead(case: Case, command: asked.TakeLead, context: Context) -> Case:
    """The lead is here."""
    return replace(case, leads=True)


def drop_lead(case: Case, command: asked.DropLead, context: Context) -> Case:
    """The lead is elsewhere."""
    return replace(case, leads=False)


# --- the dossier ------------------------------------------------------------------------------------------------------


def fetch_dossier(case: Case, command: object, context: Context) -> Case:
    """Waiting for the door."""
    return replace(case, dossier=DossierState.PENDING, dossier_reason=None)


def store_dossier(case: Case, command: asked.StoreDossier, context: Context) -> Case:
    """Keep the items with their provenance, none twice: a door repeats what it has not yet heard to be here.

    Who was registered by hand meanwhile is known better than by a dossier.
    """
    known = case
    if command.person is not None and case.birth_date is None:
        known = _known(case, command.person, context)
    here = {item.source_item for item in case.held}
    new = tuple(item for item in command.items if _held(item).source_item not in here)
    held = tuple(_held(item) for item in new)
    release = ReceivedRelease(command.release, case.sender or "", len(command.items), context.now)
    stored = replace(
        known, sphere=command.sphere, held=known.held + held, dossier=DossierState.STORED,
        owed=known.owed | {command.release},
    )  # fmt: skip
    return _write(stored, items=stored.writes.items + new, releases=(*stored.writes.releases, release))


def store_part(case: Case, command: asked.StorePart, context: Context) -> Case:
    """The same; the dossier stays pending, because the door has more."""
    return replace(store_dossier(case, command, context), dossier=DossierState.PENDING)


def _held(item: Item) -> HeldItem:
    if item.provenance is None:
        raise ValueError("a received item has a provenance")
    came = item.provenance
    return HeldItem(item.id, came.source_item, came.release, frozenset(came.bases), came.received_at, item.part)


def record_information(case: Case, command: asked.RecordInformation, context: Context) -> Case:
    """When and how somebody was told, and who says so."""
    at = command.at or context.now
    return _settled(case, Information(command.releases, at, command.by, channel=command.channel))


def excuse_information(case: Case, command: asked.ExcuseInformation, context: Context) -> Case:
    """On which ground nobody is told, and who answers for it."""
    left_out = Information(
        command.releases, context.now, command.by, exemption=command.exemption, why=command.why
    )  # fmt: skip
    return _settled(case, left_out)


def _settled(case: Case, information: Information) -> Case:
    settled = replace(case, owed=case.owed - information.releases)
    return _write(settled, information=(*case.writes.information, information))


def record_guardian_information(case: Case, command: asked.RecordGuardianInformation, context: Context) -> Case:
    """When and how the guardian was informed, and who says so."""
    at = command.at or context.now
    return replace(case, guardian=GuardianInformation(at, command.by, channel=command.channel))


def excuse_guardian_information(case: Case, command: asked.ExcuseGuardianInformation, context: Context) -> Case:
    """Why the guardian is not informed, and who answers for it."""
    return replace(case, guardian=GuardianInformation(context.now, command.by, why=command.why))


def note_refusal(case: Case, command: asked.NoteRefusal, context: Context) -> Case:
    """The door said no for good; shown at the case. What is left after all that may be kept has come is no loss."""
    if command.reason is DossierReason.NOT_LISTED and case.held:
        return replace(case, dossier=DossierState.STORED)
    return replace(case, dossier=DossierState.REFUSED, dossier_reason=command.reason)


def end_dossier(case: Case, command: object, context: Context) -> Case:
    """Nothing more comes; what is here stays for now."""
    return replace(case, dossier=DossierState.ENDED)


def purge(case: Case, command: asked.Purge, context: Context) -> Case:
    """Erase what came by these releases; with the whole handover's end the preview goes too."""
    erased = gone(case, command.releases, command.items)
    purged = replace(case, held=tuple(item for item in case.held if item not in erased))
    if case.person_release is not None and (command.releases is None or case.person_release in command.releases):
        purged = _without_parts(purged, command, erased)
    if command.releases is None:
        purged = _without_preview(purged)
    if command.ended:
        purged = replace(purged, dossier=DossierState.ENDED)
    releases = {item.release for item in erased} | (command.releases or frozenset())
    if not releases:
        return purged
    return _write(
        replace(purged, erased=purged.erased | releases),
        erase_items=case.writes.erase_items | {item.id for item in erased},
        erased_releases=case.writes.erased_releases | releases,
        erased_at=context.now,
    )


def gone(case: Case, releases: frozenset[Any] | None, items: frozenset[Any]) -> tuple[HeldItem, ...]:
    """What of the received items goes: all (None), what came by these releases, or of it these alone."""
    return tuple(
        item
        for item in case.held
        if releases is None or (item.release in releases and (not items or item.source_item in items))
    )


def _without_parts(case: Case, command: asked.Purge, erased: tuple[HeldItem, ...]) -> Case:
    """Who is named by what came is named no more; of whom only address or contact has to go keeps the name."""
    parts = frozenset(item.part for item in erased if item.release == case.person_release)
    if not command.items or Part.IDENTITY in parts:
        return _without_person(case)
    kept = replace(case, has_address=case.has_address and Part.ADDRESS not in parts)
    return _write(kept, erase_parts=parts & {Part.ADDRESS, Part.CONTACT})


def _without_person(case: Case) -> Case:
    nameless = replace(
        case, birth_date=None, person_release=None, has_address=False, address_protected=False, age_band=None
    )
    return _write(nameless, person=None, erase_person=True)


def _without_preview(case: Case) -> Case:
    needs = tuple(need for need in case.needs if not need.received)
    if case.phase_source is PhaseSource.PREVIEW:
        case = replace(case, phase=None, phase_source=None)
    return replace(case, needs=needs, age_band=case.age_band if case.birth_date else None)


def discard(case: Case, command: asked.Discard, context: Context) -> Case:
    """Erase all of it; what stays is that this handover once opened a case here."""
    purged = purge(_without_person(case), replace(command, releases=None), context)
    return replace(
        purged,
        phase=None,
        phase_source=None,
        school=None,
        needs=(),
        no_needs=False,
        target_groups=frozenset(),
        contact_person=None,
        pause_reason=None,
        review_on=None,
        competence_area=None,
        destination=None,
        guardian=None,
        dossier=DossierState.ENDED,
    )
