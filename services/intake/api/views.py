"""What the intake service shows of cases: whole ones to those who work with people, codes alone to coordination."""

import json
from datetime import date
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.http import Call, Instant, Routes
from chassis.transitions import Refused
from contracts.codes import (
    AgeBand,
    ContactChannel,
    DataCategory,
    Destination,
    Giver,
    Need,
    PauseReason,
    Phase,
    Place,
    TargetGroup,
)
from services.intake.api.bodies import LocalNumber, Short
from services.intake.api.callers import STAFF, STAFF_AND_COORDINATION
from services.intake.domain import Reason
from services.intake.domain.case import DossierReason, DossierState, PhaseSource, State
from services.intake.domain.information import Exemption
from services.intake.domain.items import CollectedFrom, Part
from services.intake.domain.persons import ContactPreference
from services.intake.store import looking

routes = Routes()


class PersonView(BaseModel):
    """Who somebody is."""

    given_names: str
    family_name: str
    birth_date: date
    gender: str | None
    street: str | None
    postcode: str | None
    place: str | None
    address_protected: bool
    phone: str | None
    mail: str | None
    contact_preference: ContactPreference | None
    language: str | None
    interpreter_needed: bool
    release: UUID | None


class NeedView(BaseModel):
    """An open need."""

    code: Need
    severity: int
    entrusted: bool
    received: bool
    recorded_at: Instant


class CaseView(BaseModel):
    """A case. `person`, needs and numbers are shown to those who work with people, to nobody else."""

    id: UUID
    version: int
    state: State
    phase: Phase | None
    phase_source: PhaseSource | None
    age_band: AgeBand | None
    leads: bool
    handover: UUID | None
    sender: str | None
    dossier: DossierState
    dossier_reason: DossierReason | None
    opened_at: Instant | None
    closed_at: Instant | None
    allowed: list[str]
    local_number: str | None = None
    person_id: UUID | None = None
    person: PersonView | None = None
    needs: list[NeedView] | None = None
    target_groups: list[TargetGroup] | None = None
    contact_person: str | None = None
    pause_reason: PauseReason | None = None
    review_on: date | None = None
    destination: Destination | None = None
    duplicates: list[UUID] | None = None


class CaseLine(BaseModel):
    """A case in a list."""

    id: UUID
    local_number: str | None
    state: State
    phase: Phase | None
    contact_person: str | None
    given_names: str | None
    family_name: str | None


class CaseList(BaseModel):
    """Some cases, in the order of their ids; `next` continues where there are more."""

    cases: list[CaseLine]
    next: UUID | None


class ItemView(BaseModel):
    """One datum, with where it came from and on which basis."""

    id: UUID
    category: DataCategory
    part: Part
    content: JsonValue
    entrusted: bool
    special: bool
    professional_secret: bool
    entruster: Giver | None
    collected_from: CollectedFrom
    collection_basis: str | None
    hash: str
    recorded_at: Instant
    release: UUID | None
    source_item: UUID | None
    source_agency: str | None
    purpose: str | None
    bases: list[str] | None
    received_at: Instant | None


class ItemList(BaseModel):
    """All that is kept in a case."""

    items: list[ItemView]


class ContactView(BaseModel):
    """An attempt to reach the young person."""

    id: UUID
    at: Instant
    by: str
    channel: ContactChannel
    place: Place | None
    reached: bool


class ContactList(BaseModel):
    """All of them, the latest first."""

    contacts: list[ContactView]


class ReleaseView(BaseModel):
    """A dossier that came, when it was erased, and when and how the person was told of it or on which ground not."""

    id: UUID
    sender: str
    items: int
    stored_at: Instant | None
    erased_at: Instant | None
    information_at: Instant | None
    information_channel: ContactChannel | None
    information_exemption: Exemption | None


class DossierView(BaseModel):
    """How far the dossier has got, and what is left of it here.

    `erased_by`: on that day the first of it goes by itself, because the law limits the time (§ 31a(3) SGB III).
    """

    state: DossierState
    reason: DossierReason | None
    releases: list[ReleaseView]
    received_items: int
    received_bytes: int
    erased_by: date | None


class DerivedView(BaseModel):
    """An own record: a datum with its category, or a need."""

    item: UUID | None
    category: DataCategory | None
    need: Need | None
    recorded_at: Instant


class DerivedList(BaseModel):
    """Own records that may have been made from what came from another agency, the oldest first."""

    records: list[DerivedView]


@routes.view("/cases/{case}", allow=STAFF_AND_COORDINATION)
async def read(call: Call, tx: AsyncConnection, case: UUID) -> CaseView | Refused:
    """One case. Coordination sees states and codes, and nobody's name."""
    found = await looking.one(tx, case)
    if found is None:
        return Refused(Reason.UNKNOWN_CASE, unknown=case)
    return CaseView.model_validate(found if STAFF.admits(call.caller) else {name: found[name] for name in _NAMELESS})


_NAMELESS: Final = tuple(name for name, field in CaseView.model_fields.items() if field.is_required())


@routes.view("/cases", allow=STAFF)
async def find(
    call: Call,
    tx: AsyncConnection,
    *,
    local_number: LocalNumber | None = None,
    state: State | None = None,
    contact_person: Short | None = None,
    after: UUID | None = None,
    limit: Annotated[int, Field(ge=1, le=200)] = 50,
) -> CaseList:
    """Cases of this agency, all or those that match."""
    wanted = {"local_number": local_number, "state": state, "contact_person": contact_person}
    rows = await looking.find(tx, wanted, after=after, limit=limit + 1)
    lines = [CaseLine.model_validate(row) for row in rows[:limit]]
    return CaseList(cases=lines, next=lines[-1].id if len(rows) > limit else None)


@routes.view("/cases/{case}/items", allow=STAFF)
async def items(call: Call, tx: AsyncConnection, case: UUID) -> ItemList:
    """What is kept in a case, each datum with its provenance."""
    rows = await looking.items_of(tx, case)
    return ItemList(items=[ItemView.model_validate(row | {"content": json.loads(row["content"])}) for row in rows])


@routes.view("/cases/{case}/contacts", allow=STAFF)
async def contacts(call: Call, tx: AsyncConnection, case: UUID) -> ContactList:
    """The attempts to reach the young person."""
    return ContactList(contacts=[ContactView.model_validate(row) for row in await looking.contacts_of(tx, case)])


@routes.view("/cases/{case}/derived", allow=STAFF)
async def derived(call: Call, tx: AsyncConnection, case: UUID) -> DerivedList:
    """What a human has to look at before received data are erased: own records made since they had come.

    What was written down from a dossier is one's own record and no longer its item: no program can tell. Whoever
    answers "erased" looks through these (Art. 17(1) GDPR).
    """
    return DerivedList(records=[DerivedView.model_validate(row) for row in await looking.derived_of(tx, case)])


@routes.view("/cases/{case}/dossier", allow=STAFF_AND_COORDINATION)
async def dossier(call: Call, tx: AsyncConnection, case: UUID) -> DossierView | Refused:
    """How the dossier of the handover stands: fetched, refused, erased."""
    found = await looking.dossier_of(tx, case)
    return Refused(Reason.UNKNOWN_CASE, unknown=case) if found is None else DossierView.model_validate(found)
