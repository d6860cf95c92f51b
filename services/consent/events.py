"""What the consent service hears: own intake, own handover, and the consent services of other agencies.

And what it remembers of its own words, where its database is older than they are.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.crashpoints import reached
from chassis.executor import Step
from chassis.inbox import Hear, Meta
from chassis.recovery.remembering import Memory
from chassis.transitions import Said
from contracts import consent as told
from contracts.codes import Side
from contracts.consent import ConsentDataAnswered, ConsentStorageConfirmed, ConsentWithdrawalNotified
from contracts.handover import HandoverChanged, HandoverProposed
from contracts.ids import AgencyId, AllianceId, DutyId, HandoverRef, TransmissionId
from contracts.intake import CaseChanged, CaseDossierStored, CaseItemsErased, CaseRegistered
from contracts.topics import parse
from services.consent.domain import memory
from services.consent.domain.commands import (
    ConfirmStorage,
    HearAnswer,
    HearErased,
    KnowPerson,
    NoteHandover,
    NoteStored,
    OpenTransmission,
    OweAnswer,
)
from services.consent.domain.words import PassedOn
from services.consent.store.persons import PERSON, persons_of_handovers

# --- own intake -------------------------------------------------------------------------------------------------------


def know(event: CaseRegistered | CaseChanged, meta: Meta) -> Sequence[Step]:
    """Whose case it is and how old: who may declare a consent depends on it."""
    return (Step(PERSON, event.person, KnowPerson(event.age_band)),)


def confirm(event: CaseDossierStored, meta: Meta) -> Sequence[Step]:
    """At the receiver the person is known by the handover reference."""
    reached("dossier.after_store")
    items = tuple(item.id for item in event.items)
    return (Step(PERSON, event.handover, ConfirmStorage(event.handover, event.release, items)),)


def erased(event: CaseItemsErased, meta: Meta) -> Sequence[Step]:
    """What was erased without a duty was erased because the handover ended: its own event says so."""
    return () if event.duty is None else (Step(PERSON, event.handover, HearErased(event.duty)),)


# --- own handover -----------------------------------------------------------------------------------------------------


def open_transmission(event: HandoverProposed, meta: Meta) -> Sequence[Step]:
    """One transmission per handover: a later proposal of the same handover cuts the package."""
    command = OpenTransmission(
        TransmissionId(meta.id), meta.id, event.handover, event.case, event.alliance, event.recipient, event.purpose,
        event.items,
    )
    return (Step(PERSON, event.person, command),)


def note_handover(event: HandoverChanged, meta: Meta) -> Sequence[Step]:
    """At the sender the person is found by the transmission; where nothing was proposed there is nothing to note."""
    command = NoteHandover(
        event.handover, event.side, event.counterpart, event.alliance, event.state, event.recorded, DutyId(meta.id)
    )
    subjects = (event.handover,) if event.side is Side.RECEIVER else meta.subjects
    return tuple(Step(PERSON, subject, command) for subject in subjects)


# --- other agencies ---------------------------------------------------------------------------------------------------


def _teller(meta: Meta) -> AgencyId:
    """The agency that alone can write this topic."""
    return parse(meta.topic).writer.agency


def _about(handover: HandoverRef, meta: Meta, command: object) -> Sequence[Step]:
    """The person whose data the handover carries; where there is none, one who refuses: a human has to look."""
    return tuple(Step(PERSON, subject, command) for subject in meta.subjects or (handover,))


def note_stored(event: ConsentStorageConfirmed, meta: Meta) -> Sequence[Step]:
    """The recipient has stored it: the claim is used up."""
    command = NoteStored(_teller(meta), event.handover, event.release, event.items)
    return _about(event.handover, meta, command)


def owe(event: ConsentWithdrawalNotified, meta: Meta) -> Sequence[Step]:
    """Which agency it is from also says on whose channel the answer will go."""
    alliance = AllianceId(meta.scope)
    command = OweAnswer(
        event.duty, event.handover, _teller(meta), alliance, event.releases, event.basis_ended, event.answer_by,
        DutyId(meta.id),
    )
    return (Step(PERSON, event.handover, command),)


def hear_answer(event: ConsentDataAnswered, meta: Meta) -> Sequence[Step]:
    """Erased, or retained; also by those to whom it was passed on."""
    others = tuple(PassedOn(each.answer, each.norm) for each in event.passed_on)
    command = HearAnswer(_teller(meta), event.duty, event.answer, event.norm, others)
    return _about(event.handover, meta, command)


HEARS: Final = (
    Hear(CaseRegistered, know, again=True),
    Hear(CaseChanged, know, again=True),
    Hear(CaseDossierStored, confirm),
    Hear(CaseItemsErased, erased),
    Hear(HandoverProposed, open_transmission),
    Hear(HandoverChanged, note_handover, of=persons_of_handovers, again=True),
    Hear(ConsentStorageConfirmed, note_stored, of=persons_of_handovers, origin="channel"),
    Hear(ConsentWithdrawalNotified, owe, origin="channel", again=True),
    Hear(ConsentDataAnswered, hear_answer, of=persons_of_handovers, origin="channel", again=True),
)

# --- own words --------------------------------------------------------------------------------------------------------


async def whose_handover(tx: AsyncConnection, facts: Sequence[Said]) -> Mapping[UUID, Sequence[UUID]]:
    """The person of the transmission, or of the proposal that would have opened it."""
    known = await persons_of_handovers(tx, [one.fact.handover for one in facts])
    return {one.id: known.get(one.fact.handover, ()) or _proposed_for(one) for one in facts}


def _proposed_for(said: Said) -> Sequence[UUID]:
    return tuple(event.person for _, event in said.heard if isinstance(event, HandoverProposed))[:1]


async def by_reference(_tx: AsyncConnection, facts: Sequence[Said]) -> Mapping[UUID, Sequence[UUID]]:
    """At the receiver the person is known by the handover reference."""
    return {one.id: (one.fact.handover,) for one in facts}


async def whose_duty(tx: AsyncConnection, facts: Sequence[Said]) -> Mapping[UUID, Sequence[UUID]]:
    """An awaited answer is about the person of the transmission, one that is owed about who came by the handover."""
    awaited = await whose_handover(tx, [one for one in facts if one.fact.side is Side.SENDER])
    return {one.id: awaited.get(one.id, (one.fact.handover,)) for one in facts}


REMEMBERS: Final = (
    Memory(told.ConsentGiven, PERSON, memory.given),
    Memory(told.ConsentRefused, PERSON, memory.refused),
    Memory(told.ConsentWithdrawn, PERSON, memory.withdrawn),
    Memory(told.ConsentReplaced, PERSON, memory.replaced),
    Memory(told.ConsentInvalidated, PERSON, memory.invalidated),
    Memory(told.ConsentCleared, PERSON, memory.cleared),
    Memory(told.ConsentClearanceEnded, PERSON, memory.clearance_ended),
    Memory(told.ConsentRenewalDue, PERSON, memory.renewal_due),
    Memory(told.ConsentInsightNoted, PERSON, memory.insight_noted),
    Memory(told.ConsentRestricted, PERSON, memory.restricted),
    Memory(told.ConsentRestrictionEnded, PERSON, memory.restriction_ended),
    *(Memory(event, PERSON, memory.decided, whose_handover) for event in memory.STATES),
    Memory(told.TransmissionReleased, PERSON, memory.released, whose_handover),
    Memory(told.TransmissionTaskStated, PERSON, memory.task_stated, whose_handover),
    Memory(told.ConsentErasureDemanded, PERSON, memory.erasing, by_reference),
    Memory(told.ConsentAnswerDue, PERSON, memory.reminded, whose_duty),
    Memory(told.ConsentAnswerOverdue, PERSON, memory.reminded, whose_duty),
    Memory(told.ConsentStorageConfirmed, PERSON, memory.stored, by_reference),
    Memory(told.ConsentWithdrawalNotified, PERSON, memory.notified, whose_handover),
    Memory(told.ConsentDataAnswered, PERSON, memory.answered, by_reference),
)
