"""What the commands of a handover are made from: ids, codes, days; no word about the person."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from chassis.http import Body, Day, Instant
from contracts.codes import (
    CancelReason,
    CompetenceArea,
    ContactChannel,
    DataCategory,
    GiveBackReason,
    Kind,
    Outcome,
    PauseReason,
    Purpose,
    RejectReason,
    Urgency,
    VoidReason,
)
from contracts.events import CODES_MAX, ITEMS_MAX
from contracts.ids import AgencyId, AllianceId, CaseId, ItemId

ATTEMPTS_MAX = 100  # as many as the event can count


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("names something twice")
    return values


Items = Annotated[tuple[ItemId, ...], Field(min_length=1, max_length=ITEMS_MAX), AfterValidator(_once)]
Categories = Annotated[tuple[DataCategory, ...], Field(min_length=1, max_length=CODES_MAX), AfterValidator(_once)]


class DraftBody(Body):
    """Which case is to go to whom, for what, with which items of its dossier."""

    case: CaseId
    alliance: AllianceId
    recipient: AgencyId
    kind: Kind = Kind.TRANSFER
    purpose: Purpose
    urgency: Urgency = Urgency.NORMAL
    competence_area: CompetenceArea
    items: Items


class RequestBody(Body):
    """The case of the draft, once more: it is reserved for this handover from now on."""

    case: CaseId


class PackageBody(Body):
    """The items that stay in the package."""

    keep: Items


class CancelBody(Body):
    """Why the agreed handover should be undone."""

    reason: CancelReason


class VoidBody(Body):
    """What was entered in error."""

    reason: VoidReason


class RejectionBody(Body):
    """Why the case is not taken."""

    reason: RejectReason


class InquiryBody(Body):
    """Which categories of data the receiver must know about before it answers."""

    categories: Categories


class WaitingListBody(Body):
    """The day on which the receiver looks at it again, at the latest."""

    review_on: Day


class RedirectBody(Body):
    """Who should rather be asked."""

    to: AgencyId


class FirstContactBody(Body):
    """When and how the young person was met."""

    at: Instant
    channel: ContactChannel


class AttemptBody(Body):
    """One attempt to reach somebody."""

    at: Instant
    channel: ContactChannel


class NotReachedBody(Body):
    """All attempts; the sender learns only how many."""

    attempts: Annotated[tuple[AttemptBody, ...], Field(min_length=1, max_length=ATTEMPTS_MAX)]


class GiveBackBody(Body):
    """Why the case is given back before anybody was met."""

    reason: GiveBackReason


class PauseBody(Body):
    """Why work rests, and when it is looked at again."""

    reason: PauseReason
    review_on: Day


class CompletionBody(Body):
    """What became of it."""

    outcome: Outcome
