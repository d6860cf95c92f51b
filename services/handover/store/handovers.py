"""How whole handovers are loaded, with what their conditions ask about, and saved."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Statement, among, among_ids, upsert
from chassis.deadlines import WaitsFor
from chassis.executor import Kind
from contracts.alliance import Alliance
from contracts.codes import (
    END_STATES,
    CompetenceArea,
    DataCategory,
    HandoverState,
    Outcome,
    Purpose,
    Service,
    Side,
    Urgency,
)
from contracts.codes import Kind as HandoverKind
from contracts.consent import DecidedItem
from contracts.handover import HandoverChanged, HandoverProposed, Preview
from contracts.ids import AgencyId, AllianceId, HandoverRef, ItemId
from contracts.topics import channel, own
from services.handover import domain
from services.handover.domain import Around, Clock, Handover, Matter, commands
from services.handover.store.known_cases import known
from services.handover.store.tables import handovers

HANDOVER: Final = "handover"
NEEDS_CASE: Final = (commands.Propose, commands.CutPackage)  # what asks about the case of a handover that exists

_LOCKED: Final = Statement(
    sa.select(handovers).where(among_ids(handovers.c.id)).order_by(handovers.c.id).with_for_update()
)
AS_TEXT: Final = ("side", "state", "recorded", "reason", "outcome", "redirect_to")
AS_IS: Final = (
    "id", "version", "case", "person", "lead", "awaits_word", "holds_baton", "review_on",
    "drafted_at", "changed_at", "requested_at", "accepted_at", "met_at", "ended_at",
)
OF_THE_MATTER: Final = ("alliance", "counterpart", "kind", "purpose", "urgency", "competence_area")


def _values(handover: Handover) -> dict[str, Any]:
    """A handover as a row."""
    row: dict[str, Any] = {name: getattr(handover, name) for name in AS_IS}
    row |= {name: _text(getattr(handover, name)) for name in AS_TEXT}
    row |= {name: str(getattr(handover.matter, name)) for name in OF_THE_MATTER}
    return row | {
        "items": list(handover.items),
        "verdicts": [verdict.model_dump(mode="json") for verdict in handover.verdicts],
        "preview": None if handover.preview is None else handover.preview.model_dump(mode="json"),
        "asked": [str(category) for category in handover.asked],
        "due": {str(clock): due.isoformat() for clock, due in handover.due.items()},
        "struck": sorted(map(str, handover.struck)),
    }


def _text(value: str | None) -> str | None:
    return None if value is None else str(value)


def as_handover(row: Any, around: Around) -> Handover:
    """A row as a handover."""
    return Handover(
        **{name: getattr(row, name) for name in AS_IS},
        side=Side(row.side),
        state=HandoverState(row.state),
        matter=_matter(row),
        items=tuple(map(ItemId, row.items)),
        verdicts=tuple(DecidedItem.model_validate(verdict, strict=False) for verdict in row.verdicts),
        preview=None if row.preview is None else Preview.model_validate(row.preview, strict=False),
        recorded=None if row.recorded is None else HandoverState(row.recorded),
        asked=tuple(map(DataCategory, row.asked)),
        redirect_to=None if row.redirect_to is None else AgencyId(row.redirect_to),
        reason=row.reason,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        due={Clock(clock): datetime.fromisoformat(due) for clock, due in row.due.items()},
        struck=frozenset(map(Clock, row.struck)),
        around=around,
    )


def _matter(row: Any) -> Matter:
    return Matter(
        alliance=AllianceId(row.alliance),
        counterpart=AgencyId(row.counterpart),
        kind=HandoverKind(row.kind),
        purpose=Purpose(row.purpose),
        urgency=Urgency(row.urgency),
        competence_area=CompetenceArea(row.competence_area),
    )


def handover_kind(home: AgencyId, alliances: Iterable[Alliance]) -> Kind[Handover]:
    """Handovers of this agency, loaded with the agreements and the own case that their conditions ask about."""
    agreed = {alliance.id: alliance for alliance in alliances}

    async def load(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Handover]:
        rows = {row.id: row for row in await _LOCKED(tx, {"ids": list(wanted)})}
        cases = {id: _case_asked_about(said, rows.get(id)) for id, said in wanted.items()}
        found = await known(tx, {case for case in cases.values() if case is not None})
        loaded = {}
        for id, said in wanted.items():
            row, case = rows.get(id), cases[id]
            around = Around(home, agreed.get(_alliance(said, row)), None if case is None else found.get(case))
            loaded[id] = Handover(HandoverRef(id), around=around) if row is None else as_handover(row, around)
        return loaded

    return Kind(HANDOVER, load, _save, domain.decide, _answer, domain.reserves)


def _alliance(said: Sequence[object], row: Any | None) -> AllianceId:
    """Whose agreements count: those of the handover, or of the word that begins it."""
    if row is not None:
        return AllianceId(row.alliance)
    beginnings = (command for command in said if isinstance(command, commands.Draft | commands.Requested))
    told = (fact.alliance for fact in said if isinstance(fact, HandoverProposed | HandoverChanged))
    return next(chain((command.matter.alliance for command in beginnings), told), AllianceId(""))


def _case_asked_about(said: Sequence[object], row: Any | None) -> UUID | None:
    """The case that conditions will ask about, where one of the commands has such a condition; or that was proposed."""
    proposed = next((fact.case for fact in said if isinstance(fact, HandoverProposed)), None)
    if proposed is not None:
        return proposed
    if row is not None:
        case: UUID | None = row.case if any(isinstance(command, NEEDS_CASE) for command in said) else None
        return case
    return next((command.case for command in said if isinstance(command, commands.Draft)), None)


async def _save(tx: AsyncConnection, changed: Sequence[tuple[Handover, Handover]]) -> None:
    await upsert(tx, handovers, [_values(after) for _, after in changed])


def _answer(handover: Handover) -> Mapping[str, JsonValue]:
    """What a command answers: no word about the case."""
    return {
        "id": str(handover.id),
        "state": str(handover.state),
        "version": handover.version,
        "allowed": list(domain.allowed(handover)),
    }


async def open_handovers_of_cases(tx: AsyncConnection, cases: Sequence[UUID]) -> Mapping[UUID, Sequence[UUID]]:
    """What this agency has begun for these cases and has not ended: one query for all."""
    statement = sa.select(handovers.c.case, handovers.c.id).where(
        among(handovers.c.case, cases),
        handovers.c.side == str(Side.SENDER),
        handovers.c.state.not_in([str(end) for end in END_STATES]),
    )
    found: dict[UUID, list[UUID]] = defaultdict(list)
    for row in await tx.execute(statement.order_by(handovers.c.id)):
        found[row.case].append(row.id)
    return found


def channels_to(home: AgencyId) -> WaitsFor:
    """On which topic the other agency's answer to a handover comes: one query for all."""

    async def channels(tx: AsyncConnection, ids: Sequence[UUID]) -> Mapping[UUID, Sequence[str]]:
        statement = sa.select(handovers.c.id, handovers.c.alliance, handovers.c.counterpart)
        rows = await tx.execute(statement.where(among(handovers.c.id, ids)))
        return {row.id: (_channel(AllianceId(row.alliance), AgencyId(row.counterpart), home),) for row in rows}

    return channels


def _channel(alliance: AllianceId, sender: AgencyId, home: AgencyId) -> str:
    return str(channel(alliance, sender, home, Service.HANDOVER))


def decisions_of(home: AgencyId) -> WaitsFor:
    """Own consent's word on a handover comes on its own topic, whichever handover it is."""
    said_at_home = (str(own(home, Service.CONSENT)),)

    async def decisions(_tx: AsyncConnection, ids: Sequence[UUID]) -> Mapping[UUID, Sequence[str]]:
        return dict.fromkeys(ids, said_at_home)

    return decisions
