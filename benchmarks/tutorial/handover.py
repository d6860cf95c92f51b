"""The handover service: requested, accepted, confirmed."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException, Request, Response
from pydantic import BaseModel
from pydantic_core import to_json
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.flow import ALLIANCE, CHANNEL, CHANNEL_BACK
from benchmarks.tutorial.models import Answer, Deadline, Handover, KnownCase, Reservation
from benchmarks.tutorial.service import Caseworker, Event, Handler, Place, Run, Session, say
from benchmarks.yardstick.engine import Said, child, fresh_trace
from benchmarks.yardstick.services import BLANK, CHANGED, as_requested, working_days
from contracts.new_ids import new_id


class Asked(BaseModel):
    """Which case is to be handed over."""

    case: UUID


class Moved(BaseModel):
    """Where a handover stands and what may be done with it."""

    id: UUID
    state: str
    version: int
    allowed: Sequence[str]


class Handovers:
    """Routes and handlers of one agency's handover service."""

    errands: Mapping[str, Run] = {}

    def __init__(self, where: Place) -> None:
        self._where = where
        self.router = APIRouter(prefix="/handovers/{handover}")
        self.router.post("/request")(self.request)
        self.router.post("/acceptance")(self.accept)
        self.handlers: Mapping[str, Handler] = {
            "staffel.transmission.permitted.v1": self.permitted,
            "staffel.handover.requested.v1": self.requested,
            "staffel.handover.acceptance_declared.v1": self.declared,
            "staffel.handover.acceptance_confirmed.v1": self.confirmed,
            "staffel.case.announced.v1": self.announced,
        }

    # --- commands -----------------------------------------------------------------------------------------------------

    async def request(
        self,
        handover: UUID,
        asked: Asked,
        request: Request,
        response: Response,
        who: Caseworker,
        session: Session,
        idempotency_key: Annotated[str, Header()],
    ) -> Moved:
        """The sender wants to ask."""
        if known := await _known(session, who.principal, idempotency_key):
            return known
        row = await session.get(Handover, handover, with_for_update=True)
        case = await session.get(KnownCase, asked.case)
        if row is None or case is None or row.state != "draft" or case.state != "active":
            raise HTTPException(409)
        now, trace = datetime.now(UTC), fresh_trace()
        row.holds_baton = True
        row.preview = {"phase": case.phase, "age_band": case.age_band, "needs": sorted(case.needs)}
        session.add(Reservation(name="baton", key=str(row.case), holder=row.id))
        told = {
            "handover": row.id,
            "case": row.case,
            "person": row.person,
            "alliance": ALLIANCE,
            "recipient": row.counterpart,
            "kind": row.kind,
            "purpose": row.purpose,
            "items": row.items,
        }
        await self._say(session, "staffel.handover.proposed.v1", row, told, None, trace)
        await self._move(session, row, "proposed", "propose", trace, None, now, {})
        return await self._answer(session, row, ["Discard"], who.principal, idempotency_key, request, response)

    async def accept(
        self,
        handover: UUID,
        request: Request,
        response: Response,
        who: Caseworker,
        session: Session,
        idempotency_key: Annotated[str, Header()],
    ) -> Moved:
        """The receiver takes it."""
        if known := await _known(session, who.principal, idempotency_key):
            return known
        row = await session.get(Handover, handover, with_for_update=True)
        if row is None or row.state != "requested":
            raise HTTPException(409)
        now, trace = datetime.now(UTC), fresh_trace()
        told = {"handover": row.id}
        await self._say(session, "staffel.handover.acceptance_declared.v1", row, told, None, trace, CHANNEL_BACK)
        due = {"confirm": now + timedelta(hours=1)}
        await self._move(session, row, "accepting", "accept", trace, None, now, due)
        return await self._answer(session, row, [], who.principal, idempotency_key, request, response)

    async def _answer(
        self,
        session: AsyncSession,
        row: Handover,
        allowed: Sequence[str],
        principal: str,
        key: str,
        request: Request,
        response: Response,
    ) -> Moved:
        moved = Moved(id=row.id, state=row.state, version=row.version, allowed=allowed)
        etag = f'"{row.version}"'
        said = b"\n".join((b"POST", request.url.path.encode(), await request.body()))
        answer = Answer(
            principal=principal,
            key=key,
            fingerprint=hmac.digest(request.app.state.secret, said, "sha256"),
            status=200,
            headers=[["content-type", "application/json"], ["etag", etag]],
            body=moved.model_dump_json().encode(),
        )
        session.add(answer)
        await session.commit()
        response.headers["etag"] = etag
        return moved

    # --- events -------------------------------------------------------------------------------------------------------

    async def permitted(self, session: AsyncSession, event: Event) -> UUID:
        """Consent lets the items go: the receiver is asked."""
        row = await session.get_one(Handover, event.key, with_for_update=True)
        verdicts, now = event.body["items"], datetime.now(UTC)
        permitted = {item["id"] for item in verdicts if item["verdict"] == "permit"}
        if row.state != "proposed" or not permitted.issuperset(map(str, row.items)):
            raise RuntimeError("no basis")
        row.verdicts, row.requested_at = verdicts, now
        told = {
            "handover": row.id,
            "kind": row.kind,
            "purpose": row.purpose,
            "urgency": row.urgency,
            "competence_area": row.competence_area,
            "preview": row.preview,
        }
        await self._say(session, "staffel.handover.requested.v1", row, told, event.id, event.trace, CHANNEL)
        due = {
            "respond": now + timedelta(days=14),
            "remind": now + timedelta(days=3),
            "escalate": now + timedelta(days=7),
        }
        await self._move(session, row, "requested", "request", event.trace, event.id, now, due)
        return event.key

    async def requested(self, session: AsyncSession, event: Event) -> UUID:
        """Another agency asks: a copy of its handover."""
        now = datetime.now(UTC)
        row = Handover(**BLANK | {"id": event.key} | as_requested(event.body, now))
        session.add(Reservation(name="baton", key=str(row.id), holder=row.id))
        due = {"remind": now + timedelta(days=3), "escalate": now + timedelta(days=7)}
        await self._move(session, row, "requested", "requested", event.trace, event.id, now, due)
        session.add(row)
        return event.key

    async def declared(self, session: AsyncSession, event: Event) -> UUID:
        """The receiver accepts: it is told that this has been heard."""
        row = await session.get_one(Handover, event.key, with_for_update=True)
        if row.state != "requested":
            raise RuntimeError("not asked")
        row.accepted_at = now = datetime.now(UTC)
        told = {"handover": row.id}
        await self._say(session, "staffel.handover.acceptance_confirmed.v1", row, told, event.id, event.trace, CHANNEL)
        due = {"contact": working_days(now, 10)}
        await self._move(session, row, "accepted", "acceptance_declared", event.trace, event.id, now, due)
        return event.key

    async def confirmed(self, session: AsyncSession, event: Event) -> UUID:
        """The sender has heard the acceptance."""
        row = await session.get_one(Handover, event.key, with_for_update=True)
        if row.state != "accepting":
            raise RuntimeError("not accepting")
        now = datetime.now(UTC)
        row.case, row.accepted_at = row.id, now
        due = {"contact": working_days(now, 10)}
        await self._move(session, row, "accepted", "acceptance_confirmed", event.trace, event.id, now, due)
        return event.key

    async def announced(self, session: AsyncSession, event: Event) -> UUID:
        """Own intake has opened a case."""
        session.add(KnownCase(id=event.key, version=1, state="announced", needs=[]))
        return event.key

    # --- what all of them do ------------------------------------------------------------------------------------------

    async def _move(
        self,
        session: AsyncSession,
        row: Handover,
        state: str,
        on: str,
        trace: str,
        cause: UUID | None,
        now: datetime,
        due: Mapping[str, datetime],
    ) -> None:
        before = row.state or "none"
        await session.execute(delete(Deadline).where(Deadline.subject == row.id))
        for kind, at in due.items():
            session.add(Deadline(kind=kind, subject=row.id, id=new_id(), due_at=at))
        row.state, row.version, row.changed_at = state, row.version + 1, now
        row.due = {kind: at.isoformat() for kind, at in due.items()}
        told = {
            "handover": row.id,
            "case": row.case,
            "side": row.side,
            "alliance": ALLIANCE,
            "counterpart": row.counterpart,
            "kind": row.kind,
            "purpose": row.purpose,
            "urgency": row.urgency,
            "before": before,
            "state": state,
            "on": on,
            "lead": row.lead,
            "recorded": None,
            "preview": row.preview if row.side == "receiver" else None,
        }
        await self._say(session, CHANGED, row, told, cause, trace)

    async def _say(
        self,
        session: AsyncSession,
        kind: str,
        row: Handover,
        told: Mapping[str, Any],
        cause: UUID | None,
        trace: str,
        channel: str = "",
    ) -> None:
        topic = channel or f"{self._where.agency}.handover.events"
        said = Said(topic, "handovers", kind, row.id, to_json(told), cause, child(trace), scope=bool(channel))
        await say(session, self._where.principal, said)


async def _known(session: AsyncSession, principal: str, key: str) -> Moved | None:
    answer = await session.get(Answer, (principal, key))
    return None if answer is None else Moved.model_validate_json(answer.body)
