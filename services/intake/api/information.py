"""Whom to inform of what came from elsewhere (Art. 14 GDPR, § 82a SGB X): what is owed, and how it was settled."""

from datetime import date
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.executor import Step
from chassis.http import Body, Call, Instant, Routes, Text, people
from contracts.codes import ContactChannel, Role
from services.intake.api.bodies import CaseAnswer, Short
from services.intake.api.callers import STAFF
from services.intake.domain.commands import ExcuseInformation, RecordInformation
from services.intake.domain.information import Exemption
from services.intake.store import CASE, informing

WHO_ANSWERS_FOR_IT: Final = people(Role.TEAM_LEAD, Role.DATA_PROTECTION_OFFICER)
RELEASES_MAX: Final = 100  # of one letter

routes = Routes()

Releases = Annotated[frozenset[UUID], Field(min_length=1, max_length=RELEASES_MAX)]


# --- what is owed -----------------------------------------------------------------------------------------------------


class InformationOwed(BaseModel):
    """A release about which nobody was told yet; `erased_at`: what came by it is gone meanwhile, the duty is not."""

    case: UUID
    local_number: str | None
    contact_person: str | None
    release: UUID
    sender: str
    items: int
    stored_at: Instant
    erased_at: Instant | None
    due_on: date
    overdue: bool


class InformationList(BaseModel):
    """What is owed, the oldest first, at most 200; `more`: whether there is more."""

    owed: list[InformationOwed]
    more: bool


@routes.view("/information-duties", allow=STAFF | people(Role.DATA_PROTECTION_OFFICER))
async def information_owed(
    call: Call, tx: AsyncConnection, *, overdue: bool = False, contact_person: Short | None = None
) -> InformationList:
    """Who has still to be told what was collected about them elsewhere, until when; `overdue=true`: only the late."""
    rows = await informing.owed(
        tx, overdue=overdue, contact_person=contact_person, limit=informing.LISTED_MAX + 1
    )
    listed = [InformationOwed.model_validate(dict(row)) for row in rows[: informing.LISTED_MAX]]
    return InformationList(owed=listed, more=len(rows) > len(listed))


# --- that it went, or need not ----------------------------------------------------------------------------------------


class InformationBody(Body):
    """Which releases the person was told about, as the letter named them, and how; without `sent_at` it was now."""

    releases: Releases
    channel: ContactChannel
    sent_at: Instant | None = None


class ExemptionBody(Body):
    """Why nobody has to be told of these releases; the reason in words is kept (§ 82a(3) SGB X) and goes to nobody."""

    releases: Releases
    exemption: Exemption
    why: Text


@routes.command("POST", "/cases/{case}/information", allow=STAFF, answer=CaseAnswer)
def record_information(call: Call, case: UUID, body: InformationBody) -> Step:
    """Record that the person was told. Refused for a release of which nobody has to be told (any more)."""
    command = RecordInformation(body.releases, call.caller.name, body.channel, body.sent_at)
    return Step(CASE, case, command, call.if_match)


@routes.command("POST", "/cases/{case}/information/exemption", allow=WHO_ANSWERS_FOR_IT, answer=CaseAnswer)
def excuse_information(call: Call, case: UUID, body: ExemptionBody) -> Step:
    """Record why nobody is told (Art. 14(5) GDPR, § 82a(1) SGB X)."""
    command = ExcuseInformation(body.releases, call.caller.name, body.exemption, body.why)
    return Step(CASE, case, command, call.if_match)
