"""The door: `POST /releases`, the one address that gives out personal data."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from chassis.http import Body, Call, Routes, StreamingAnswer, parties
from chassis.transitions import Refused
from contracts.codes import Service
from contracts.dossier import CONTENT_BYTES_MAX
from contracts.events import ITEMS_MAX
from services.consent.door import Resources, release

routes = Routes()


class ReleaseBody(Body):
    """The claim: a handover reference. `items`: where not everything is wanted; `bytes_at_most`: for a slow line."""

    handover: UUID
    items: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=ITEMS_MAX)] | None = None
    bytes_at_most: Annotated[int, Field(ge=1, le=CONTENT_BYTES_MAX)] | None = None
    """As many items as weigh so much together, the smallest first, and at least one; 180 KB where nothing is said."""


@routes.stream("POST", "/releases", allow=parties(Service.INTAKE), body=ReleaseBody)
async def fetch(call: Call, resources: Resources, body: ReleaseBody) -> StreamingAnswer | Refused:
    """Fetch what is permitted at this instant: a JWE (compact) sealed to the asking agency.

    Each fetch is a decision of its own and a line of its own in the ledger; no answer is stored. A connection that
    breaks off has delivered nothing that could be opened: ask again. It breaks off two seconds after the request at
    the latest: where the line is too slow for that, ask for less (`bytes_at_most`). `completeness` "more": store it,
    then ask again.
    """
    return await release(call, resources, body.handover, body.items, body.bytes_at_most)
