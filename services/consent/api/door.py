"""The door: `POST /releases`, the one address that gives out personal data."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from chassis.http import Body, Call, Routes, StreamingAnswer, parties
from chassis.transitions import Refused
from contracts.codes import Service
from contracts.events import ITEMS_MAX
from services.consent.door import Resources, release

routes = Routes()


class ReleaseBody(Body):
    """The claim: a handover reference; `items` where not everything is wanted."""

    handover: UUID
    items: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=ITEMS_MAX)] | None = None


@routes.stream("POST", "/releases", allow=parties(Service.INTAKE), body=ReleaseBody)
async def fetch(call: Call, resources: Resources, body: ReleaseBody) -> StreamingAnswer | Refused:
    """Fetch what is permitted at this instant: a JWE (compact) sealed to the asking agency.

    Each fetch is a decision of its own and a line of its own in the ledger; no answer is stored. A connection that
    breaks off has delivered nothing that could be opened: ask again. `completeness` "more": store it, then ask again.
    """
    return await release(call, resources, body.handover, body.items)
