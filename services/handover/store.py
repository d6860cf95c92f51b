"""What the handover service remembers, how whole handovers are loaded and saved, and what the views read."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import upsert
from chassis.executor import Kind
from contracts.alliance import Alliance
from contracts.codes import (
    END_STATES,
    AgeBand,
    CompetenceArea,
    DataCategory,
    HandoverState,
    Need,
    Outcome,
    Phase,
    Purpose,
    Side,
    Urgency,
)
from contracts.codes import Kind as HandoverKind
from contracts.consent import DecidedItem
from contracts.handover import Preview
from contracts.ids import AgencyId, AllianceId, CaseId, HandoverRef, ItemId, PersonId
from services.handover import domain
from services.handover.domain import Around, CaseState, Clock, Handover, KnownCase, Matter, commands

HANDOVER: Final = "handover"
KNOWN_CASE: Final = "known_case"
NEEDS_CASE: Final = (commands.Propose, commands.CutPackage)  # what asks about the case of a handover that exists

# --- tables -----------------------------------------------------------------------------------------------------------

metadata = sa.MetaData()
_instant = sa.DateTime(timezone=True)

handovers = sa.Table(
    "handover",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("alliance", sa.Text, nullable=False),
    sa.Column("counterpart", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("urgency", sa.Text, nullable=False),
    sa.Column("competence_area", sa.Text, nullable=False),
    sa.Column("case", sa.Uuid),
    sa.Column("person", sa.Uuid),
    sa.Column("items", ARRAY(sa.Uuid), nullable=False),
    sa.Column("verdicts", JSONB, nullable=False),
    sa.Column("preview", JSONB(none_as_null=True)),
    sa.Column("lead", sa.Boolean, nullable=False),
    sa.Column("recorded", sa.Text),
    sa.Column("awaits_word", sa.Boolean, nullable=False),
    sa.Column("holds_baton", sa.Boolean, nullable=False),
    sa.Column("asked", ARRAY(sa.Text), nullable=False),
    sa.Column("review_on", sa.Date),
    sa.Column("redirect_to", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Column("due", JSONB, nullable=False),
    sa.Column("struck", ARRAY(sa.Text), nullable=False),
    sa.Column("drafted_at", _instant),
    sa.Column("changed_at", _instant),
    sa.Column("requested_at", _instant),
    sa.Column("accepted_at", _instant),
    sa.Column("met_at", _instant),
    sa.Column("ended_at", _instant),
    sa.Index("handover_case", "case"),
    sa.Index("handover_listed", "side", "state", "id"),
)

known_cases = sa.Table(
    "known_case",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("person", sa.Uuid),
    sa.Column("phase", sa.SmallInteger),
    sa.Column("age_band", sa.Text),
    sa.Column("needs", ARRAY(sa.Text), nullable=False),
)

# The chassis' own tables, as far as a timeline reads them.
_log = sa.table(
    "event_log", *(sa.column(name) for name in ("topic", "key", "seq", "type", "headers", "created_at", "pos"))
)
_inbox = sa.table(
    "inbox",
    *(sa.column(name) for name in ("subject", "topic", "key", "seq", "type", "traceparent", "heard_at")),
)

# --- handovers --------------------------------------------------------------------------------------------------------

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


def _handover(row: sa.Row[Any], around: Around) -> Handover:
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


def _matter(row: sa.Row[Any]) -> Matter:
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
        statement = sa.select(handovers).where(handovers.c.id.in_(wanted)).order_by(handovers.c.id).with_for_update()
        rows = {row.id: row for row in await tx.execute(statement)}
        cases = {id: _case_asked_about(said, rows.get(id)) for id, said in wanted.items()}
        known = await _known(tx, {case for case in cases.values() if case is not None})
        loaded = {}
        for id, said in wanted.items():
            row, case = rows.get(id), cases[id]
            around = Around(home, agreed.get(_alliance(said, row)), None if case is None else known.get(case))
            loaded[id] = Handover(HandoverRef(id), around=around) if row is None else _handover(row, around)
        return loaded

    return Kind(HANDOVER, load, _save, domain.decide, _answer, domain.reserves)


def _alliance(said: Sequence[object], row: sa.Row[Any] | None) -> AllianceId:
    """Whose agreements count: those of the handover, or of the word that begins it."""
    if row is not None:
        return AllianceId(row.alliance)
    beginnings = (command for command in said if isinstance(command, commands.Draft | commands.Requested))
    return next((command.matter.alliance for command in beginnings), AllianceId(""))


def _case_asked_about(said: Sequence[object], row: sa.Row[Any] | None) -> UUID | None:
    """The case that conditions will ask about, where one of the commands has such a condition."""
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


# --- own copies of cases ----------------------------------------------------------------------------------------------


async def _known(tx: AsyncConnection, ids: Iterable[UUID], *, locked: bool = False) -> dict[UUID, KnownCase]:
    wanted = list(ids)
    if not wanted:
        return {}
    statement = sa.select(known_cases).where(known_cases.c.id.in_(wanted)).order_by(known_cases.c.id)
    if locked:
        statement = statement.with_for_update()
    return {row.id: _known_case(row) for row in await tx.execute(statement)}


def _known_case(row: sa.Row[Any]) -> KnownCase:
    return KnownCase(
        id=CaseId(row.id),
        version=row.version,
        state=CaseState(row.state),
        person=None if row.person is None else PersonId(row.person),
        phase=None if row.phase is None else Phase(row.phase),
        age_band=None if row.age_band is None else AgeBand(row.age_band),
        needs=tuple(map(Need, row.needs)),
    )


async def _load_cases(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, KnownCase]:
    known = await _known(tx, wanted, locked=True)
    return {id: known.get(id) or KnownCase(CaseId(id)) for id in wanted}


async def _save_cases(tx: AsyncConnection, changed: Sequence[tuple[KnownCase, KnownCase]]) -> None:
    rows = [
        {
            "id": case.id,
            "version": case.version,
            "state": str(case.state),
            "person": case.person,
            "phase": None if case.phase is None else int(case.phase),
            "age_band": _text(case.age_band),
            "needs": [str(need) for need in case.needs],
        }
        for _, case in changed
    ]
    await upsert(tx, known_cases, rows)


def _answer_case(case: KnownCase) -> Mapping[str, JsonValue]:
    return {"id": str(case.id), "state": str(case.state), "version": case.version, "allowed": []}


KNOWN_CASES: Final[Kind[KnownCase]] = Kind(KNOWN_CASE, _load_cases, _save_cases, domain.learn, _answer_case)


async def open_handovers_of_cases(tx: AsyncConnection, cases: Sequence[UUID]) -> Mapping[UUID, Sequence[UUID]]:
    """What this agency has begun for these cases and has not ended: one query for all."""
    statement = sa.select(handovers.c.case, handovers.c.id).where(
        handovers.c.case.in_(cases),
        handovers.c.side == str(Side.SENDER),
        handovers.c.state.not_in([str(end) for end in END_STATES]),
    )
    found: dict[UUID, list[UUID]] = defaultdict(list)
    for row in await tx.execute(statement.order_by(handovers.c.id)):
        found[row.case].append(row.id)
    return found


# --- what views read --------------------------------------------------------------------------------------------------


async def find(tx: AsyncConnection, handover: UUID) -> Handover | None:
    """One handover as it is now; None where there is none here."""
    row = (await tx.execute(sa.select(handovers).where(handovers.c.id == handover))).one_or_none()
    return None if row is None else _handover(row, Around(AgencyId("")))


async def listed(
    tx: AsyncConnection, side: Side, states: Sequence[HandoverState], before: UUID | None, limit: int
) -> Sequence[Handover]:
    """Handovers of one side, the youngest first; `before` is the last one of the page before."""
    statement = sa.select(handovers).where(handovers.c.side == str(side))
    if states:
        statement = statement.where(handovers.c.state.in_([str(state) for state in states]))
    if before is not None:
        statement = statement.where(handovers.c.id < before)
    rows = await tx.execute(statement.order_by(handovers.c.id.desc()).limit(limit))
    return [_handover(row, Around(AgencyId(""))) for row in rows]


async def stuck(tx: AsyncConnection, after: UUID | None, limit: int) -> Sequence[Handover]:
    """Handovers a clock of which has struck, or which await a word, and which have not been settled: oldest first."""
    open_ones = handovers.c.state.not_in([str(end) for end in END_STATES])
    calls = sa.and_(open_ones, sa.func.cardinality(handovers.c.struck) > 0)
    statement = sa.select(handovers).where(sa.or_(calls, handovers.c.awaits_word))
    if after is not None:
        statement = statement.where(handovers.c.id > after)
    rows = await tx.execute(statement.order_by(handovers.c.id).limit(limit))
    return [_handover(row, Around(AgencyId(""))) for row in rows]


async def told(tx: AsyncConnection, handover: UUID, limit: int) -> Sequence[sa.Row[Any]]:
    """What this service said about a handover, at home and across, the latest first."""
    columns = (_log.c.created_at.label("at"), _log.c.topic, _log.c.seq, _log.c.type, _log.c.headers)
    statement = sa.select(*columns).where(_log.c.key == handover).order_by(_log.c.pos.desc()).limit(limit)
    return (await tx.execute(statement)).all()


async def heard(tx: AsyncConnection, handover: UUID, case: UUID | None, limit: int) -> Sequence[sa.Row[Any]]:
    """What this service heard that concerned a handover, from its own agency and from the other, the latest first."""
    columns = (_inbox.c.heard_at.label("at"), _inbox.c.topic, _inbox.c.seq, _inbox.c.type, _inbox.c.traceparent)
    keys = [handover] if case is None else [handover, case]
    statement = sa.select(*columns).where(_inbox.c.key.in_(keys), _inbox.c.subject == handover)
    return (await tx.execute(statement.order_by(_inbox.c.heard_at.desc()).limit(limit))).all()
