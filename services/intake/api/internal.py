"""For the own services alone: what consent is told of items, and the agency's signature for those who read feeds."""

import json
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from chassis.auth import sign_party
from chassis.executor import Answer
from chassis.http import Body, Call, Routes, StreamingAnswer, Trouble
from chassis.http.problems import Turned
from chassis.service import Tools
from contracts.codes import Service
from contracts.events import ITEMS_MAX
from contracts.ids import AgencyId
from contracts.topics import Principal
from services.intake.api.callers import OWN_CONSENT, OWN_SERVICES
from services.intake.settings import Settings
from services.intake.store import looking

INTERNAL_SECONDS_MAX: Final = 5.0  # longer than the lease of a release: who is slower has lost its reader already

routes = Routes()


class AskedItems(Body):
    """Which items are asked for; unknown ones are absent from the answer."""

    items: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=ITEMS_MAX)]


@routes.stream("POST", "/internal/items/flags", allow=OWN_CONSENT, body=AskedItems)
async def flags(call: Call, resources: Tools, body: AskedItems) -> StreamingAnswer:
    """What the law asks of these items at this instant."""
    async with resources.engine.connect() as tx:
        return _whole(await looking.flags_of(tx, body.items))


@routes.stream("POST", "/internal/items/content", allow=OWN_CONSENT, body=AskedItems)
async def content(call: Call, resources: Tools, body: AskedItems) -> StreamingAnswer:
    """The same with what they say and where they came from; for a release that is being opened."""
    async with resources.engine.connect() as tx:
        return _whole(await looking.contents_of(tx, body.items))


class PartyToken(BaseModel):
    """A token of this agency for the same service of another one, good for a minute."""

    token: str


@routes.stream(
    "POST", "/internal/parties/{party}/token", allow=OWN_SERVICES, answer=PartyToken, unheeding=True
)
async def party_token(call: Call, resources: Tools, party: str) -> Answer:
    """The agency's signature under who is asking: nobody gets one for another service than its own counterpart.

    Intake holds the agency's signing key, and it alone.
    """
    settings: Settings = resources.settings
    name = Service(min(call.caller.roles))
    if party not in settings.counterparts:
        raise Turned(Trouble.NOT_FOUND)
    audience = str(Principal(AgencyId(party), name))
    token = sign_party(settings.signing_key(), party=settings.agency, role=name, audience=audience)
    return Answer(200, PartyToken(token=token).model_dump_json().encode(), (("content-type", "application/json"),))


def _whole(rows: Iterable[dict[str, JsonValue]]) -> StreamingAnswer:
    """Answered in one piece and never stored, like everything that says something about somebody."""
    body = json.dumps(list(rows), ensure_ascii=False).encode()

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body

    async def closed(whole: bool) -> None:  # noqa: FBT001  # the chassis says whether every byte has left
        """Nothing has to be written down: own consent keeps the ledger."""

    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    return StreamingAnswer(pieces(), time.monotonic() + INTERNAL_SECONDS_MAX, closed, headers=headers)
