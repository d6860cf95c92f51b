"""What is true of an offer: its states, its commands, and the table that says what becomes of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from chassis.transitions import Arm, Condition, Context, Decided, Disarm, Refused, Remembered, Row, Said, Table, Tell
from contracts import offers as told
from contracts.calendar import day_of, end_of
from contracts.codes import OfferState, OfferStatus, Payer
from contracts.ids import AgencyId, AllianceId, OfferId

ASSURED_FOR = timedelta(days=180)  # half a year: older, and nobody knows whether it still runs as described
FUNDING = "funding"  # the deadline that watches the last day of funding
NOTHING: Final = told.Offer.model_construct()  # type: ignore[call-arg]  # a blank says nothing; reading it is a bug
NOWHERE: Final = AllianceId("")


class State(StrEnum):
    """Where an offer is. `none`: not known here. `copied`: another agency's, as its catalogue told it last."""

    NONE = "none"
    DRAFT = "draft"
    IN_REVIEW = "in_review"
    PUBLISHED = "published"
    SUSPENDED = "suspended"
    RETIRED = "retired"
    COPIED = "copied"


class Reason(StrEnum):
    """Why not."""

    NOT_NOW = "not-now"
    UNKNOWN_OFFER = "unknown-offer"
    COPY_IS_READ_ONLY = "copy-is-read-only"
    NOT_FROM_ITS_OWNER = "not-from-its-owner"
    NOT_OUR_ALLIANCE = "not-our-alliance"
    NO_LEGAL_BASIS = "no-legal-basis"
    PAYER_UNCLEAR = "payer-unclear"
    NO_PHASE = "no-phase"
    NO_QUALITY_OWNER = "no-quality-owner"
    NO_CONTACT = "no-contact"
    ASSURANCE_TOO_OLD = "assurance-too-old"
    FUNDING_ENDED = "funding-ended"
    SECOND_PERSON_NEEDED = "second-person-needed"


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer of ours, or our copy of another agency's."""

    id: UUID
    alliances: frozenset[AllianceId]  # whose catalogues this agency writes
    version: int = 0
    state: State = State.NONE
    owner: AgencyId | None = None  # None: ours
    alliance: AllianceId = NOWHERE  # in whose catalogue it stands
    hands: tuple[str, ...] = ()  # who wrote or submitted it
    content: told.Offer = NOTHING


@dataclass(frozen=True, slots=True)
class Draft:
    """Begin an offer for the catalogue of that alliance."""

    by: str
    alliance: AllianceId
    content: told.Offer


@dataclass(frozen=True, slots=True)
class Change:
    """Replace the whole wording."""

    by: str
    content: told.Offer


@dataclass(frozen=True, slots=True)
class Submit:
    """Ask a second person to look at it."""

    by: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Put it into the catalogue."""

    by: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Send it back to be written anew."""


@dataclass(frozen=True, slots=True)
class Suspend:
    """For the time being nobody can be taken."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Places can be had again."""


@dataclass(frozen=True, slots=True)
class Retire:
    """The offer is no more."""


@dataclass(frozen=True, slots=True)
class EndFunding:
    """The clock: the last day of funding is over."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Another agency's catalogue says: this is our offer now."""

    owner: AgencyId
    alliance: AllianceId
    content: told.Offer


# --- conditions: named questions, each with the reason for a no -------------------------------------------------------


def says(asks: Callable[[told.Offer], object], reason: Reason) -> Condition[Offer]:
    """A question about the wording alone."""
    return Condition(lambda offer, command, context: bool(asks(offer.content)), reason)


in_our_alliance: Condition[Offer] = Condition(
    lambda offer, command, context: command.alliance in offer.alliances, Reason.NOT_OUR_ALLIANCE
)
from_its_owner: Condition[Offer] = Condition(
    lambda offer, command, context: command.owner == offer.owner, Reason.NOT_FROM_ITS_OWNER
)
second_person: Condition[Offer] = Condition(
    lambda offer, command, context: command.by not in offer.hands, Reason.SECOND_PERSON_NEEDED
)
on_a_basis = says(lambda content: content.jba.legal_basis or content.jba.programme, Reason.NO_LEGAL_BASIS)
paid_for = says(lambda content: content.jba.payer is not Payer.UNCLEAR, Reason.PAYER_UNCLEAR)
for_a_phase = says(lambda content: content.jba.phases, Reason.NO_PHASE)
quality_owned = says(lambda content: content.jba.quality_owner, Reason.NO_QUALITY_OWNER)
reachable = says(
    lambda content: any(office.email or content.phones for office in content.contacts), Reason.NO_CONTACT
)
assured: Condition[Offer] = Condition(
    lambda offer, command, context: offer.content.assured_date is not None
    and timedelta(0) <= day_of(context.now) - offer.content.assured_date <= ASSURED_FOR,
    Reason.ASSURANCE_TOO_OLD,
)
funded: Condition[Offer] = Condition(
    lambda offer, command, context: offer.content.jba.funding_until is None
    or context.now < end_of(offer.content.jba.funding_until),
    Reason.FUNDING_ENDED,
)
FIT_TO_SHOW = (on_a_basis, paid_for, for_a_phase, quality_owned, reachable, assured, funded)
BY_A_SECOND_PERSON = (second_person, *FIT_TO_SHOW)


# --- effects ----------------------------------------------------------------------------------------------------------


def begun(offer: Offer, command: Draft, context: Context) -> Offer:
    """A first wording, by its first hand."""
    return reworded(replace(offer, alliance=command.alliance), command, context)


def reworded(offer: Offer, command: Draft | Change, context: Context) -> Offer:
    """Another wording, and one more who cannot be the second person."""
    return inactive(replace(handled(offer, command, context), content=command.content), command, context)


def handled(offer: Offer, command: Draft | Change | Submit, context: Context) -> Offer:
    """Somebody had a hand in it."""
    return replace(offer, hands=tuple(dict.fromkeys((*offer.hands, command.by))))


def copied(offer: Offer, command: Copy, context: Context) -> Offer:
    """Word for word what its owner says."""
    return replace(offer, owner=command.owner, alliance=command.alliance, content=command.content)


def shown_as(status: OfferStatus) -> Callable[[Offer, object, Context], Offer]:
    """The offer with this HSDS status, modified now."""

    def effect(offer: Offer, command: object, context: Context) -> Offer:
        content = offer.content.model_copy(update={"status": status, "last_modified": context.now})
        return replace(offer, content=content)

    return effect


inactive = shown_as(OfferStatus.INACTIVE)
active = shown_as(OfferStatus.ACTIVE)
closed = shown_as(OfferStatus.TEMPORARILY_CLOSED)
defunct = shown_as(OfferStatus.DEFUNCT)


# --- what others are told ---------------------------------------------------------------------------------------------


def drafted(offer: Offer, command: Draft, context: Context) -> Tell:
    """At home: ids only, the wording is nobody else's business yet."""
    return Tell(told.OfferDrafted(offer=OfferId(offer.id), alliance=offer.alliance))


def published(offer: Offer, command: object, context: Context) -> Tell:
    """To the alliance: the whole offer."""
    return Tell(told.OfferPublished(offer=offer.content), scope=offer.alliance)


def suspended(offer: Offer, command: object, context: Context) -> Tell:
    """To the alliance: the whole offer, temporarily closed."""
    return Tell(told.OfferSuspended(offer=offer.content), scope=offer.alliance)


def retired(offer: Offer, command: object, context: Context) -> Tell:
    """To the alliance: the whole offer, defunct."""
    return Tell(told.OfferRetired(offer=offer.content), scope=offer.alliance)


def moved(before: Offer, after: Offer, command: object, context: Context) -> tuple[Tell, ...]:
    """At home: every move from one state to another. How it began, `drafted` has said."""
    if before.state in {State.NONE, after.state}:
        return ()
    fact = told.OfferMoved(offer=OfferId(after.id), before=OfferState(before.state), state=OfferState(after.state))
    return (Tell(fact),)


# --- the clock --------------------------------------------------------------------------------------------------------


def watch(offer: Offer, command: object, context: Context) -> Arm | Disarm:
    """Funding that ends on a day ends the offer's being open with that day."""
    until = offer.content.jba.funding_until
    return Disarm(FUNDING) if until is None else Arm(FUNDING, end_of(until))


def unwatch(offer: Offer, command: object, context: Context) -> Disarm:
    """Closed already: nothing is left for the clock to close."""
    return Disarm(FUNDING)


S = State
FOUR_EYES = "four eyes: no wording reaches the alliance that only its author has read"
WHOLE = "the catalogue is compacted: it tells whole offers, the latest counts"
HEARD = "told to everybody by its owner, so there is nobody left to tell"

BY_PEOPLE: Final = frozenset({Draft, Change, Submit, Publish, Reject, Suspend, Resume, Retire})

# fmt: off
#       while        on          then         tells         provided            because    does         also
OFFERS: Final = Table[Offer](not_now=Reason.NOT_NOW, always=(moved,), by_people=BY_PEOPLE, rows=(
    Row(S.NONE,      Draft,      S.DRAFT,     (drafted,),   (in_our_alliance,), "",        (begun,)),
    Row(S.DRAFT,     Change,     S.DRAFT,     (),           (),                 "",        (reworded,)),
    Row(S.DRAFT,     Submit,     S.IN_REVIEW, (),           (),                 FOUR_EYES, (handled,)),
    Row(S.IN_REVIEW, Reject,     S.DRAFT,     (),           (),                 FOUR_EYES),
    Row(S.IN_REVIEW, Publish,    S.PUBLISHED, (published,), BY_A_SECOND_PERSON, FOUR_EYES, (active,),   (watch,)),
    Row(S.PUBLISHED, Suspend,    S.SUSPENDED, (suspended,), (),                 WHOLE,     (closed,),   (unwatch,)),
    Row(S.PUBLISHED, EndFunding, S.SUSPENDED, (suspended,), (),                 WHOLE,     (closed,),   (unwatch,)),
    Row(S.SUSPENDED, Resume,     S.PUBLISHED, (published,), FIT_TO_SHOW,        WHOLE,     (active,),   (watch,)),
    Row(S.PUBLISHED, Retire,     S.RETIRED,   (retired,),   (),                 WHOLE,     (defunct,),  (unwatch,)),
    Row(S.SUSPENDED, Retire,     S.RETIRED,   (retired,),   (),                 WHOLE,     (defunct,)),
    Row(S.NONE,      Copy,       S.COPIED,    (),           (),                 HEARD,     (copied,)),
))
COPIES: Final = Table[Offer](not_now=Reason.COPY_IS_READ_ONLY, by_people=BY_PEOPLE, rows=(
    Row(S.COPIED,    Copy,       S.COPIED,    (),           (from_its_owner,),  HEARD,     (copied,)),
))
# fmt: on


def law(offer: Offer) -> Table[Offer]:
    """The table that is about this offer: a copy only ever follows its owner."""
    return COPIES if offer.state is State.COPIED else OFFERS


def decide(offer: Offer, command: object, context: Context) -> Decided[Offer] | Refused:
    """What becomes of this offer by this command; of one that nobody here knows, nothing but a beginning."""
    if offer.state is State.NONE and OFFERS.row(offer.state, type(command)) is None:
        return Refused(Reason.UNKNOWN_OFFER, unknown=offer.id)
    return law(offer).decide(offer, command, context)


# --- own words --------------------------------------------------------------------------------------------------------

SHOWN_IN: Final = {told.OfferPublished: S.PUBLISHED, told.OfferSuspended: S.SUSPENDED, told.OfferRetired: S.RETIRED}


def shown(offer: Offer, said: Said) -> Remembered[Offer]:
    """The catalogue tells whole offers: nothing of them is unknown but whose hands wrote them."""
    state = SHOWN_IN[type(said.fact)]
    content: told.Offer = said.fact.offer
    after = replace(offer, state=state, owner=None, alliance=AllianceId(said.scope), content=content)
    clock = watch(after, None, Context(said.at)) if state is S.PUBLISHED else Disarm(FUNDING)
    return Remembered(after, (clock,))


def begun_or_moved(offer: Offer, said: Said) -> Remembered[Offer]:
    """At home ids and states are told: the wording of a draft is on no topic."""
    if offer.state is S.NONE:
        return Remembered(offer, lost=("wording",))
    if isinstance(said.fact, told.OfferMoved):
        return Remembered(replace(offer, state=State(said.fact.state)))
    return Remembered(offer)
