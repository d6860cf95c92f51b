"""What the offers service remembers: own offers and copies of the other agencies', each with its whole content."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Statement, among_ids, upsert
from chassis.executor import Kind
from contracts import offers as told
from contracts.codes import OfferStatus
from contracts.ids import AgencyId, AllianceId
from services.offers.domain import Offer, State, decide, law

OFFER: Final = "offer"
# What the catalogue shows to everybody: closed offers are marked, not hidden; drafts and what is no more are not shown.
SHOWN: Final = (OfferStatus.ACTIVE, OfferStatus.TEMPORARILY_CLOSED)

metadata = sa.MetaData()
offers = sa.Table(
    "offer",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("owner", sa.Text),  # NULL: ours
    sa.Column("alliance", sa.Text, nullable=False),
    sa.Column("hands", ARRAY(sa.Text), nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("content", JSONB, nullable=False),
    sa.Index("offer_status", "status", "id"),
    sa.Index("offer_content", "content", postgresql_using="gin", postgresql_ops={"content": "jsonb_path_ops"}),
)
# As text, because the content's model is strict: only in JSON may it find ids, codes and dates as strings.
_content = sa.cast(offers.c.content, sa.Text).label("content")
_columns = (*(column for column in offers.c if column.name != "content"), _content)
_LOCKED: Final = Statement(
    sa.select(*_columns).where(among_ids(offers.c.id)).order_by(offers.c.id).with_for_update()
)

Load = Callable[[AsyncConnection, Mapping[UUID, Sequence[object]]], Awaitable[Mapping[UUID, Offer]]]


def offer_kind(alliances: frozenset[AllianceId]) -> Kind[Offer]:
    """Offers, written into the catalogues of these alliances."""
    return Kind(OFFER, load=_loader(alliances), save=save, decide=decide, answer=answer)


def _loader(alliances: frozenset[AllianceId]) -> Load:
    async def load(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Offer]:
        known = {row.id: _offer(row, alliances) for row in await _LOCKED(tx, {"ids": list(wanted)})}
        return {id: known.get(id) or Offer(id, alliances) for id in wanted}

    return load


def _offer(row: Any, alliances: frozenset[AllianceId] = frozenset()) -> Offer:
    return Offer(
        id=row.id,
        alliances=alliances,
        version=row.version,
        state=State(row.state),
        owner=None if row.owner is None else AgencyId(row.owner),
        alliance=AllianceId(row.alliance),
        hands=tuple(row.hands),
        content=told.Offer.model_validate_json(row.content),
    )


async def save(tx: AsyncConnection, changed: Sequence[tuple[Offer, Offer]]) -> None:
    """Write all changed offers in one statement."""
    await upsert(tx, offers, [_row(after) for _, after in changed])


def _row(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id,
        "version": offer.version,
        "state": offer.state,
        "owner": offer.owner,
        "alliance": offer.alliance,
        "hands": list(offer.hands),
        "status": offer.content.status,
        "modified_at": offer.content.last_modified,
        "content": offer.content.model_dump(mode="json", exclude_none=True),
    }


def answer(offer: Offer) -> Mapping[str, JsonValue]:
    """What a command's caller gets."""
    allowed: list[JsonValue] = list(law(offer).allowed(offer.state))
    return {"id": str(offer.id), "state": offer.state, "version": offer.version, "allowed": allowed}


def shown(
    words: str | None = None,
    modified_after: datetime | None = None,
    content: Sequence[Mapping[str, JsonValue]] = (),
) -> sa.ColumnElement[bool]:
    """What the catalogue shows to everybody and all of this holds for; `content` is what must be in the whole offer."""
    conditions = [offers.c.status.in_(SHOWN), *(offers.c.content.contains(part) for part in content)]
    if words is not None:
        texts = (offers.c.content[name].astext for name in ("name", "description"))
        conditions.append(sa.or_(*(text.icontains(words, autoescape=True) for text in texts)))
    if modified_after is not None:
        conditions.append(offers.c.modified_at > modified_after)
    return sa.and_(*conditions)


def own(state: State | None = None) -> sa.ColumnElement[bool]:
    """Our offers, in that state or in any."""
    return sa.and_(offers.c.owner.is_(None), *([] if state is None else [offers.c.state == state]))


@dataclass(frozen=True, slots=True)
class Found:
    """One page of what was found, and how many there are in all."""

    total: int
    offers: tuple[Offer, ...]


async def find(tx: AsyncConnection, matches: sa.ColumnElement[bool], *, page: int, per_page: int) -> Found:
    """That page (the first is 1) of the matching offers, oldest first: pages stay as they are when offers are added."""
    total = (await tx.execute(sa.select(sa.func.count()).select_from(offers).where(matches))).scalar_one()
    rows = sa.select(*_columns).where(matches).order_by(offers.c.id).limit(per_page).offset((page - 1) * per_page)
    return Found(total, tuple(_offer(row) for row in await tx.execute(rows)))


async def one(tx: AsyncConnection, matches: sa.ColumnElement[bool], offer: UUID) -> Offer | None:
    """That offer, if it matches."""
    row = (await tx.execute(sa.select(*_columns).where(matches, offers.c.id == offer))).first()
    return None if row is None else _offer(row)


async def organizations(tx: AsyncConnection, matches: sa.ColumnElement[bool]) -> tuple[told.Organization, ...]:
    """Who carries the matching offers out, each once, by name."""
    found = sa.cast(offers.c.content["organization"], sa.Text)
    rows = (await tx.execute(sa.select(found).where(matches).distinct())).scalars()
    known = {carrier.id: carrier for carrier in map(told.Organization.model_validate_json, rows)}
    return tuple(sorted(known.values(), key=lambda carrier: (carrier.name, carrier.id)))
