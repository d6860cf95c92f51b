"""Commands on own offers, and how the agency's own staff sees them."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, model_validator
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.executor import Step
from chassis.http import Body, Call, Instant, Routes, Text, people
from chassis.transitions import Refused
from contracts import offers as told
from contracts.codes import OfferStatus, Role
from contracts.ids import AllianceId, OfferId
from services.offers import store
from services.offers.domain import (
    Change,
    Draft,
    Offer,
    Publish,
    Reason,
    Reject,
    Resume,
    Retire,
    State,
    Submit,
    Suspend,
    law,
)
from services.offers.store import OFFER

EDITORS: Final = people(Role.CATALOGUE_EDITOR, Role.COORDINATION)
STAFF: Final = EDITORS | people(Role.CASEWORKER, Role.TEAM_LEAD)
SEEN: Final = TypeAdapter[str](Text)
SET_HERE: Final = frozenset({"id", "status", "last_modified"})
NOT_SET: Final = datetime(1970, 1, 1, tzinfo=UTC)
CONTENT_CHARACTERS_MAX: Final = 24_000  # twelve pages; a record of 48 KB holds it even when every letter is an umlaut

routes = Routes()


class OfferBody(told.Offer):
    """An HSDS service with `jba`. What the catalogue sets itself (id, status, last_modified) is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: SkipJsonSchema[OfferId] = OfferId(UUID(int=0))
    status: SkipJsonSchema[OfferStatus] = OfferStatus.INACTIVE
    last_modified: SkipJsonSchema[Instant] = NOT_SET

    @model_validator(mode="after")
    def _is_a_wording(self) -> Self:
        if self.model_fields_set & SET_HERE:
            raise ValueError("id, status and last_modified are set by the catalogue")
        for words in _texts(self.model_dump(exclude_none=True)):
            SEEN.validate_python(words)
        if len(self.model_dump_json()) > CONTENT_CHARACTERS_MAX:
            raise ValueError("too long for one record")
        return self

    def of(self, offer: UUID) -> told.Offer:
        """The content of that offer; status and time are set when it is decided."""
        return told.Offer.model_validate({**dict(self), "id": OfferId(offer)})


class DraftBody(Body):
    """A new offer."""

    alliance: AllianceId
    content: OfferBody


def _texts(value: object) -> Iterator[str]:
    """All strings in a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from _texts(part)


@routes.command("POST", "/offers", allow=EDITORS, status=201)
def draft(call: Call, body: DraftBody) -> Step:
    """Begin an offer for the catalogue of an alliance."""
    offer = call.new_id()
    return Step(OFFER, offer, Draft(call.caller.name, body.alliance, body.content.of(offer)))


@routes.command("PUT", "/offers/{offer}/content", allow=EDITORS)
def change(call: Call, offer: UUID, body: OfferBody) -> Step:
    """Replace the whole wording of a draft."""
    return Step(OFFER, offer, Change(call.caller.name, body.of(offer)))


@routes.command("POST", "/offers/{offer}/submission", allow=EDITORS)
def submit(call: Call, offer: UUID) -> Step:
    """Ask a second person to look at it."""
    return Step(OFFER, offer, Submit(call.caller.name))


@routes.command("POST", "/offers/{offer}/publication", allow=EDITORS)
def publish(call: Call, offer: UUID) -> Step:
    """Put it into the catalogue; not by anybody who wrote or submitted it."""
    return Step(OFFER, offer, Publish(call.caller.name))


@routes.command("POST", "/offers/{offer}/rejection", allow=EDITORS)
def reject(call: Call, offer: UUID) -> Step:
    """Send it back to be written anew."""
    return Step(OFFER, offer, Reject())


@routes.command("POST", "/offers/{offer}/suspension", allow=EDITORS)
def suspend(call: Call, offer: UUID) -> Step:
    """Say that for the time being nobody can be taken."""
    return Step(OFFER, offer, Suspend())


@routes.command("POST", "/offers/{offer}/resumption", allow=EDITORS)
def resume(call: Call, offer: UUID) -> Step:
    """Say that places can be had again."""
    return Step(OFFER, offer, Resume())


@routes.command("POST", "/offers/{offer}/retirement", allow=EDITORS)
def retire(call: Call, offer: UUID) -> Step:
    """Take it out of the catalogue for good."""
    return Step(OFFER, offer, Retire())


class OfferView(BaseModel):
    """One of the agency's own offers, in whatever state."""

    id: UUID
    version: int
    state: State
    alliance: str
    allowed: tuple[str, ...]
    content: dict[str, JsonValue]


class OwnOffers(BaseModel):
    """The first of the own offers in that state, oldest first, and how many there are."""

    total: int
    offers: tuple[OfferView, ...]


@routes.view("/offers", allow=STAFF)
async def own_offers(
    call: Call, tx: AsyncConnection, state: State | None = None, limit: Annotated[int, Field(ge=1, le=100)] = 100
) -> OwnOffers:
    """The agency's own offers, drafts included."""
    found = await store.find(tx, store.own(state), page=1, per_page=limit)
    return OwnOffers(total=found.total, offers=tuple(map(_view, found.offers)))


@routes.view("/offers/{offer}", allow=STAFF)
async def own_offer(call: Call, tx: AsyncConnection, offer: UUID) -> OfferView | Refused:
    """One of the agency's own offers."""
    found = await store.one(tx, store.own(), offer)
    return Refused(Reason.UNKNOWN_OFFER, unknown=offer) if found is None else _view(found)


def _view(offer: Offer) -> OfferView:
    return OfferView(
        id=offer.id,
        version=offer.version,
        state=offer.state,
        alliance=offer.alliance,
        allowed=law(offer).allowed(offer.state),
        content=offer.content.model_dump(mode="json", exclude_none=True),
    )
