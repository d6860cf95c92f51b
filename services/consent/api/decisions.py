"""What would be decided, and why: a question before anything is proposed. Nothing is permitted by its answer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from chassis.database import transaction
from chassis.executor import Answer
from chassis.http import Body, Call, Instant, Routes, people
from chassis.transitions import Refused
from contracts.codes import ConsentForm, DataCategory, DecisionReason, Giver, Purpose, Role, Verdict
from contracts.events import CODES_MAX, ITEMS_MAX
from contracts.ids import AgencyId, AllianceId, HandoverRef, ItemId, PersonId, TransmissionId
from services.consent.api.commands import Norm
from services.consent.api.views import BasisView
from services.consent.domain import Reason
from services.consent.domain.consents import PERIOD_DEFAULT_MONTHS, months_after
from services.consent.domain.decision import question
from services.consent.domain.explaining import Explained, Help, explained, helps
from services.consent.domain.words import Stated, Transmission
from services.consent.door import Resources
from services.consent.door.neighbours import UnreachableError, flags_of
from services.consent.store.persons import decided_on

STAFF = people(Role.CASEWORKER, Role.TEAM_LEAD)  # who sees the items anyway

routes = Routes()


class StatedBody(Body):
    """A statutory task as it would be stated (§ 69 SGB X): its norm, as a row of the matrix names it.

    `not_endangering`: § 64(2) SGB VIII, said by a youth office: the success of a help is not endangered.
    """

    norm: Norm
    categories: Annotated[tuple[DataCategory, ...], Field(min_length=1, max_length=CODES_MAX)]
    not_endangering: bool = False


class QuestionBody(Body):
    """What is to go to whom for what. `at`: an instant to come; now where none is named.

    Of a time to come only what is known now can be said: whoever withdraws a consent until then is not foreseen.
    """

    person: PersonId
    alliance: AllianceId
    recipient: AgencyId
    purpose: Purpose
    items: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=ITEMS_MAX)]
    stated: Annotated[tuple[StatedBody, ...], Field(max_length=CODES_MAX)] = ()
    at: Instant | None = None


class Outcome(StrEnum):
    """Of all items: all may go, some (the package would have to be cut), none."""

    PERMIT = "permit"
    PARTLY = "partly"
    DENY = "deny"


class ItemExplained(BaseModel):
    """Of a permitted item every basis; of a denied one everything that stands in its way, as the law asks."""

    item: UUID
    verdict: Verdict
    reasons: list[DecisionReason]
    bases: list[BasisView]


class GrantWanted(BaseModel):
    """A grant as `POST /consents` and `POST /consents/requests` take it; it covers the instant asked about."""

    alliance: AllianceId
    recipient: AgencyId
    purpose: Purpose
    categories: list[DataCategory]
    entrusted_included: bool
    valid_from: Instant | None


class ConsentThatHelps(BaseModel):
    """A consent on which these items could go: who could give it, in which of these forms, and its grant.

    Two givers: the person from 15 on who understands what it is about, else the guardian (§ 36 SGB I). `cleared_by`:
    has entrusted the items, and has to let them go as well (`POST /consents/{consent}/clearance`).
    """

    givers: list[Giver]
    forms: list[ConsentForm]
    cleared_by: Giver | None
    grant: GrantWanted
    items: list[UUID]


class Decided(BaseModel):
    """What would be decided at that instant, under that version of the alliance's agreements."""

    outcome: Outcome
    at: Instant
    alliance_version: int
    items: list[ItemExplained]
    consents_that_help: list[ConsentThatHelps]


@routes.stream("POST", "/decisions", allow=STAFF, body=QuestionBody, answer=Decided)
async def explain(call: Call, resources: Resources, body: QuestionBody) -> Answer | Refused:
    """Ask whether items may go to an agency, why not, and which consents would help. Nothing is kept.

    Handing over asks anew, and the door at each release: an answer given here permits nothing.
    """
    alliance = resources.alliances.get(body.alliance)
    if alliance is None:
        return Refused(Reason.UNKNOWN_ALLIANCE)
    async with transaction(resources.tools.engine) as tx:
        found = await decided_on(tx, body.person)
    if found is None:
        return Refused(Reason.UNKNOWN_PERSON, unknown=body.person)
    person, now = found
    if body.at is not None and body.at < now:
        return Refused(Reason.RETROACTIVE)
    asked = tuple(map(ItemId, dict.fromkeys(body.items)))
    try:
        known = await flags_of(resources, asked)
    except UnreachableError:
        return Refused(Reason.UNREACHABLE)
    items = {item.id: item for item in (flags.item() for flags in known if flags.about(body.person))}
    stated = tuple(Stated(each.norm, frozenset(each.categories), each.not_endangering) for each in body.stated)
    proposed = Transmission(
        TransmissionId(call.new_id()), HandoverRef(call.new_id()), recipient=body.recipient, purpose=body.purpose,
        stated=stated,
    )
    about = question(person, proposed, alliance, resources.agency, body.at or now)
    each = explained(asked, items, about)
    denied = tuple(one.decision.id for one in each if not one.decision.permitted)
    answer = Decided(
        outcome=Outcome.PERMIT if not denied else Outcome.DENY if len(denied) == len(each) else Outcome.PARTLY,
        at=about.at,
        alliance_version=alliance.version,
        items=[_item(one) for one in each],
        consents_that_help=[_help(one, body, now) for one in helps(denied, items, about, person.age_band)],
    )
    return Answer(200, answer.model_dump_json().encode(), (("content-type", "application/json"),))


def _item(one: Explained) -> ItemExplained:
    decision = one.decision
    return ItemExplained(
        item=decision.id,
        verdict=decision.verdict,
        reasons=list(one.against) or [decision.reason],
        bases=[BasisView.model_validate(basis, from_attributes=True) for basis in decision.bases],
    )


def _help(one: Help, body: QuestionBody, now: datetime) -> ConsentThatHelps:
    """A grant that begins now lasts twelve months; one for later has to begin then."""
    later = body.at is not None and body.at >= months_after(now, PERIOD_DEFAULT_MONTHS)
    grant = GrantWanted(
        alliance=body.alliance, recipient=body.recipient, purpose=body.purpose, categories=sorted(one.categories),
        entrusted_included=one.entrusted_included, valid_from=body.at if later else None,
    )
    return ConsentThatHelps(
        givers=sorted(one.givers), forms=sorted(one.forms), cleared_by=one.cleared_by, grant=grant,
        items=list(one.items),
    )
