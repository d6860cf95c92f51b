"""What the door and errands ask the agency's own intake and handover services, each call signed with our own key."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from chassis.http import Tries
from chassis.service import Tools
from contracts.alliance import Alliance
from contracts.codes import DataCategory, Giver, HandoverState, ItemFlag, Service, Side
from contracts.ids import AgencyId, AllianceId, HandoverRef, ItemId, ReleaseId
from contracts.topics import Principal
from services.consent.domain.words import Item

ASK_SECONDS: Final = 1.0  # until a neighbour in the same agency begins to answer; the lease's time is running
ANSWER_SECONDS: Final = 2.0  # for all of its answer, however it drips: later no lease would be open any more
READERS_MAX: Final = 2  # at the door with a connection in hand: of the five of a service the others stay free
T = TypeVar("T")


@dataclass(frozen=True)
class Resources:
    """What door, errands and pages work with."""

    tools: Tools
    agency: AgencyId
    alliances: Mapping[AllianceId, Alliance]
    tries: Tries = field(default_factory=Tries)
    """How often somebody may be wrong about the code of a receipt."""
    readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS_MAX))
    """Those at the door who have one of the database's connections."""


class Neighbour(BaseModel):
    """What another service of this agency answers; fields it may have beside these are no business of ours."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Flags(Neighbour):
    """What own intake says about an item without its content."""

    id: UUID
    category: DataCategory
    entrusted: bool
    special: bool
    professional_secret: bool
    entruster: Giver | None
    hash: str
    person: UUID | None = None
    """Whose case it is in; an intake that is older than this field does not say."""
    received_by: UUID | None = None
    """The release by which it once came to this agency."""
    source_item: UUID | None = None
    """Its id at the agency it came from; an intake that is older than this field does not say."""

    @property
    def flags(self) -> list[ItemFlag]:
        """The flags that are up."""
        up = {ItemFlag.ENTRUSTED: self.entrusted, ItemFlag.SPECIAL: self.special,
              ItemFlag.PROFESSIONAL_SECRET: self.professional_secret}
        return [flag for flag, is_up in up.items() if is_up]

    def about(self, person: UUID) -> bool:
        """Whether it may be about this person: it is in none of somebody else's cases."""
        return self.person in (None, person)

    def item(self) -> Item:
        """The same as the domain has it."""
        return Item(
            ItemId(self.id), self.category, self.entrusted, self.special, self.professional_secret, self.entruster,
            self.hash, None if self.received_by is None else ReleaseId(self.received_by),
            None if self.source_item is None else ItemId(self.source_item),
        )


class Content(Flags):
    """An item with what it says and where it was collected."""

    content: JsonValue
    collected_from: str


class Standing(Neighbour):
    """What the own handover service says about its copy."""

    state: HandoverState
    side: Side
    counterpart: AgencyId
    alliance: AllianceId


class UnreachableError(Exception):
    """A neighbour does not answer, or not what was agreed."""


FLAGS: TypeAdapter[list[Flags]] = TypeAdapter(list[Flags])
CONTENTS: TypeAdapter[list[Content]] = TypeAdapter(list[Content])
STANDING: TypeAdapter[Standing] = TypeAdapter(Standing)


async def flags_of(resources: Resources, items: Sequence[ItemId]) -> list[Flags]:
    """What own intake says these items are; what it no longer has is missing. Raises UnreachableError."""
    answer = await _asked(resources, Service.INTAKE, "POST", "/internal/items/flags", {"items": _strings(items)})
    return _read(FLAGS, answer)


async def contents_of(resources: Resources, items: Sequence[ItemId]) -> list[Content]:
    """The items themselves, with the flags they have now. Raises UnreachableError."""
    answer = await _asked(resources, Service.INTAKE, "POST", "/internal/items/content", {"items": _strings(items)})
    return _read(CONTENTS, answer)


async def standing_of(resources: Resources, handover: HandoverRef) -> Standing | None:
    """How the own copy of the handover stands now; None where there is none. Raises UnreachableError."""
    answer = await _asked(resources, Service.HANDOVER, "GET", f"/internal/handovers/{handover}", None)
    return None if answer.status_code == httpx.codes.NOT_FOUND else _read(STANDING, answer)


async def _asked(
    resources: Resources, service: Service, method: str, path: str, body: Mapping[str, Any] | None
) -> httpx.Response:
    tools, settings = resources.tools, resources.tools.settings
    base = settings.intake_url if service is Service.INTAKE else settings.handover_url
    token = tools.signed_for(str(Principal(resources.agency, service)))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await tools.client.request(
                method, base + path, json=body, headers={"authorization": f"Bearer {token}"}, timeout=ASK_SECONDS
            )
    except (httpx.HTTPError, TimeoutError) as error:
        raise UnreachableError from error


def _read(adapter: TypeAdapter[T], answer: httpx.Response) -> T:
    if not answer.is_success:
        raise UnreachableError
    try:
        return adapter.validate_json(answer.content)
    except ValidationError as error:
        raise UnreachableError from error


def _strings(items: Sequence[ItemId]) -> list[str]:
    return [str(item) for item in items]
