"""What the intake service hears: how its agency's handovers move, and what consent demands to be erased.

And what it remembers of its own words, where its database is older than they are.
"""

from collections.abc import Sequence
from typing import Final

from chassis.executor import Step
from chassis.inbox import Hear, Meta
from chassis.recovery.remembering import Memory
from contracts import intake as told
from contracts.codes import END_STATES, HandoverState, Side
from contracts.consent import ConsentErasureDemanded
from contracts.handover import HandoverChanged
from services.intake.domain import memory
from services.intake.domain.commands import Announce, DropLead, EndDossier, EraseReleases, TakeLead
from services.intake.store import CASE

# In these states the receiver has a case of its own (models/README.md, "The receiver hears" and "acts", column data).
WITH_CASE: Final = frozenset(
    {HandoverState.ACCEPTED, HandoverState.CANCELLING, HandoverState.ACTIVE, HandoverState.PAUSED}
)
# Ends after which the dossier stays for the time being: until the duty is answered, or under the receiver's own rule.
KEEPING: Final = frozenset({HandoverState.STOPPED, HandoverState.COMPLETED})


def follow(event: HandoverChanged, meta: Meta) -> Sequence[Step]:
    """One move of the own copy of a handover becomes at most one command on the case."""
    return _at_sender(event) if event.side is Side.SENDER else _at_receiver(event)


def _at_sender(event: HandoverChanged) -> Sequence[Step]:
    if event.lead or event.case is None:
        return ()
    return (Step(CASE, event.case, DropLead(event.handover)),)


def _at_receiver(event: HandoverChanged) -> Sequence[Step]:
    """A receiver's case is keyed by the handover reference; before acceptance there is none, and nothing to erase."""
    command = _meaning(event)
    return () if command is None else (Step(CASE, event.handover, command),)


def _meaning(event: HandoverChanged) -> object | None:
    ended_now = event.before in WITH_CASE and event.state in END_STATES
    voided_later = event.state is HandoverState.COMPLETED and event.recorded is HandoverState.VOIDED
    if voided_later:
        return EndDossier(event.handover, purge=True)
    if ended_now:
        return EndDossier(event.handover, purge=event.state not in KEEPING)
    if event.state is HandoverState.ACCEPTED:
        return _announced(event)
    if event.lead and event.before in {HandoverState.ACCEPTED, HandoverState.CANCELLING}:
        return TakeLead()
    return None


def _announced(event: HandoverChanged) -> Announce:
    preview = event.preview
    return Announce(
        handover=event.handover,
        sender=event.counterpart,
        alliance=event.alliance,
        phase=None if preview is None else preview.phase,
        age_band=None if preview is None else preview.age_band,
        needs=frozenset() if preview is None else frozenset(preview.needs),
    )


def erase(event: ConsentErasureDemanded, meta: Meta) -> Sequence[Step]:
    """Exactly what came by these releases, or of it exactly these items."""
    command = EraseReleases(event.handover, event.duty, frozenset(event.releases), frozenset(event.basis_ended))
    return (Step(CASE, event.handover, command),)


HEARS: Final = (Hear(HandoverChanged, follow), Hear(ConsentErasureDemanded, erase))

REMEMBERS: Final = (
    Memory(told.CaseRegistered, CASE, memory.registered),
    Memory(told.CaseAnnounced, CASE, memory.announced),
    Memory(told.CaseClarifying, CASE, memory.clarifying),
    Memory(told.CaseFoundNotResponsible, CASE, memory.not_responsible),
    Memory(told.CasePaused, CASE, memory.paused),
    Memory(told.CaseActivated, CASE, memory.profile),
    Memory(told.CaseChanged, CASE, memory.profile),
    Memory(told.CaseClosed, CASE, memory.closed),
    Memory(told.CaseDiscarded, CASE, memory.discarded),
    Memory(told.CaseHandedOver, CASE, memory.handed_over),
    Memory(told.CaseGuardianInformed, CASE, memory.guardian_informed),
    Memory(told.CaseDossierStored, CASE, memory.dossier_stored),
    Memory(told.CaseItemsErased, CASE, memory.items_erased),
)
