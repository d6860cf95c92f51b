"""What people look at: notices, consents, what is decided, who was told what, which answers are owed."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.http import Call, Routes, people
from chassis.transitions import Refused
from contracts.codes import (
    Completeness,
    ConsentForm,
    DataCategory,
    DecisionReason,
    DutyAnswer,
    EntrustedException,
    Giver,
    HandoverState,
    LegalBasis,
    Purpose,
    RetentionNorm,
    Role,
    Side,
    Verdict,
)
from services.consent.domain import Reason
from services.consent.domain.consents import to_be_renewed
from services.consent.domain.duties import OPEN
from services.consent.domain.words import (
    Consent,
    Duty,
    DutyState,
    Grant,
    Notice,
    Person,
    Restriction,
    Transmission,
    Waiver,
)
from services.consent.store import views

STAFF = people(Role.CASEWORKER, Role.TEAM_LEAD, Role.DATA_PROTECTION_OFFICER)
STAFF_AND_COORDINATION = STAFF | people(Role.COORDINATION)

routes = Routes()


# --- notices ----------------------------------------------------------------------------------------------------------


class NoticeView(BaseModel):
    """A notice version."""

    id: UUID
    version: int
    state: str
    language: str
    plain_language: bool
    text: str
    sha256: str
    valid_from: datetime | None


class NoticeList(BaseModel):
    """Notice versions, newest first."""

    notices: list[NoticeView]


def _notice(notice: Notice) -> NoticeView:
    return NoticeView.model_validate(notice, from_attributes=True)


@routes.view("/notices", allow=STAFF)
async def notices(call: Call, tx: AsyncConnection, language: str | None = None) -> NoticeList:
    """The notices people are told, all languages or one."""
    return NoticeList(notices=[_notice(notice) for notice in await views.notices(tx, language)])


@routes.view("/notices/{notice}", allow=STAFF)
async def notice(call: Call, tx: AsyncConnection, notice: UUID) -> NoticeView | Refused:
    """One notice version."""
    found = await views.notice_named(tx, notice)
    return Refused(Reason.UNKNOWN_NOTICE, unknown=notice) if found is None else _notice(found)


# --- consents ---------------------------------------------------------------------------------------------------------


class ClearanceView(BaseModel):
    """Whoever has entrusted data lets them go by this grant, until that is taken back."""

    by: Giver
    form: ConsentForm
    at: datetime
    ended_at: datetime | None


class GrantView(BaseModel):
    """One purpose at one recipient."""

    id: UUID
    alliance: str
    recipient: str
    purpose: Purpose
    categories: list[DataCategory]
    entrusted_included: bool
    valid_from: datetime
    valid_until: datetime
    withdrawn_at: datetime | None
    cleared: ClearanceView | None


class ConsentView(BaseModel):
    """One consent as it is on record. `to_be_renewed`: a guardian gave it, and the person may declare by now."""

    id: UUID
    version: int
    state: str
    giver: Giver
    insight: bool
    young_person_heard: bool
    form: ConsentForm | None
    notice: UUID | None
    given_at: datetime | None
    ended_at: datetime | None
    to_be_renewed: bool
    grants: list[GrantView]


class ConsentList(BaseModel):
    """A person's consents, in the order they were written down."""

    consents: list[ConsentView]


class OneConsent(ConsentView):
    """One consent and whose it is."""

    person: UUID


def _grant(grant: Grant) -> GrantView:
    return GrantView(
        id=grant.id, alliance=grant.alliance, recipient=grant.recipient, purpose=grant.purpose,
        categories=sorted(grant.categories), entrusted_included=grant.entrusted_included, valid_from=grant.valid_from,
        valid_until=grant.valid_until, withdrawn_at=grant.withdrawn_at,
        cleared=grant.cleared and ClearanceView.model_validate(grant.cleared, from_attributes=True),
    )


def _consent(consent: Consent, of: Person) -> ConsentView:
    return ConsentView(
        id=consent.id, version=consent.version, state=consent.state, giver=consent.giver, insight=consent.insight,
        young_person_heard=consent.young_person_heard, form=consent.form, notice=consent.notice,
        given_at=consent.given_at, ended_at=consent.ended_at, grants=[_grant(grant) for grant in consent.grants],
        to_be_renewed=to_be_renewed(consent, of.age_band, insight_noted=of.insight_noted),
    )


@routes.view("/persons/{person}/consents", allow=STAFF)
async def consents(call: Call, tx: AsyncConnection, person: UUID) -> ConsentList | Refused:
    """All consents of a person, also those that have ended."""
    of = await views.person_named(tx, person)
    if of is None:
        return Refused(Reason.UNKNOWN_PERSON, unknown=person)
    return ConsentList(consents=[_consent(consent, of) for consent in await views.consents_of(tx, person)])


@routes.view("/consents/{consent}", allow=STAFF)
async def consent(call: Call, tx: AsyncConnection, consent: UUID) -> OneConsent | Refused:
    """One consent."""
    found = await views.consent_named(tx, consent)
    of = None if found is None else await views.person_named(tx, found[0])
    if found is None or of is None:
        return Refused(Reason.UNKNOWN_CONSENT, unknown=consent)
    return OneConsent(person=of.id, **dict(_consent(found[1], of)))


# --- what else was declared -------------------------------------------------------------------------------------------


class RestrictionView(BaseModel):
    """What must not go, by whose word; no recipient: to nobody."""

    id: UUID
    version: int
    state: str
    by: Giver
    recipient: str | None
    categories: list[DataCategory]
    form: ConsentForm | None
    since: datetime | None
    ended_at: datetime | None


class RestrictionList(BaseModel):
    """What was ever forbidden for a person, oldest first."""

    restrictions: list[RestrictionView]


class WaiverView(BaseModel):
    """Who was freed to speak to whom (§ 203 StGB). No item goes because of it."""

    id: UUID
    version: int
    state: str
    holder: str
    toward: str
    giver: Giver
    form: ConsentForm | None
    given_at: datetime | None
    ended_at: datetime | None


class WaiverList(BaseModel):
    """Releases from confidentiality, oldest first."""

    waivers: list[WaiverView]


def _restriction(of: Restriction) -> RestrictionView:
    return RestrictionView(
        id=of.id, version=of.version, state=of.state, by=of.by, recipient=of.recipient,
        categories=sorted(of.categories), form=of.form, since=of.since, ended_at=of.ended_at,
    )


def _waiver(of: Waiver) -> WaiverView:
    return WaiverView.model_validate(of, from_attributes=True)


@routes.view("/persons/{person}/restrictions", allow=STAFF)
async def restrictions(call: Call, tx: AsyncConnection, person: UUID) -> RestrictionList | Refused:
    """What the person objects to and what a guardian restricts, also what is over."""
    if not await views.person_known(tx, person):
        return Refused(Reason.UNKNOWN_PERSON, unknown=person)
    return RestrictionList(restrictions=[_restriction(each) for each in await views.restrictions_of(tx, person)])


@routes.view("/persons/{person}/waivers", allow=STAFF)
async def waivers(call: Call, tx: AsyncConnection, person: UUID) -> WaiverList | Refused:
    """Who was released from confidentiality about this person, also what was taken back."""
    if not await views.person_known(tx, person):
        return Refused(Reason.UNKNOWN_PERSON, unknown=person)
    return WaiverList(waivers=[_waiver(each) for each in await views.waivers_of(tx, person)])


# --- transmissions ----------------------------------------------------------------------------------------------------


class BasisView(BaseModel):
    """On what an item may go, and until when. `exception`: the number, where the norm is § 65(1) SGB VIII."""

    norm: LegalBasis
    consent: UUID | None
    grant: UUID | None
    task: str | None
    until: datetime | None
    exception: EntrustedException | None


class ItemView(BaseModel):
    """What was last decided about one item."""

    id: UUID
    category: DataCategory | None
    verdict: Verdict | None
    reason: DecisionReason | None
    bases: list[BasisView]
    stored: bool


class TaskView(BaseModel):
    """A task of the law that was stated for it: why it is necessary, and who has said so."""

    norm: str
    categories: list[DataCategory]
    necessity: str
    not_endangering: bool
    by: str
    at: datetime


class TransmissionView(BaseModel):
    """What is to go under a handover, and what was stated for it, the latest last."""

    id: UUID
    version: int
    state: str
    handover: UUID
    alliance: str
    recipient: str
    purpose: Purpose
    handover_state: HandoverState | None
    items: list[ItemView]
    tasks: list[TaskView]


def _transmission(of: Transmission) -> TransmissionView:
    categories = {item.id: item.category for item in of.items}
    verdicts = {verdict.id: verdict for verdict in of.verdicts}
    items = [
        ItemView(
            id=item,
            category=categories.get(item),
            verdict=verdicts[item].verdict if item in verdicts else None,
            reason=verdicts[item].reason if item in verdicts else None,
            bases=[
                BasisView.model_validate(basis, from_attributes=True)
                for basis in (verdicts[item].bases if item in verdicts else ())
            ],
            stored=item in of.stored,
        )
        for item in of.asked
    ]
    return TransmissionView(
        id=of.id, version=of.version, state=of.state, handover=of.handover, alliance=of.alliance,
        recipient=of.recipient, purpose=of.purpose, handover_state=of.handover_state, items=items,
        tasks=[
            TaskView(
                norm=each.norm, categories=sorted(each.categories), necessity=each.necessity,
                not_endangering=each.not_endangering, by=each.by, at=each.at,
            )
            for each in of.stated
            if each.at is not None
        ],
    )


@routes.view("/handovers/{handover}/transmission", allow=STAFF)
async def transmission(call: Call, tx: AsyncConnection, handover: UUID) -> TransmissionView | Refused:
    """Per item: may it go, why or why not. The door decides again at each release."""
    found = await views.transmission_of_handover(tx, handover)
    return Refused(Reason.UNKNOWN_HANDOVER, unknown=handover) if found is None else _transmission(found)


# --- the ledger -------------------------------------------------------------------------------------------------------


class ReleasedItem(BaseModel):
    """One item that left."""

    id: UUID
    category: DataCategory | None
    hash: str | None
    norms: list[LegalBasis]
    received_by: UUID | None


class ReleaseView(BaseModel):
    """One time something left: to whom, for what, what."""

    id: UUID
    handover: UUID
    alliance: str
    alliance_version: int
    recipient: str
    purpose: Purpose
    opened_at: datetime
    closed_at: datetime | None
    completeness: Completeness
    items: list[ReleasedItem]


class ReleaseList(BaseModel):
    """Who was told what about a person, newest first (Art. 15 GDPR)."""

    releases: list[ReleaseView]


@routes.view("/persons/{person}/releases", allow=STAFF)
async def releases(call: Call, tx: AsyncConnection, person: UUID) -> ReleaseList | Refused:
    """The ledger of a person: ids, categories, recipients, times; never what an item says."""
    if not await views.person_known(tx, person):
        return Refused(Reason.UNKNOWN_PERSON, unknown=person)
    found: dict[UUID, ReleaseView] = {}
    for row in await views.releases_of(tx, person):
        view = found.setdefault(row.id, ReleaseView(
            id=row.id, handover=row.handover, alliance=row.alliance, alliance_version=row.alliance_version,
            recipient=row.recipient, purpose=row.purpose, opened_at=row.opened_at, closed_at=row.closed_at,
            completeness=row.completeness, items=[],
        ))
        view.items.append(ReleasedItem(
            id=row.item, category=row.category, hash=row.hash, norms=[basis["norm"] for basis in row.bases],
            received_by=row.received_by,
        ))
    return ReleaseList(releases=list(found.values()))


# --- duties -----------------------------------------------------------------------------------------------------------


class PassedOnView(BaseModel):
    """What somebody answered to whom the recipient had passed the data on; who that is, is not told."""

    answer: DutyAnswer
    norm: RetentionNorm | None


class DutyView(BaseModel):
    """An answer that is owed after a withdrawal: by us (receiver) or to us (sender).

    `items`: of these releases only these, by the sender's ids; none named: all of them.
    """

    id: UUID
    version: int
    state: str
    side: Side
    handover: UUID | None
    counterpart: str
    releases: list[UUID]
    items: list[UUID]
    answer_by: datetime | None
    overdue: bool
    answer: DutyAnswer | None
    norm: RetentionNorm | None
    passed_on: list[PassedOnView]
    answered_at: datetime | None


class DutyList(BaseModel):
    """Duties, the most urgent first."""

    duties: list[DutyView]


def _duty(duty: Duty, now: datetime) -> DutyView:
    late = duty.state in OPEN and duty.answer_by is not None and duty.answer_by < now
    return DutyView(
        id=duty.id, version=duty.version, state=duty.state, side=duty.side, handover=duty.handover,
        counterpart=duty.counterpart, releases=list(duty.releases), items=list(duty.items), answer_by=duty.answer_by,
        overdue=late, answer=duty.answer, norm=duty.norm, answered_at=duty.answered_at,
        passed_on=[PassedOnView(answer=each.answer, norm=each.norm) for each in duty.passed_on],
    )


@routes.view("/duties", allow=STAFF_AND_COORDINATION)
async def duties(
    call: Call, tx: AsyncConnection, state: tuple[DutyState, ...] = (), overdue: bool = False  # noqa: FBT001, FBT002  # a query parameter
) -> DutyList:
    """Answers owed and awaited; `overdue=true` shows only those that are late."""
    found = await views.duties(tx, [str(each) for each in state], overdue=overdue)
    return DutyList(duties=[_duty(duty, call.now) for duty in found])


# --- timeline ---------------------------------------------------------------------------------------------------------


class Moment(BaseModel):
    """One thing that happened."""

    at: datetime
    what: str
    id: UUID
    said: str


class Timeline(BaseModel):
    """What happened here about a handover, oldest first."""

    handover: UUID
    moments: list[Moment]


@routes.view("/handovers/{handover}/timeline", allow=STAFF_AND_COORDINATION)
async def timeline(call: Call, tx: AsyncConnection, handover: UUID) -> Timeline:
    """Decisions, releases and answers about a handover: ids, codes and times."""
    found = await views.timeline(tx, handover)
    return Timeline(
        handover=handover, moments=[Moment(at=at, what=what, id=of, said=said) for at, what, of, said in found]
    )
