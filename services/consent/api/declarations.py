"""What people declare beside a consent: what must not go, who may speak, what was entrusted and may go; insight."""

import json
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic import Field

from chassis.executor import Answer, Step
from chassis.http import Body, Call, Routes, Text
from chassis.transitions import Refused
from contracts.codes import ConsentForm, DataCategory, Giver
from contracts.events import CODES_MAX
from contracts.ids import AgencyId, ConsentId, DutyId, GrantId, RestrictionId, WaiverId
from services.consent.api.commands import (
    ANYBODY_WHO_IS_TOLD,
    DONE,
    STAFF,
    PersonBody,
    when_nothing_can_follow,
)
from services.consent.domain.commands import (
    ClearGrants,
    GiveWaiver,
    LiftRestriction,
    NoteInsight,
    Restrict,
    WithdrawClearance,
    WithdrawWaiver,
)
from services.consent.door import Resources, intend_clearance_end, intend_restriction, no_longer_intended, settled
from services.consent.store.leases import leases_open_despite
from services.consent.store.persons import PERSON

CREATED = 201

routes = Routes()

Function = Annotated[Text, Field(max_length=200)]  # whoever is meant, by name or function


# --- insight ----------------------------------------------------------------------------------------------------------


class InsightBody(Body):
    """Whether the person understands what a consent is and what follows from it."""

    insight: bool


@routes.command("POST", "/persons/{person}/insight", allow=STAFF)
def note_insight(call: Call, person: UUID, body: InsightBody) -> Step:
    """Note insight (§ 36 SGB I): from 15 on the person then declares alone, and a guardian's consents are due."""
    return Step(PERSON, person, NoteInsight(body.insight))


# --- what must not go -------------------------------------------------------------------------------------------------


class RestrictionBody(Body):
    """Who forbids that these categories go there; no recipient named: to nobody. A guardian does so in writing."""

    by: Giver
    form: ConsentForm
    recipient: AgencyId | None = None
    categories: Annotated[tuple[DataCategory, ...], Field(min_length=1, max_length=CODES_MAX)]


class LiftingBody(Body):
    """Whoever has forbidden it, and how it was said that it is forbidden no more."""

    by: Giver
    form: ConsentForm


def _intent(call: Call) -> UUID:
    """The same before and after the command: whose it is, and when it came."""
    return uuid5(NAMESPACE_OID, f"{call.caller.principal} {call.now.isoformat()}")


async def out_of_its_way(
    call: Call, resources: Resources, path: Mapping[str, Any], body: RestrictionBody
) -> Refused | None:
    """As with a withdrawal: it is written down first, so that readers who overlap cannot keep it waiting."""
    await intend_restriction(resources, _intent(call), path["person"], body.recipient)
    return None


async def when_nothing_goes_despite_it(call: Call, resources: Resources, answer: Answer) -> None:
    """As with a withdrawal: the answer is given when no byte of a release that was open before can follow it."""
    await no_longer_intended(resources, _intent(call))
    if answer.status == CREATED:
        await settled(resources, UUID(json.loads(answer.body)["id"]), leases_open_despite)


@routes.command(
    "POST", "/persons/{person}/restrictions", allow=ANYBODY_WHO_IS_TOLD, status=CREATED,
    before=out_of_its_way, after=when_nothing_goes_despite_it,
)
def restrict(call: Call, person: UUID, body: RestrictionBody) -> Step:
    """Record an objection (Art. 21 GDPR, § 31a SGB III) or a guardian's restriction (§ 36(2) SGB I).

    What went there by law goes no more, nor what whoever forbids it has consented to before. What a guardian restricts
    lapses when the person is 18, and holds again where a wrong birth date is corrected.
    """
    command = Restrict(RestrictionId(call.new_id()), body.by, body.form, body.recipient, frozenset(body.categories))
    return Step(PERSON, person, command)


@routes.command("POST", "/persons/{person}/restrictions/{restriction}/lifting", allow=STAFF)
def lift(call: Call, person: UUID, restriction: UUID, body: LiftingBody) -> Step:
    """It is forbidden no more: whoever has forbidden it says so."""
    return Step(PERSON, person, LiftRestriction(RestrictionId(restriction), body.by, body.form))


# --- who may speak ----------------------------------------------------------------------------------------------------


class WaiverBody(Body):
    """Who is freed from confidentiality, to whom they may speak, and who frees them. `insight`: said, never assumed."""

    holder: Function
    toward: Function
    giver: Giver
    insight: bool
    young_person_heard: bool
    form: ConsentForm


@routes.command("POST", "/persons/{person}/waivers", allow=STAFF, status=CREATED)
def give_waiver(call: Call, person: UUID, body: WaiverBody) -> Step:
    """Record a release from confidentiality (§ 203 StGB). It frees a person, and lets nothing go through the door."""
    command = GiveWaiver(
        WaiverId(call.new_id()), body.holder, body.toward, body.giver, body.insight, body.young_person_heard, body.form
    )
    return Step(PERSON, person, command)


@routes.command(
    "POST", "/persons/{person}/waivers/{waiver}/withdrawal", allow=ANYBODY_WHO_IS_TOLD, unconditional=True
)
def withdraw_waiver(call: Call, person: UUID, waiver: UUID) -> Step:
    """Take a release from confidentiality back. Refused in no state, no reason is asked."""
    return Step(PERSON, person, WithdrawWaiver(WaiverId(waiver)))


# --- what was entrusted and may go ------------------------------------------------------------------------------------


class ClearanceBody(PersonBody):
    """Who has entrusted data and lets them go by these grants, which somebody else has given."""

    grants: Annotated[tuple[GrantId, ...], Field(min_length=1, max_length=CODES_MAX)]
    by: Giver
    form: ConsentForm


class ClearanceEndBody(PersonBody):
    """For which grants that is taken back."""

    grants: Annotated[tuple[GrantId, ...], Field(min_length=1, max_length=CODES_MAX)]


@routes.command("POST", "/consents/{consent}/clearance", allow=STAFF)
def clear(call: Call, consent: UUID, body: ClearanceBody) -> Step:
    """Record that whoever has entrusted data lets them go as well (§ 65(1) Nr. 1 SGB VIII): both words are needed."""
    return Step(PERSON, body.person, ClearGrants(ConsentId(consent), frozenset(body.grants), body.by, body.form))


async def out_of_the_way_of_its_end(
    call: Call, resources: Resources, path: Mapping[str, Any], body: ClearanceEndBody
) -> Refused | None:
    """The same as before a restriction."""
    await intend_clearance_end(resources, _intent(call), body.person, path["consent"], body.grants)
    return None


async def when_nothing_entrusted_can_follow(call: Call, resources: Resources, answer: Answer) -> None:
    """As with a withdrawal."""
    await no_longer_intended(resources, _intent(call))
    await when_nothing_can_follow(call, resources, answer)


@routes.command(
    "POST", "/consents/{consent}/clearance/withdrawal", allow=ANYBODY_WHO_IS_TOLD, status=DONE, unconditional=True,
    before=out_of_the_way_of_its_end, after=when_nothing_entrusted_can_follow,
)
def withdraw_clearance(call: Call, consent: UUID, body: ClearanceEndBody) -> Step:
    """They take that back: what was entrusted goes no more, the consent stands. Never refused where there is one.

    Whoever has received it is told, and owes an answer as after a withdrawal.
    """
    command = WithdrawClearance(ConsentId(consent), frozenset(body.grants), DutyId(call.new_id()))
    return Step(PERSON, body.person, command)
