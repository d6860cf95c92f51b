"""The things a decision about a young person's data is made of; all of them frozen, none of them knows a rule."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from contracts.codes import (
    AgeBand,
    Completeness,
    ConsentForm,
    ConsentState,
    DataCategory,
    DecisionReason,
    DutyAnswer,
    EntrustedException,
    Giver,
    HandoverState,
    LegalBasis,
    Purpose,
    RenewalReason,
    RetentionNorm,
    Side,
    Verdict,
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
    PersonId,
    ReleaseId,
    RestrictionId,
    TransmissionId,
    WaiverId,
)

NO_AGENCY = AgencyId("")  # of a part nobody has heard of yet
NO_ALLIANCE = AllianceId("")


class Before(StrEnum):
    """The state of what nobody has heard of yet."""

    NONE = "none"


class PersonState(StrEnum):
    """A person is heard of, then known by its case (which tells the age band)."""

    NONE = "none"
    HEARD_OF = "heard_of"
    KNOWN = "known"


class TransmissionState(StrEnum):
    """What was last told about the items of one handover."""

    UNDECIDED = "undecided"
    PERMITTED = "permitted"
    PARTLY = "partly"
    DENIED = "denied"
    REDUCED = "reduced"
    ENDED = "ended"
    CLOSED = "closed"


class ReceptionState(StrEnum):
    """Whether the receiver's copy of a handover is known here, so that its sender can be answered."""

    UNHEARD = "unheard"
    HEARD = "heard"


class DutyState(StrEnum):
    """A duty after a withdrawal: the sender awaits the answer, the receiver owes it."""

    AWAITS = "awaits"
    OWES = "owes"
    ERASING = "erasing"
    WAITS = "waits"  # our own part is done; those to whom we passed the data on have not all answered yet
    ANSWERED = "answered"
    LAPSED = "lapsed"


class ReleaseState(StrEnum):
    """Open while bytes may leave; closed; told once `transmission.released` was said."""

    OPEN = "open"
    CLOSED = "closed"
    TOLD = "told"


class RestrictionState(StrEnum):
    """What was forbidden is in force, until whoever forbade it lifts it or a guardian's word counts no more.

    What has lapsed is in force again where the person turns out not to be of age.
    """

    IN_FORCE = "in_force"
    LIFTED = "lifted"
    LAPSED = "lapsed"


class WaiverState(StrEnum):
    """A release from confidentiality is given until it is taken back."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"


class NoticeState(StrEnum):
    """A notice version is published once and never changed."""

    NONE = "none"
    PUBLISHED = "published"


class InvalidReason(StrEnum):
    """Why a consent never was one."""

    WRONG_GIVER = "wrong_giver"
    WRONG_FORM = "wrong_form"
    WRONG_NOTICE = "wrong_notice"
    NOT_VOLUNTARY = "not_voluntary"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person was told before consenting: one version, in one language, for ever the same."""

    id: NoticeId
    version: int = 0
    state: NoticeState = NoticeState.NONE
    language: str = ""
    plain_language: bool = False
    text: str = ""
    sha256: str = ""
    valid_from: datetime | None = None
    superseded: bool = False  # a later one in the same language (plain or not) is valid already


@dataclass(frozen=True, slots=True)
class Clearance:
    """Somebody who entrusted data lets them go by this grant, beside the one who consents (§ 65(1) Nr. 1 SGB VIII)."""

    by: Giver
    form: ConsentForm
    at: datetime
    ended_at: datetime | None = None  # taken back


@dataclass(frozen=True, slots=True)
class Grant:
    """One purpose at one recipient for some categories, from an instant until before another one."""

    id: GrantId
    alliance: AllianceId
    recipient: AgencyId
    purpose: Purpose
    categories: frozenset[DataCategory]
    entrusted_included: bool
    valid_from: datetime
    valid_until: datetime
    withdrawn_at: datetime | None = None  # withdrawn alone, while the rest of the consent stands
    cleared: Clearance | None = None

    @property
    def let_go(self) -> bool:
        """Whether whoever entrusted it, beside its giver, lets it go."""
        return self.cleared is not None and self.cleared.ended_at is None

    def left(self, at: datetime) -> bool:
        """Whether it stands then, or begins yet."""
        return self.withdrawn_at is None and at < self.valid_until

    def stands(self, at: datetime) -> bool:
        """Whether it may be used at that instant; `valid_until` itself is too late."""
        return self.withdrawn_at is None and self.valid_from <= at < self.valid_until


@dataclass(frozen=True, slots=True)
class Wanted:
    """A grant as the form has it: without a beginning it begins when given, without an end it lasts twelve months."""

    id: GrantId
    alliance: AllianceId
    recipient: AgencyId
    purpose: Purpose
    categories: frozenset[DataCategory]
    entrusted_included: bool = False
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """A record that is never written over: whoever wants another one gives another one."""

    id: ConsentId
    version: int = 0
    state: ConsentState | Before = Before.NONE
    giver: Giver = Giver.SELF
    insight: bool = True  # § 36 SGB I: understands what is consented to
    young_person_heard: bool = False
    form: ConsentForm | None = None
    notice: NoticeId | None = None
    grants: tuple[Grant, ...] = ()
    given_at: datetime | None = None
    ended_at: datetime | None = None
    invalid_because: InvalidReason | None = None
    requested_at: datetime | None = None  # when the form was handed out; none where it was declared at once
    renewals_said: frozenset[RenewalReason] = frozenset()  # for which reasons it was said to be due for renewal

    def standing(self, at: datetime) -> tuple[Grant, ...]:
        """The grants that may be used at that instant."""
        return tuple(g for g in self.grants if g.stands(at)) if self.state is ConsentState.GIVEN else ()

    def has(self, grants: frozenset[GrantId]) -> bool:
        """Whether all of these grants are of this consent."""
        return grants <= {grant.id for grant in self.grants}


@dataclass(frozen=True, slots=True)
class Item:
    """What own intake says about one datum: no content, but what the law asks of it."""

    id: ItemId
    category: DataCategory
    entrusted: bool = False  # § 65 SGB VIII
    special: bool = False  # Art. 9 GDPR
    professional_secret: bool = False  # § 76 SGB X, § 203 StGB
    entruster: Giver | None = None  # who alone may release what was entrusted; None: somebody not known here
    hash: str = ""
    received_by: ReleaseId | None = None  # the release by which it came from another agency
    source_item: ItemId | None = None  # its id there


@dataclass(frozen=True, slots=True)
class Basis:
    """One norm on which an item may go, with what it rests on, and until when.

    `exception`: the number, where the norm is § 65(1) SGB VIII.
    """

    norm: LegalBasis
    consent: ConsentId | None = None
    grant: GrantId | None = None
    task: str | None = None
    until: datetime | None = None
    exception: EntrustedException | None = None


@dataclass(frozen=True, slots=True)
class ItemDecision:
    """Permit or deny for one item, with the reason, and for a permit every basis it rests on."""

    id: ItemId
    verdict: Verdict
    reason: DecisionReason
    bases: tuple[Basis, ...] = ()

    @property
    def permitted(self) -> bool:
        """Whether the item may go."""
        return self.verdict is Verdict.PERMIT

    @property
    def until(self) -> datetime | None:
        """The instant its last basis ends; None where one has no end."""
        ends = [basis.until for basis in self.bases]
        return None if None in ends else max((end for end in ends if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a transmission at one instant; written once, never changed."""

    transmission: TransmissionId
    at: datetime
    alliance: AllianceId
    alliance_version: int
    items: tuple[ItemDecision, ...]


@dataclass(frozen=True, slots=True)
class Stated:
    """A statutory task and why it makes this transmission necessary, stated by a caseworker for one handover.

    § 69(1) Nr. 1 SGB X. Necessary is what it names, and nothing else that the norm may cover some day. The words stay
    here: they are for whoever has to answer for it, and go to nobody.
    """

    norm: str
    categories: frozenset[DataCategory]
    not_endangering: bool = False  # § 64(2) SGB VIII: the success of a help is not endangered
    id: UUID | None = None
    necessity: str = ""
    by: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Restriction:
    """A guardian's restriction or the person's objection: these categories must not go there; None is everybody."""

    id: RestrictionId
    person: PersonId
    version: int = 0
    state: RestrictionState | Before = Before.NONE
    by: Giver = Giver.SELF
    recipient: AgencyId | None = None
    categories: frozenset[DataCategory] = frozenset()
    form: ConsentForm | None = None
    since: datetime | None = None
    ended_at: datetime | None = None

    @property
    def in_force(self) -> bool:
        """Whether it still shuts anything."""
        return self.state is RestrictionState.IN_FORCE


@dataclass(frozen=True, slots=True)
class Waiver:
    """A release from confidentiality (§ 203 StGB): it frees one person to speak, and lets nothing through the door.

    Who is freed, and to whom that person may speak, is in words: they stay here.
    """

    id: WaiverId
    version: int = 0
    state: WaiverState | Before = Before.NONE
    holder: str = ""
    toward: str = ""
    giver: Giver = Giver.SELF
    form: ConsentForm | None = None
    given_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transmission:
    """What is to go to one recipient under one handover; sender's side."""

    id: TransmissionId
    handover: HandoverRef
    version: int = 0
    state: TransmissionState | Before = Before.NONE
    case: CaseId | None = None
    alliance: AllianceId = NO_ALLIANCE
    recipient: AgencyId = NO_AGENCY
    purpose: Purpose = Purpose.FOLLOW_UP
    proposal: UUID | None = None  # the event that named the items; flags read for an older one are dropped
    asked: tuple[ItemId, ...] = ()
    items: tuple[Item, ...] = ()
    verdicts: tuple[ItemDecision, ...] = ()
    stated: tuple[Stated, ...] = ()
    handover_state: HandoverState | None = None  # as last heard; the door asks for itself
    recorded: HandoverState | None = None  # the other side's end where two ends crossed
    stored: frozenset[ItemId] = frozenset()  # the receiver has confirmed it: not to be fetched again

    @property
    def decided(self) -> bool:
        """Whether it is open and its items are known: a grant's begin or end changes it."""
        return self.state in DECIDED and bool(self.items)


DECIDED = frozenset(
    {TransmissionState.PERMITTED, TransmissionState.PARTLY, TransmissionState.DENIED, TransmissionState.REDUCED}
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Items of one release that are stored at this agency."""

    release: ReleaseId
    items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class Reception:
    """What this agency has received under one handover; receiver's side, id = handover reference."""

    id: HandoverRef
    version: int = 0
    state: ReceptionState = ReceptionState.UNHEARD
    sender: AgencyId = NO_AGENCY
    alliance: AllianceId = NO_ALLIANCE
    handover_state: HandoverState | None = None
    recorded: HandoverState | None = None
    stored: tuple[Stored, ...] = ()


class DutySaid(StrEnum):
    """What was said at home of an answer that is still open: that it is due soon, that it is overdue."""

    NOTHING = "nothing"
    DUE = "due"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class PassedOn:
    """What somebody answered to whom the recipient had passed the data on: never who (that alone is social data)."""

    answer: DutyAnswer
    norm: RetentionNorm | None


@dataclass(frozen=True, slots=True)
class Duty:
    """After a withdrawal: the recipient answers erased, or retained on a norm. Both sides keep it under one id.

    `items` are those of the releases that have lost their basis, by the sender's ids; none named: all of them.
    """

    id: DutyId
    version: int = 0
    state: DutyState | Before = Before.NONE
    side: Side = Side.SENDER
    handover: HandoverRef | None = None
    counterpart: AgencyId = NO_AGENCY
    alliance: AllianceId = NO_ALLIANCE
    consent: ConsentId | None = None  # which one ended; known only where it was given
    releases: tuple[ReleaseId, ...] = ()
    items: tuple[ItemId, ...] = ()
    answer_by: datetime | None = None
    answer: DutyAnswer | None = None
    norm: RetentionNorm | None = None
    passed_on: tuple[PassedOn, ...] = ()
    answered_at: datetime | None = None
    said: DutySaid = DutySaid.NOTHING

    def names(self, release: ReleaseId | None, item: ItemId | None) -> bool:
        """Whether that item of that release (both as the sender has them) is one this duty is about.

        Of an item whose id there is not known (None) nobody can say that it is not: it is.
        """
        return release in self.releases and (not self.items or item is None or item in self.items)


@dataclass(frozen=True, slots=True)
class Release:
    """One time something left through the door."""

    id: ReleaseId
    handover: HandoverRef
    version: int = 0
    state: ReleaseState = ReleaseState.OPEN
    completeness: Completeness = Completeness.UNKNOWN
    items: int = 0


@dataclass(frozen=True, slots=True)
class Disclosed:
    """A line of the ledger: this item went there by that release, on these bases."""

    release: ReleaseId
    handover: HandoverRef
    alliance: AllianceId
    recipient: AgencyId
    purpose: Purpose
    item: ItemId
    bases: tuple[Basis, ...]
    received_by: ReleaseId | None = None  # by which it had come here
    source_item: ItemId | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A release that this database knows from its own fact alone: what left at the most, on bases nobody knows."""

    release: ReleaseId
    of: Transmission
    completeness: Completeness
    count: int
    at: datetime
    items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """A young person, and everything that decides where data about them may go. Changed under one lock.

    `notices`, `releases`, `ledger`, `waivers` are loaded only where a command asks about them; `decisions` and
    `found_again` are new ones, not yet written; `spoken_of` is the part the last command was about: its answer speaks
    of that part. `insight_noted`: understands what a consent is (§ 36 SGB I), as somebody has noted.
    """

    id: PersonId
    version: int = 0
    state: PersonState = PersonState.NONE
    age_band: AgeBand | None = None
    insight_noted: bool = False
    consents: tuple[Consent, ...] = ()
    transmissions: tuple[Transmission, ...] = ()
    receptions: tuple[Reception, ...] = ()
    duties: tuple[Duty, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    notices: tuple[Notice, ...] = ()
    releases: tuple[Release, ...] = ()
    ledger: tuple[Disclosed, ...] = ()
    decisions: tuple[Decision, ...] = ()
    found_again: tuple[Found, ...] = ()
    spoken_of: "Consent | Transmission | Reception | Duty | Release | Restriction | Waiver | None" = field(
        default=None, compare=False
    )


Part = TypeVar("Part", bound=Consent | Transmission | Reception | Duty | Release | Restriction | Waiver)


def found(parts: tuple[Part, ...], wanted: UUID) -> Part | None:
    """The part of that id."""
    return next((part for part in parts if part.id == wanted), None)


def put(parts: tuple[Part, ...], new: Part) -> tuple[Part, ...]:
    """The parts with this one in the place of its older self, or at the end; its version counts the change."""
    older = found(parts, new.id)
    if older == new:
        return parts
    new = replace(new, version=(older.version if older else 0) + 1)
    return tuple(new if part.id == new.id else part for part in parts) if older else (*parts, new)
