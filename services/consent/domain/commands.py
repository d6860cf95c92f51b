"""What can be asked of this service; every time and id in a command was made outside."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.alliance import StatutoryBasis
from contracts.codes import (
    AgeBand,
    ConsentForm,
    DataCategory,
    DutyAnswer,
    Giver,
    HandoverState,
    Purpose,
    RenewalReason,
    RetentionNorm,
    Side,
)
from contracts.ids import (
    AgencyId,
    AllianceId,
    CaseId,
    ConsentId,
    DutyId,
    GrantId,
    HandoverRef,
    ItemId,
    NoticeId,
    ReleaseId,
    RestrictionId,
    TransmissionId,
    WaiverId,
)
from services.consent.domain.words import Grant, InvalidReason, Item, ItemDecision, PassedOn, Stated, Wanted

# --- about a notice ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublishNotice:
    """From `valid_from` on this version is what people are told in that language."""

    language: str
    plain_language: bool
    text: str
    sha256: str
    valid_from: datetime


# --- about a person ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KnowPerson:
    """Own intake: this person has a case, and is of that age."""

    age_band: AgeBand


@dataclass(frozen=True, slots=True)
class NoteInsight:
    """The person understands what a consent is (§ 36 SGB I), or does not after all: said by whoever has met them."""

    insight: bool


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The clock: a grant begins or ends now, or an answer is due; `first_duty` is for those not told of an end yet."""

    first_duty: DutyId


# --- about a consent --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands on the form: who declares what to whom, on which notice, in which form."""

    giver: Giver
    insight: bool
    young_person_heard: bool
    form: ConsentForm
    notice: NoticeId
    grants: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was loaded and is known besides the sheet; the domain puts it to the command itself."""

    age_band: AgeBand | None = None
    notice_known: bool = False
    notice_current: bool = False
    recipients_eligible: bool = False
    grants: tuple[Grant, ...] = ()  # those of the sheet, with the period each really has
    insight_noted: bool = False


@dataclass(frozen=True, slots=True)
class RequestConsent:
    """The person was given the form and has not answered yet."""

    consent: ConsentId
    sheet: Sheet
    facts: Facts = Facts()


@dataclass(frozen=True, slots=True)
class GiveConsent:
    """The person has declared it; `replaces` an older consent in the same breath."""

    consent: ConsentId
    sheet: Sheet
    replaces: ConsentId | None = None
    facts: Facts = Facts()


@dataclass(frozen=True, slots=True)
class RefuseConsent:
    """The person says no. No reason is asked, nothing follows from it (Art. 7(4) GDPR)."""

    consent: ConsentId


@dataclass(frozen=True, slots=True)
class WithdrawConsent:
    """The person takes it back, whole. No reason is asked (Art. 7(3) GDPR).

    `first_duty` is a fresh id; duties that follow get it and the ids after it.
    """

    consent: ConsentId
    first_duty: DutyId


@dataclass(frozen=True, slots=True)
class WithdrawGrants:
    """The person takes back some grants of a consent; the others stand."""

    consent: ConsentId
    grants: frozenset[GrantId]
    first_duty: DutyId


@dataclass(frozen=True, slots=True)
class ClearGrants:
    """Somebody who entrusted data lets them go by these grants, which somebody else has given (§ 65 SGB VIII)."""

    consent: ConsentId
    grants: frozenset[GrantId]
    by: Giver
    form: ConsentForm


@dataclass(frozen=True, slots=True)
class WithdrawClearance:
    """They take that back. No reason is asked; what else was granted stands. `first_duty`: as with a withdrawal."""

    consent: ConsentId
    grants: frozenset[GrantId]
    first_duty: DutyId


@dataclass(frozen=True, slots=True)
class ReplaceConsent:
    """A new consent stands in its place; only the domain itself says this."""

    consent: ConsentId


@dataclass(frozen=True, slots=True)
class ExpireConsent:
    """All its grants are over; only the domain itself says this."""

    consent: ConsentId


@dataclass(frozen=True, slots=True)
class RemindOfRenewal:
    """A guardian gave it, and the person may declare by now; only the domain itself says this."""

    consent: ConsentId
    reason: RenewalReason


@dataclass(frozen=True, slots=True)
class InvalidateConsent:
    """The data-protection officer finds that it never was one."""

    consent: ConsentId
    reason: InvalidReason
    first_duty: DutyId


# --- about what was forbidden -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Restrict:
    """The person objects, or the guardian restricts: these categories must not go there (None: to nobody).

    The age band, and whether an alliance knows the recipient, are filled in by the domain.
    """

    restriction: RestrictionId
    by: Giver
    form: ConsentForm
    recipient: AgencyId | None
    categories: frozenset[DataCategory]
    age_band: AgeBand | None = None
    recipient_known: bool = False


@dataclass(frozen=True, slots=True)
class LiftRestriction:
    """Whoever has forbidden it forbids it no more."""

    restriction: RestrictionId
    by: Giver
    form: ConsentForm


@dataclass(frozen=True, slots=True)
class LapseRestriction:
    """The person is of age: what a guardian has restricted is over; only the domain itself says this."""

    restriction: RestrictionId


@dataclass(frozen=True, slots=True)
class ReinstateRestriction:
    """The person is not of age after all: what a guardian has restricted holds; only the domain itself says this."""

    restriction: RestrictionId


# --- about a release from confidentiality -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GiveWaiver:
    """Somebody bound to secrecy is freed to speak to somebody (§ 203 StGB); the age is filled in by the domain."""

    waiver: WaiverId
    holder: str
    toward: str
    giver: Giver
    insight: bool
    young_person_heard: bool
    form: ConsentForm
    age_band: AgeBand | None = None
    insight_noted: bool = False


@dataclass(frozen=True, slots=True)
class WithdrawWaiver:
    """It is taken back: from now on that person is bound again. No reason is asked."""

    waiver: WaiverId


# --- about a transmission ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenTransmission:
    """Own handover: somebody proposes to hand these items to that agency."""

    transmission: TransmissionId
    proposal: UUID
    handover: HandoverRef
    case: CaseId
    alliance: AllianceId
    recipient: AgencyId
    purpose: Purpose
    items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class TakeFlags:
    """Own intake has said what these items are; what is missing here is gone there."""

    handover: HandoverRef
    proposal: UUID
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class StateTask:
    """A caseworker: this task of the law makes it necessary. `rows` of the matrix name it; filled in by the domain."""

    handover: HandoverRef
    stated: Stated
    rows: tuple[StatutoryBasis, ...] = ()


@dataclass(frozen=True, slots=True)
class AllPermitted:
    """Every item may go; these four only the domain itself says, after deciding."""

    items: tuple[ItemDecision, ...]


@dataclass(frozen=True, slots=True)
class SomePermitted:
    """Some items may go, and none that could go before no longer can."""

    items: tuple[ItemDecision, ...]


@dataclass(frozen=True, slots=True)
class SomeLost:
    """Some items may go, but one that could go before no longer can."""

    items: tuple[ItemDecision, ...]


@dataclass(frozen=True, slots=True)
class NonePermitted:
    """No item may go."""

    items: tuple[ItemDecision, ...]


@dataclass(frozen=True, slots=True)
class NoteHandover:
    """Own handover: its copy has moved. `recorded` is the other side's end where two ends crossed."""

    handover: HandoverRef
    side: Side
    counterpart: AgencyId
    alliance: AllianceId
    handover_state: HandoverState
    recorded: HandoverState | None
    first_duty: DutyId  # a fresh id; duties that follow get it and the ids after it


@dataclass(frozen=True, slots=True)
class CloseTransmission:
    """Its handover has ended; only the domain itself says this."""

    moved: NoteHandover


@dataclass(frozen=True, slots=True)
class KeepOpen:
    """Its handover has moved and goes on; only the domain itself says this."""

    moved: NoteHandover


@dataclass(frozen=True, slots=True)
class NoteStored:
    """Recipient: these items of that release are stored there."""

    by: AgencyId
    handover: HandoverRef
    release: ReleaseId
    items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class TellRelease:
    """The door: this release is closed (or its process died)."""

    release: ReleaseId


# --- about what was received ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConfirmStorage:
    """Own intake: the dossier of this release is stored here."""

    handover: HandoverRef
    release: ReleaseId
    items: tuple[ItemId, ...]


# --- about a duty -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DemandAnswer:
    """A withdrawal: the recipient of these releases must answer; only the domain itself says this."""

    duty: DutyId
    consent: ConsentId | None  # none of ours where the data had come from another agency
    handover: HandoverRef
    counterpart: AgencyId
    alliance: AllianceId
    releases: tuple[ReleaseId, ...]
    items: tuple[ItemId, ...]  # none: all of these releases
    answer_by: datetime


@dataclass(frozen=True, slots=True)
class HearAnswer:
    """The other agency: erased, or retained on that norm; and what those answered to whom it had passed items on."""

    by: AgencyId
    duty: DutyId
    answer: DutyAnswer
    norm: RetentionNorm | None
    passed_on: tuple[PassedOn, ...] = ()


@dataclass(frozen=True, slots=True)
class OweAnswer:
    """The other agency: the basis of these releases has ended, an answer is owed.

    `items`: of these alone, by the ids they have there; none named: of all. `first_duty` as in a withdrawal: those to
    whom the items were passed on are told in turn.
    """

    duty: DutyId
    handover: HandoverRef
    counterpart: AgencyId
    alliance: AllianceId
    releases: tuple[ReleaseId, ...]
    items: tuple[ItemId, ...]
    answer_by: datetime
    first_duty: DutyId


@dataclass(frozen=True, slots=True)
class OweNothing:
    """The same, but nothing of it is held here any more; only the domain itself says this."""

    owed: OweAnswer


@dataclass(frozen=True, slots=True)
class AnswerRetained:
    """The data stay here, on this norm."""

    duty: DutyId
    norm: RetentionNorm


@dataclass(frozen=True, slots=True)
class AnswerErased:
    """The data go: own intake is told to erase exactly what came by those releases."""

    duty: DutyId
    items: tuple[ItemId, ...] = ()


@dataclass(frozen=True, slots=True)
class HearErased:
    """Own intake: what this duty is about is gone."""

    duty: DutyId


@dataclass(frozen=True, slots=True)
class AllAnswered:
    """Nobody to whom the data were passed on owes an answer any more; only the domain itself says this."""

    duty: DutyId
    passed_on: tuple[PassedOn, ...]


@dataclass(frozen=True, slots=True)
class RemindOfAnswer:
    """The clock: the answer we owe is due in three days; only the domain itself says this."""

    duty: DutyId


@dataclass(frozen=True, slots=True)
class MissAnswer:
    """The clock: the answer is late; only the domain itself says this."""

    duty: DutyId


@dataclass(frozen=True, slots=True)
class NothingLeft:
    """The handover ended in a way that leaves nothing at the receiver; only the domain itself says this."""

    duty: DutyId
