"""What consent tells: at home its decisions, on the channel what a recipient must know about data it has received."""

from typing import Annotated, ClassVar, TypeVar

from pydantic import Field, model_validator

from contracts.codes import (
    Completeness,
    DecisionReason,
    DutyAnswer,
    Giver,
    Purpose,
    RenewalReason,
    RetentionNorm,
    Service,
    Side,
    Verdict,
)
from contracts.events import CODES_MAX, ITEMS_MAX, Event, Instant, Part, SubjectKind, TopicKind
from contracts.ids import (
    AgencyId,
    ConsentId,
    DutyId,
    GrantId,
    HandoverRef,
    ItemId,
    PersonId,
    ReleaseId,
    RestrictionId,
    TransmissionId,
)

Items = Annotated[tuple[ItemId, ...], Field(max_length=ITEMS_MAX)]
Releases = Annotated[tuple[ReleaseId, ...], Field(min_length=1, max_length=ITEMS_MAX)]


# --- told at home, about a person -------------------------------------------------------------------------------------


class ConsentEvent(Event):
    """About the consents of one person; categories stay in consent's database."""

    owner: ClassVar[Service] = Service.CONSENT
    topic: ClassVar[TopicKind] = TopicKind.OWN
    subject_kind: ClassVar[SubjectKind] = SubjectKind.PERSONS
    key_field: ClassVar[str] = "person"

    person: PersonId
    consent: ConsentId


class GrantTold(Part):
    """Who may receive for what; for which categories is told to nobody."""

    grant: GrantId
    recipient: AgencyId
    purpose: Purpose


class ConsentGiven(ConsentEvent):
    """A person (or guardian) allows these grants from now on."""

    type: ClassVar[str] = "staffel.consent.given.v1"

    grants: tuple[GrantTold, ...] = Field(min_length=1, max_length=CODES_MAX)


class ConsentRefused(ConsentEvent):
    """A person was asked and said no; no reason is asked, nothing follows from it."""

    type: ClassVar[str] = "staffel.consent.refused.v1"


class ConsentWithdrawn(ConsentEvent):
    """These grants ended by withdrawal, from now on and not backwards (Art. 7(3) GDPR)."""

    type: ClassVar[str] = "staffel.consent.withdrawn.v1"

    grants: tuple[GrantTold, ...] = Field(min_length=1, max_length=CODES_MAX)


class ConsentReplaced(ConsentEvent):
    """A newer consent has taken its place, in all it granted."""

    type: ClassVar[str] = "staffel.consent.replaced.v1"


class ConsentInvalidated(ConsentEvent):
    """It never was one (§ 67b SGB X); why is told to nobody."""

    type: ClassVar[str] = "staffel.consent.invalidated.v1"


class ClearanceEvent(ConsentEvent):
    """About what somebody else than the giver had entrusted, and these grants let go; who that is stays here."""

    grants: tuple[GrantId, ...] = Field(min_length=1, max_length=CODES_MAX)


class ConsentCleared(ClearanceEvent):
    """Whoever entrusted it lets it go by these grants (§ 65(1) Nr. 1 SGB VIII)."""

    type: ClassVar[str] = "staffel.consent.cleared.v1"


class ConsentClearanceEnded(ClearanceEvent):
    """It no longer goes by these grants: whoever had entrusted it has taken that back."""

    type: ClassVar[str] = "staffel.consent.clearance_ended.v1"


class ConsentRenewalDue(ConsentEvent):
    """A guardian gave it, and the person may declare by now: it stands, and is to be renewed. Once for each reason."""

    type: ClassVar[str] = "staffel.consent.renewal_due.v1"

    reason: RenewalReason


class ConsentInsightNoted(Event):
    """Whether the person understands what a consent is (§ 36 SGB I) was noted, and is another answer than before."""

    owner: ClassVar[Service] = Service.CONSENT
    topic: ClassVar[TopicKind] = TopicKind.OWN
    subject_kind: ClassVar[SubjectKind] = SubjectKind.PERSONS
    key_field: ClassVar[str] = "person"
    type: ClassVar[str] = "staffel.consent.insight_noted.v1"

    person: PersonId
    insight: bool


class RestrictionEvent(Event):
    """About what was forbidden; to whom and which categories must not go stays in consent's database."""

    owner: ClassVar[Service] = Service.CONSENT
    topic: ClassVar[TopicKind] = TopicKind.OWN
    subject_kind: ClassVar[SubjectKind] = SubjectKind.PERSONS
    key_field: ClassVar[str] = "person"

    person: PersonId
    restriction: RestrictionId


class ConsentRestricted(RestrictionEvent):
    """The person has objected (Art. 21 GDPR), or the guardian has restricted (§ 36(2) SGB I)."""

    type: ClassVar[str] = "staffel.consent.restricted.v1"

    by: Giver


class ConsentRestrictionEnded(RestrictionEvent):
    """It was lifted, or it was a guardian's and the person is of age (`lapsed`).

    What lapsed is in force again where the person turns out to be younger: that is told as `consent.restricted` of the
    same id. What was lifted never is.
    """

    type: ClassVar[str] = "staffel.consent.restriction_ended.v1"

    lapsed: bool = False


# --- told at home, about a handover -----------------------------------------------------------------------------------


class ConsentHandoverEvent(Event):
    """About what one handover may carry; keyed by the handover reference, so an end never overtakes its permit."""

    owner: ClassVar[Service] = Service.CONSENT
    topic: ClassVar[TopicKind] = TopicKind.OWN
    subject_kind: ClassVar[SubjectKind] = SubjectKind.HANDOVERS
    key_field: ClassVar[str] = "handover"

    handover: HandoverRef


class DecidedItem(Part):
    """What was decided about one item, and why."""

    id: ItemId
    verdict: Verdict
    reason: DecisionReason


class TransmissionEvent(ConsentHandoverEvent):
    """What was decided about every item of a transmission at this instant; the door decides again at each release."""

    transmission: TransmissionId
    items: tuple[DecidedItem, ...] = Field(max_length=ITEMS_MAX)


class TransmissionPermitted(TransmissionEvent):
    """Every item may go: handover requests."""

    type: ClassVar[str] = "staffel.transmission.permitted.v1"


class TransmissionPartly(TransmissionEvent):
    """Some items may go, others not: cut the package or get a consent."""

    type: ClassVar[str] = "staffel.transmission.partly.v1"


class TransmissionDenied(TransmissionEvent):
    """No item may go."""

    type: ClassVar[str] = "staffel.transmission.denied.v1"


class TransmissionReduced(TransmissionEvent):
    """Items that were permitted are no longer, others still are."""

    type: ClassVar[str] = "staffel.transmission.reduced.v1"


class TransmissionEnded(TransmissionEvent):
    """Nothing is permitted any more: the handover stops. The protocol's `ConsentWithdrawn`."""

    type: ClassVar[str] = "staffel.transmission.ended.v1"


class TransmissionReleased(ConsentHandoverEvent):
    """Something left through the door; `items` counts what."""

    type: ClassVar[str] = "staffel.transmission.released.v1"

    release: ReleaseId
    completeness: Completeness
    items: int = Field(ge=0, le=ITEMS_MAX)


class TransmissionTaskStated(ConsentHandoverEvent):
    """A task was stated that makes it necessary, or no longer does; which one and for what stays in consent's database.

    What follows from it is told by itself, as far as it is another decision than before.
    """

    type: ClassVar[str] = "staffel.transmission.task_stated.v1"

    transmission: TransmissionId


class ConsentErasureDemanded(ConsentHandoverEvent):
    """At the recipient: own intake must erase exactly what came by these releases."""

    type: ClassVar[str] = "staffel.consent.erasure_demanded.v1"

    duty: DutyId
    releases: Releases
    items: Items
    basis_ended: Items = ()
    """Of these releases exactly these items must go, by the sender's ids; none named: all of them, also late ones."""


class ConsentAnswerEvent(ConsentHandoverEvent):
    """About an answer after a withdrawal that is still open, awaited (`sender`) or owed (`receiver`)."""

    duty: DutyId
    side: Side
    answer_by: Instant


class ConsentAnswerDue(ConsentAnswerEvent):
    """We owe it within three days."""

    type: ClassVar[str] = "staffel.consent.answer_due.v1"


class ConsentAnswerOverdue(ConsentAnswerEvent):
    """It has not come in time."""

    type: ClassVar[str] = "staffel.consent.answer_overdue.v1"


# --- told to the other agency -----------------------------------------------------------------------------------------


class ConsentChannelEvent(ConsentHandoverEvent):
    """Told to the other agency's consent service; from whom to whom is the topic's name."""

    topic: ClassVar[TopicKind] = TopicKind.CHANNEL


class ConsentStorageConfirmed(ConsentChannelEvent):
    """Recipient: these items of that release are stored. The claim is used up from now on."""

    type: ClassVar[str] = "staffel.consent.storage_confirmed.v1"

    release: ReleaseId
    items: Items


class ConsentWithdrawalNotified(ConsentChannelEvent):
    """Sender: the basis of these releases has ended; erase or name a norm by then. The protocol's `ConsentEnded`."""

    type: ClassVar[str] = "staffel.consent.withdrawal_notified.v1"

    duty: DutyId
    releases: Releases
    answer_by: Instant
    basis_ended: Items = ()
    """Of these releases exactly these items, by the sender's ids; none named: all of them."""


def _norm_exactly_where_retained(said: "A") -> "A":
    if (said.answer is DutyAnswer.RETAINED) != (said.norm is not None):
        raise ValueError("norm: retained needs one, erased must not have one")
    return said


class Answered(Part):
    """Erased, or retained on that norm."""

    answer: DutyAnswer
    norm: RetentionNorm | None

    _norm_fits = model_validator(mode="after")(_norm_exactly_where_retained)


class ConsentDataAnswered(ConsentChannelEvent):
    """Recipient: erased, or retained on that norm, by itself and by everybody to whom it had passed it on."""

    type: ClassVar[str] = "staffel.consent.data_answered.v1"

    duty: DutyId
    answer: DutyAnswer
    norm: RetentionNorm | None
    passed_on: tuple[Answered, ...] = Field(default=(), max_length=CODES_MAX)
    """What those answered to whom it had passed it on: never who, that alone is social data (§ 35 SGB I)."""

    _norm_fits = model_validator(mode="after")(_norm_exactly_where_retained)


A = TypeVar("A", Answered, ConsentDataAnswered)

EVENTS: tuple[type[Event], ...] = (
    ConsentGiven,
    ConsentRefused,
    ConsentWithdrawn,
    ConsentReplaced,
    ConsentInvalidated,
    ConsentCleared,
    ConsentClearanceEnded,
    ConsentRenewalDue,
    ConsentInsightNoted,
    ConsentRestricted,
    ConsentRestrictionEnded,
    TransmissionPermitted,
    TransmissionPartly,
    TransmissionDenied,
    TransmissionReduced,
    TransmissionEnded,
    TransmissionReleased,
    TransmissionTaskStated,
    ConsentErasureDemanded,
    ConsentAnswerDue,
    ConsentAnswerOverdue,
    ConsentStorageConfirmed,
    ConsentWithdrawalNotified,
    ConsentDataAnswered,
)
