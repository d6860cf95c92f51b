"""What people ask for: publish a notice; request, give, refuse, withdraw, invalidate a consent."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from chassis.executor import Answer, Step
from chassis.http import Body, Call, Instant, Routes, Text, people
from chassis.transitions import Refused
from contracts.codes import ConsentForm, DataCategory, DutyAnswer, Giver, Purpose, RetentionNorm, Role
from contracts.events import CODES_MAX
from contracts.ids import AgencyId, AllianceId, ConsentId, DutyId, GrantId, HandoverRef, NoticeId, PersonId
from services.consent.domain.commands import (
    AnswerErased,
    AnswerRetained,
    GiveConsent,
    InvalidateConsent,
    PublishNotice,
    RefuseConsent,
    RequestConsent,
    Sheet,
    StateTask,
    WithdrawConsent,
    WithdrawGrants,
)
from services.consent.domain.words import InvalidReason, Stated, Wanted
from services.consent.door import Resources, intend, settled
from services.consent.store.persons import NOTICE, PERSON

STAFF = people(Role.CASEWORKER, Role.TEAM_LEAD)
ANYBODY_WHO_IS_TOLD = people(Role.CASEWORKER, Role.TEAM_LEAD, Role.DATA_PROTECTION_OFFICER)
OFFICER = people(Role.DATA_PROTECTION_OFFICER)
DONE = 200

routes = Routes()

Norm = Annotated[Text, Field(max_length=200)]  # as a row of the matrix has it
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]  # BCP 47, as far as needed


# --- notices ----------------------------------------------------------------------------------------------------------


class NoticeBody(Body):
    """A notice version: what people are told before they consent (Art. 13 GDPR)."""

    language: Language
    plain_language: bool
    text: Text
    valid_from: Instant


@routes.command("POST", "/notices", allow=people(Role.TEAM_LEAD, Role.DATA_PROTECTION_OFFICER), status=201)
def publish(call: Call, body: NoticeBody) -> Step:
    """Publish a notice version; from `valid_from` on consents in that language are given on it."""
    sha256 = hashlib.sha256(body.text.encode()).hexdigest()
    command = PublishNotice(body.language, body.plain_language, body.text, sha256, body.valid_from)
    return Step(NOTICE, call.new_id(), command)


# --- consents ---------------------------------------------------------------------------------------------------------


class GrantBody(Body):
    """One purpose at one named recipient. Without a beginning it begins now, without an end it lasts twelve months."""

    alliance: AllianceId
    recipient: AgencyId
    purpose: Purpose
    categories: Annotated[tuple[DataCategory, ...], Field(min_length=1, max_length=CODES_MAX)]
    entrusted_included: bool = False
    valid_from: Instant | None = None
    valid_until: Instant | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.valid_from is not None and self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError("valid_until: must be later than valid_from")
        return self

    def wanted(self, call: Call) -> Wanted:
        """The same with an id."""
        return Wanted(
            GrantId(call.new_id()), self.alliance, self.recipient, self.purpose, frozenset(self.categories),
            self.entrusted_included, self.valid_from, self.valid_until,
        )


class SheetBody(Body):
    """What stands on the form. `insight`: understands what it is about (§ 36 SGB I); said, never assumed."""

    person: PersonId
    giver: Giver
    insight: bool
    young_person_heard: bool
    form: ConsentForm
    notice: NoticeId
    grants: Annotated[tuple[GrantBody, ...], Field(min_length=1, max_length=CODES_MAX)]

    def sheet(self, call: Call) -> Sheet:
        """The form as the domain has it."""
        grants = tuple(grant.wanted(call) for grant in self.grants)
        return Sheet(self.giver, self.insight, self.young_person_heard, self.form, self.notice, grants)


class GivenBody(SheetBody):
    """A signed form; `replaces` names a consent that ends by it."""

    replaces: ConsentId | None = None


class PersonBody(Body):
    """Whose consent it is: both ids must fit together."""

    person: PersonId


class WithdrawalBody(PersonBody):
    """Which grants are taken back; none named: all of them. No reason is asked."""

    grants: Annotated[tuple[GrantId, ...], Field(min_length=1, max_length=CODES_MAX)] | None = None


class InvalidBody(PersonBody):
    """Why it never was a consent."""

    reason: InvalidReason


class TaskBody(Body):
    """A statutory task that makes it necessary to transmit these categories, as rows of the matrix name it, and why.

    `not_endangering`: § 64(2) SGB VIII, said by a youth office: the success of a help is not endangered. What the
    words say stays at this agency. Said again for the same norm it counts as it is said last: for fewer categories,
    for none, or no longer as harmless.
    """

    person: PersonId
    norm: Norm
    categories: Annotated[tuple[DataCategory, ...], Field(max_length=CODES_MAX)]
    necessity: Text
    not_endangering: bool = False


@routes.command("POST", "/handovers/{handover}/tasks", allow=STAFF, status=201)
def state_task(call: Call, handover: UUID, body: TaskBody) -> Step:
    """State why a handover's items may go without consent (§ 69(1) Nr. 1 SGB X); they are decided anew at once."""
    categories = frozenset(body.categories)
    by = call.caller.principal
    stated = Stated(body.norm, categories, body.not_endangering, call.new_id(), body.necessity, by)
    return Step(PERSON, body.person, StateTask(HandoverRef(handover), stated))


@routes.command("POST", "/consents", allow=STAFF, status=201)
def give(call: Call, body: GivenBody) -> Step:
    """Record a consent that was declared: request and answer in one, with the form in hand."""
    command = GiveConsent(ConsentId(call.new_id()), body.sheet(call), body.replaces)
    return Step(PERSON, body.person, command)


@routes.command("POST", "/consents/requests", allow=STAFF, status=201)
def request(call: Call, body: SheetBody) -> Step:
    """Hand the form out; nothing is permitted by that."""
    return Step(PERSON, body.person, RequestConsent(ConsentId(call.new_id()), body.sheet(call)))


@routes.command("POST", "/consents/{consent}/declaration", allow=STAFF)
def declare(call: Call, consent: UUID, body: GivenBody) -> Step:
    """The form came back signed, as it stands now."""
    return Step(PERSON, body.person, GiveConsent(ConsentId(consent), body.sheet(call), body.replaces))


@routes.command("POST", "/consents/{consent}/refusal", allow=STAFF)
def refuse(call: Call, consent: UUID, body: PersonBody) -> Step:
    """The person says no. Nothing follows from it."""
    return Step(PERSON, body.person, RefuseConsent(ConsentId(consent)))


@routes.command("POST", "/consents/{consent}/invalidation", allow=OFFICER)
def invalidate(call: Call, consent: UUID, body: InvalidBody) -> Step:
    """It never was a consent: wrong giver, form or notice, or not voluntary."""
    return Step(PERSON, body.person, InvalidateConsent(ConsentId(consent), body.reason, DutyId(call.new_id())))


async def written_down_first(
    call: Call, resources: Resources, path: Mapping[str, Any], body: WithdrawalBody
) -> Refused | None:
    """The will is committed before the withdrawal itself is tried, which is refused for nothing but unknown ids."""
    await intend(resources, body.person, path["consent"], body.grants)
    return None


async def when_nothing_can_follow(call: Call, resources: Resources, answer: Answer) -> None:
    """The answer "withdrawn" is given when no byte can follow it; a repeated one waits anew."""
    if answer.status == DONE:
        await settled(resources, UUID(json.loads(answer.body)["id"]))


@routes.command(
    "POST", "/consents/{consent}/withdrawal", allow=ANYBODY_WHO_IS_TOLD, status=DONE,
    unconditional=True, before=written_down_first, after=when_nothing_can_follow,
)
def withdraw(call: Call, consent: UUID, body: WithdrawalBody) -> Step:
    """Take a consent back, whole or some of its grants. Refused in no state; answered within 2.2 s of its commit.

    After the answer no system of ours sends further bytes of the data. What was delivered before stays with the
    recipients, who are told at once and must answer.
    """
    first = DutyId(call.new_id())
    if body.grants is None:
        return Step(PERSON, body.person, WithdrawConsent(ConsentId(consent), first))
    return Step(PERSON, body.person, WithdrawGrants(ConsentId(consent), frozenset(body.grants), first))


# --- duties -----------------------------------------------------------------------------------------------------------


class AnswerBody(Body):
    """What becomes of the data: erased, or retained on a norm. The handover is the one by which they came."""

    handover: HandoverRef
    answer: DutyAnswer
    norm: RetentionNorm | None = None

    @model_validator(mode="after")
    def _a_norm_exactly_where_retained(self) -> Self:
        if (self.answer is DutyAnswer.RETAINED) != (self.norm is not None):
            raise ValueError("norm: retained needs one, erased must not have one")
        return self


@routes.command("POST", "/duties/{duty}/answer", allow=ANYBODY_WHO_IS_TOLD)
def answer_on_data(call: Call, duty: UUID, body: AnswerBody) -> Step:
    """Answer after a withdrawal. Erased: own intake erases exactly what came by those releases, and then it is told.

    The other agency is told when everybody has answered to whom something of it was passed on.
    """
    about = DutyId(duty)
    command = AnswerErased(about) if body.norm is None else AnswerRetained(about, body.norm)
    return Step(PERSON, body.handover, command)
