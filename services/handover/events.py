"""What the handover service hears: the other side of each handover, own consent's word on it, own intake's cases.

And what it remembers of its own words, where its database is older than they are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.executor import Step
from chassis.inbox import Hear, Meta
from chassis.recovery.remembering import Memory
from chassis.transitions import Said
from contracts import consent as said_by_consent
from contracts import handover as said
from contracts import intake as said_by_intake
from contracts.codes import Trigger
from contracts.ids import AgencyId, AllianceId
from services.handover.domain import CaseState, Matter, commands, memory
from services.handover.domain.commands import Command, Heard, Learn
from services.handover.store import HANDOVER, KNOWN_CASE, open_handovers_of_cases


def _counterpart(meta: Meta) -> AgencyId:
    """Who says it: the owner of the channel, `<agency>.<service>`, and not what anybody claims."""
    return AgencyId(meta.writer.partition(".")[0])


# --- the other agency -------------------------------------------------------------------------------------------------


def requested(event: said.HandoverRequested, meta: Meta) -> Sequence[Step]:
    """The only event that makes a handover known here."""
    by = _counterpart(meta)
    matter = Matter(
        alliance=AllianceId(meta.scope),
        counterpart=by,
        kind=event.kind,
        purpose=event.purpose,
        urgency=event.urgency,
        competence_area=event.competence_area,
    )
    return (Step(HANDOVER, event.handover, commands.Requested(by, matter, event.preview)),)


def word(command: type[Heard], **fields: str) -> Callable[[said.HandoverEvent, Meta], Sequence[Step]]:
    """A fact that becomes the command of the same name; `fields` maps what the command needs to what the event has."""

    def heard(event: said.HandoverEvent, meta: Meta) -> Sequence[Step]:
        values = {mine: getattr(event, theirs) for mine, theirs in fields.items()}
        return (Step(HANDOVER, event.handover, command(by=_counterpart(meta), **values)),)

    return heard


# --- own consent ------------------------------------------------------------------------------------------------------


def decided(
    command: type[commands.FromConsent],
) -> Callable[[said_by_consent.TransmissionEvent, Meta], Sequence[Step]]:
    """What consent decided about the items of a handover."""

    def heard(event: said_by_consent.TransmissionEvent, _meta: Meta) -> Sequence[Step]:
        return (Step(HANDOVER, event.handover, command(event.items)),)

    return heard


# --- own intake -------------------------------------------------------------------------------------------------------


def _learn(case: said_by_intake.CaseEvent, command: Command) -> Step:
    return Step(KNOWN_CASE, case.case, command)


def now_in(state: CaseState) -> Callable[[said_by_intake.CaseEvent, Meta], Sequence[Step]]:
    """An event that says no more than the case's new state."""
    return lambda event, _meta: (_learn(event, Learn(state=state)),)


def registered(event: said_by_intake.CaseRegistered, _meta: Meta) -> Sequence[Step]:
    """Whose case it is, and the age band."""
    state = CaseState.REGISTERED
    return (_learn(event, Learn(state=state, person=event.person, age_band=event.age_band)),)


def _profile(event: said_by_intake.CaseProfileEvent, state: CaseState | None) -> Sequence[Step]:
    said_now = Learn(state, event.person, event.phase, event.age_band, tuple(event.needs))
    return (_learn(event, said_now),)


def activated(event: said_by_intake.CaseActivated, _meta: Meta) -> Sequence[Step]:
    """From now on the case can be handed over."""
    return _profile(event, CaseState.ACTIVE)


def changed(event: said_by_intake.CaseChanged, _meta: Meta) -> Sequence[Step]:
    """What a preview would say is different now; previews that were proposed stay as they were."""
    return _profile(event, None)


def closed(event: said_by_intake.CaseClosed, meta: Meta) -> Sequence[Step]:
    """The case ends, and with it what this agency asks for it; what was agreed is to be undone."""
    open_handovers = (Step(HANDOVER, handover, commands.CaseClosed()) for handover in meta.subjects)
    return (_learn(event, Learn(state=CaseState.CLOSED)), *open_handovers)


# --- all of it --------------------------------------------------------------------------------------------------------

async def closed_cases(_tx: AsyncConnection, facts: Sequence[Said]) -> Mapping[UUID, Sequence[UUID]]:
    """The case whose end moved the copy."""
    return {one.id: (one.fact.case,) for one in facts if one.fact.on is Trigger.CASE_CLOSED and one.fact.case}


WORDS: Final[Mapping[type[said.ChannelEvent], Callable[[Any, Meta], Sequence[Step]]]] = {
    said.HandoverRequested: requested,
    said.HandoverAnswered: word(commands.Answered),
    said.HandoverWithdrawn: word(commands.Withdrawn),
    said.HandoverExpired: word(commands.Expired),
    said.HandoverRedirectConfirmed: word(commands.RedirectConfirmed),
    said.HandoverAcceptanceConfirmed: word(commands.AcceptanceConfirmed),
    said.HandoverCancelRequested: word(commands.CancelRequested, reason="reason"),
    said.HandoverStopped: word(commands.Stopped),
    said.HandoverVoided: word(commands.Voided, reason="reason"),
    said.HandoverInquiryMade: word(commands.InquiryMade, categories="asked"),
    said.HandoverWaitlisted: word(commands.Waitlisted, review_on="review_on"),
    said.HandoverRedirectProposed: word(commands.RedirectProposed, to="to"),
    said.HandoverAcceptanceDeclared: word(commands.AcceptanceDeclared),
    said.HandoverRejected: word(commands.Rejected, reason="reason"),
    said.HandoverFirstContactMade: word(commands.FirstContactMade, at="at"),
    said.HandoverNotReached: word(commands.NotReached),
    said.HandoverGivenBack: word(commands.GivenBack, reason="reason"),
    said.HandoverCancelConfirmed: word(commands.CancelConfirmed),
    said.HandoverCancelDenied: word(commands.CancelDenied),
    said.HandoverPaused: word(commands.Paused, reason="reason", review_on="review_on"),
    said.HandoverResumed: word(commands.Resumed),
    said.HandoverCompleted: word(commands.Completed, outcome="outcome"),
    said.HandoverEndHeard: word(commands.EndHeard),
}

HEARS: Final[tuple[Hear, ...]] = (
    *(Hear(event, do, origin="channel") for event, do in WORDS.items()),
    Hear(said_by_consent.TransmissionPermitted, decided(commands.Request)),
    Hear(said_by_consent.TransmissionPartly, decided(commands.AwaitBasis)),
    Hear(said_by_consent.TransmissionDenied, decided(commands.DenyBasis)),
    Hear(said_by_consent.TransmissionReduced, decided(commands.AwaitBasis)),
    Hear(said_by_consent.TransmissionEnded, decided(commands.ConsentWithdrawn)),
    Hear(said_by_intake.CaseAnnounced, now_in(CaseState.ANNOUNCED)),
    Hear(said_by_intake.CaseRegistered, registered),
    Hear(said_by_intake.CaseClarifying, now_in(CaseState.CLARIFYING)),
    Hear(said_by_intake.CaseFoundNotResponsible, now_in(CaseState.NOT_COMPETENT)),
    Hear(said_by_intake.CaseActivated, activated),
    Hear(said_by_intake.CaseChanged, changed),
    Hear(said_by_intake.CasePaused, now_in(CaseState.PAUSED)),
    Hear(said_by_intake.CaseClosed, closed, of=open_handovers_of_cases),
    Hear(said_by_intake.CaseHandedOver, now_in(CaseState.HANDED_OVER)),
    Hear(said_by_intake.CaseDiscarded, now_in(CaseState.DISCARDED)),
)

REMEMBERS: Final[tuple[Memory, ...]] = (
    Memory(said.HandoverProposed, HANDOVER, memory.proposed),
    Memory(said.HandoverChanged, HANDOVER, memory.changed),
    Memory(said.HandoverChanged, KNOWN_CASE, memory.case_closed, whose=closed_cases),
    *(Memory(event, HANDOVER, memory.word) for event in WORDS),
)
