"""Consents somebody should ask for anew: what a guardian gave for somebody who may declare now, and what ends soon."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.http import Call, Routes, people
from contracts.codes import AgeBand, Purpose, Role
from services.consent.store import views

STAFF = people(Role.CASEWORKER, Role.TEAM_LEAD)
DAYS_MAX = 366

routes = Routes()


class Renewal(BaseModel):
    """A guardian's consent of somebody who may declare it by now. It holds until it is replaced or taken back."""

    person: UUID
    consent: UUID
    age_band: AgeBand
    given_at: datetime


class RenewalList(BaseModel):
    """Consents to be renewed, the oldest first; `next` is the `after` of the next page, null at the end."""

    renewals: list[Renewal]
    next: UUID | None


class Ending(BaseModel):
    """A grant that ends by itself."""

    person: UUID
    consent: UUID
    grant: UUID
    recipient: str
    purpose: Purpose
    valid_until: datetime


class EndingList(BaseModel):
    """Grants that end soon, the next first; `next` is the `after` of the next page, null at the end."""

    grants: list[Ending]
    next: UUID | None


Limit = Annotated[int, Field(ge=1, le=views.ROWS_MAX)]


@routes.view("/consents/renewals", allow=STAFF)
async def renewals(call: Call, tx: AsyncConnection, after: UUID | None = None, limit: Limit = 50) -> RenewalList:
    """Whom to ask anew: at 15 with insight, at 18 in any case (§ 36 SGB I). Nothing ends by being listed here."""
    found = await views.renewals(tx, after, limit + 1)
    lines = [Renewal.model_validate(row, from_attributes=True) for row in found[:limit]]
    return RenewalList(renewals=lines, next=lines[-1].consent if len(found) > limit else None)


@routes.view("/consents/expiring", allow=STAFF)
async def expiring(
    call: Call, tx: AsyncConnection, within_days: Annotated[int, Field(ge=1, le=DAYS_MAX)] = 30,
    after: UUID | None = None, limit: Limit = 50,
) -> EndingList:
    """Grants that end within so many days and were not taken back."""
    found = await views.expiring(tx, within_days, after, limit + 1)
    lines = [Ending.model_validate(row, from_attributes=True) for row in found[:limit]]
    return EndingList(grants=lines, next=lines[-1].grant if len(found) > limit else None)
