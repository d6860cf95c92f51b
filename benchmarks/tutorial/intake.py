"""The intake service: says what items are; at the receiver opens a case nobody has a name in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.flow import ALLIANCE, RECEIVER
from benchmarks.tutorial.models import Case, Errand, Item, Need, Registered, Reservation
from benchmarks.tutorial.service import Event, Handler, OwnConsent, Place, Run, Session, say
from benchmarks.yardstick.engine import Said, child
from benchmarks.yardstick.services import CHANGED, local_number
from contracts.new_ids import new_id


class Wanted(BaseModel):
    """Ids of items."""

    items: list[UUID]


class Flags(BaseModel):
    """What one must know of an item to decide whether it may go."""

    id: UUID
    category: str
    entrusted: bool
    special: bool
    professional_secret: bool
    entruster: str | None
    hash: str


class Intakes:
    """Routes and handlers of one agency's intake service."""

    errands: Mapping[str, Run] = {}

    def __init__(self, where: Place) -> None:
        self._where = where
        self.router = APIRouter()
        self.router.post("/internal/items/flags")(self.flags)
        self.handlers: Mapping[str, Handler] = {CHANGED: self.changed}

    async def flags(self, wanted: Wanted, who: OwnConsent, session: Session) -> Sequence[Flags]:
        """Categories and flags of items; a protected address is not there."""
        found = []
        for id in wanted.items:
            item = await session.get_one(Item, id)
            case = await session.get_one(Case, item.case)
            person = await session.get(Registered, case.person)
            if person is None or not person.address_protected or item.category != "contact":
                found.append(Flags.model_validate(item, from_attributes=True))
        return found

    async def changed(self, session: AsyncSession, event: Event) -> UUID:
        """What was accepted is a case here from now on."""
        said, now, id = event.body, datetime.now(UTC), event.key
        if self._where.agency != RECEIVER or said["state"] != "accepted":
            return id
        preview, number = said["preview"], local_number(id)
        case = Case(
            id=id,
            version=1,
            state="announced",
            handover=id,
            sender=said["counterpart"],
            alliance=ALLIANCE,
            leads=False,
            phase=preview["phase"],
            phase_source="preview",
            age_band=preview["age_band"],
            no_needs=False,
            target_groups=[],
            opened_at=now,
            dossier="pending",
            has_own=False,
            person=id,
            local_number=number,
        )
        session.add(case)
        for code in preview["needs"]:
            session.add(Need(case=id, code=code, severity=0, entrusted=False, received=True, recorded_at=now))
        session.add(Reservation(name="local_number", key=number, holder=id))
        trace = child(event.trace)
        told = to_json({"case": id, "handover": id})
        topic, kind = f"{self._where.agency}.intake.events", "staffel.case.announced.v1"
        await say(session, self._where.principal, Said(topic, "cases", kind, id, told, event.id, trace))
        about = {"sender": said["counterpart"], "alliance": ALLIANCE}
        session.add(Errand(name="fetch_dossier", subject=id, key="", id=new_id(), about=about, traceparent=trace))
        return id
