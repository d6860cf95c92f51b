"""Every event by its type on the wire, and every fact of the handover protocol by its name there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from contracts import consent, handover, intake, offers
from contracts.events import Event

EVENTS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {event.type: event for module in (intake, consent, handover, offers) for event in module.EVENTS}
)

# The left names are those of the model-checked protocol. Its `ConsentWithdrawn` comes from the own agency; the two
# facts about data received travel between the consent services, all others between the handover services.
FACTS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {
        "ConsentWithdrawn": consent.TransmissionEnded,
        "ConsentEnded": consent.ConsentWithdrawalNotified,
        "DataAnswered": consent.ConsentDataAnswered,
        "Requested": handover.HandoverRequested,
        "InquiryMade": handover.HandoverInquiryMade,
        "Answered": handover.HandoverAnswered,
        "Waitlisted": handover.HandoverWaitlisted,
        "RedirectProposed": handover.HandoverRedirectProposed,
        "RedirectConfirmed": handover.HandoverRedirectConfirmed,
        "AcceptanceDeclared": handover.HandoverAcceptanceDeclared,
        "AcceptanceConfirmed": handover.HandoverAcceptanceConfirmed,
        "Rejected": handover.HandoverRejected,
        "Withdrawn": handover.HandoverWithdrawn,
        "Expired": handover.HandoverExpired,
        "CancelRequested": handover.HandoverCancelRequested,
        "CancelConfirmed": handover.HandoverCancelConfirmed,
        "CancelDenied": handover.HandoverCancelDenied,
        "NotReached": handover.HandoverNotReached,
        "GivenBack": handover.HandoverGivenBack,
        "FirstContactMade": handover.HandoverFirstContactMade,
        "Paused": handover.HandoverPaused,
        "Resumed": handover.HandoverResumed,
        "Completed": handover.HandoverCompleted,
        "Stopped": handover.HandoverStopped,
        "Voided": handover.HandoverVoided,
        "EndHeard": handover.HandoverEndHeard,
    }
)
