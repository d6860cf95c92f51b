"""What own consent is told of items, and nobody else: flags for a decision, contents for a release."""

import json
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, JsonValue

from chassis.http import Body, Call, Routes, StreamingAnswer
from chassis.service import Tools
from contracts.events import ITEMS_MAX
from services.intake.api.callers import OWN_CONSENT
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


def _whole(rows: Iterable[dict[str, JsonValue]]) -> StreamingAnswer:
    """Answered in one piece and never stored, like everything that says something about somebody."""
    body = json.dumps(list(rows), ensure_ascii=False).encode()

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body

    async def closed(whole: bool) -> None:  # noqa: FBT001  # the chassis says whether every byte has left
        """Nothing has to be written down: own consent keeps the ledger."""

    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    return StreamingAnswer(pieces(), time.monotonic() + INTERNAL_SECONDS_MAX, closed, headers=headers)
