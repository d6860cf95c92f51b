"""The consent service: decides whether the items may go; at the receiver remembers that something may come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from fastapi import APIRouter
from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.flow import ALLIANCE, SENDER
from benchmarks.tutorial.models import Consent, Decision, DecisionItem, Errand, Grant, Person, Reception, Transmission
from benchmarks.tutorial.service import Event, Handler, Place, Run, say, token
from benchmarks.yardstick.engine import Said, child
from benchmarks.yardstick.services import CHANGED
from contracts.new_ids import new_id


class Consents:
    """Handlers of one agency's consent service."""

    def __init__(self, where: Place) -> None:
        self._where = where
        self.router = APIRouter()
        sends = where.agency == SENDER
        self.errands: Mapping[str, Run] = {"read_items": self.read_items} if sends else {}
        self.handlers: Mapping[str, Handler] = {
            "staffel.handover.proposed.v1": self.proposed,
            CHANGED: self.changed_at_sender if sends else self.changed_at_receiver,
        }

    async def proposed(self, session: AsyncSession, event: Event) -> UUID:
        """Somebody wants to hand over: intake has to be asked what the items are."""
        said = event.body
        person = await session.get_one(Person, UUID(said["person"]), with_for_update=True)
        person.version += 1
        session.add(
            Transmission(
                id=event.id,
                person=person.id,
                handover=event.key,
                version=1,
                state="undecided",
                case=UUID(said["case"]),
                alliance=ALLIANCE,
                recipient=said["recipient"],
                purpose=said["purpose"],
                proposal=event.id,
                asked=[UUID(item) for item in said["items"]],
                items=[],
                verdicts=[],
                stored=[],
            )
        )
        about = {"handover": str(event.key), "proposal": str(event.id), "items": ",".join(said["items"])}
        session.add(
            Errand(
                name="read_items",
                subject=person.id,
                key=str(event.key),
                id=new_id(),
                about=about,
                traceparent=event.trace,
            )
        )
        return UUID(said["person"])

    async def read_items(self, session: AsyncSession, errand: Errand, intake: httpx.AsyncClient) -> None:
        """Ask own intake, then decide."""
        answer = await intake.post(
            "/internal/items/flags",
            json={"items": errand.about["items"].split(",")},
            headers={"authorization": f"Bearer {token(self._where, 'intake')}"},
        )
        known = {item["id"]: item for item in answer.raise_for_status().json()}
        items = [known[item] for item in errand.about["items"].split(",")]
        row = (
            await session.scalars(
                select(Transmission).filter_by(handover=UUID(errand.about["handover"])).with_for_update()
            )
        ).one()
        person = await session.get_one(Person, row.person, with_for_update=True)
        person.version += 1
        await self._decide(session, row, items, errand)

    async def _decide(
        self, session: AsyncSession, row: Transmission, items: list[dict[str, Any]], errand: Errand
    ) -> None:
        now = datetime.now(UTC)
        given = select(Grant).join(Consent, Consent.__table__.c.id == Grant.__table__.c.consent)
        given = given.filter_by(state="given").where(Grant.__table__.c.person == row.person)
        grants = [
            grant
            for grant in await session.scalars(given)
            if grant.withdrawn_at is None
            and grant.valid_from <= now < grant.valid_until
            and (grant.recipient, grant.purpose) == (row.recipient, row.purpose)
        ]
        decision = Decision(
            id=new_id(),
            person=row.person,
            transmission=row.id,
            at=now,
            alliance=ALLIANCE,
            alliance_version=1,
        )
        session.add(decision)
        verdicts = []
        for item in items:
            covering = [grant for grant in grants if item["category"] in grant.categories and not item["entrusted"]]
            bases = [_basis(grant) for grant in covering]
            if not bases:
                raise RuntimeError("no basis")
            verdict = {"verdict": "permit", "reason": "consent"}
            verdicts.append({"id": item["id"], **verdict, "bases": bases})
            session.add(DecisionItem(decision=decision.id, item=UUID(item["id"]), **verdict, bases=bases))
        row.version, row.state, row.items, row.verdicts = row.version + 2, "permitted", items, verdicts
        said = [{name: each[name] for name in ("id", "verdict", "reason")} for each in verdicts]
        told = to_json({"handover": row.handover, "transmission": row.id, "items": said})
        trace = child(errand.traceparent)
        kind = "staffel.transmission.permitted.v1"
        topic = f"{self._where.agency}.consent.events"
        fact = Said(topic, "handovers", kind, row.handover, told, errand.id, trace, scope=True)
        await say(session, self._where.principal, fact)

    async def changed_at_sender(self, session: AsyncSession, event: Event) -> UUID:
        """The handover has moved."""
        row = (await session.scalars(select(Transmission).filter_by(handover=event.key).with_for_update())).one()
        row.version += 1
        row.handover_state, row.recorded = event.body["state"], event.body["recorded"]
        person = await session.get_one(Person, row.person, with_for_update=True)
        person.version += 1
        return UUID(str(person.id))

    async def changed_at_receiver(self, session: AsyncSession, event: Event) -> UUID:
        """Something may come, for a person without a name."""
        person = await session.get(Person, event.key, with_for_update=True)
        row = await session.get(Reception, event.key, with_for_update=True)
        if person is None or row is None:
            person = Person(id=event.key, version=0, state="heard_of", insight_noted=False)
            row = Reception(
                id=event.key, person=event.key, version=0, state="heard", sender=SENDER, alliance=ALLIANCE, stored=[]
            )
            session.add_all((person, row))
        person.version += 1
        row.version, row.handover_state = row.version + 1, event.body["state"]
        return event.key


def _basis(grant: Grant) -> dict[str, Any]:
    return {
        "norm": "consent_sgb_x_67b",
        "consent": str(grant.consent),
        "grant": str(grant.id),
        "task": None,
        "exception": None,
        "until": grant.valid_until.isoformat(),
    }
