"""How own copies of intake's cases are loaded and saved."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Statement, among_ids, upsert
from chassis.executor import Kind
from contracts.codes import AgeBand, Need, Phase
from contracts.ids import CaseId, PersonId
from services.handover import domain
from services.handover.domain import CaseState, KnownCase
from services.handover.store.tables import known_cases

KNOWN_CASE: Final = "known_case"
_THESE: Final = sa.select(known_cases).where(among_ids(known_cases.c.id)).order_by(known_cases.c.id)
_READ, _LOCKED = Statement(_THESE), Statement(_THESE.with_for_update())


async def known(tx: AsyncConnection, ids: Iterable[UUID], *, locked: bool = False) -> dict[UUID, KnownCase]:
    """The copies there are of these cases; `locked` where they are about to change."""
    wanted = list(ids)
    if not wanted:
        return {}
    read = _LOCKED if locked else _READ
    return {row.id: _known_case(row) for row in await read(tx, {"ids": wanted})}


def _known_case(row: Any) -> KnownCase:
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
    found = await known(tx, wanted, locked=True)
    return {id: found.get(id) or KnownCase(CaseId(id)) for id in wanted}


async def _save_cases(tx: AsyncConnection, changed: Sequence[tuple[KnownCase, KnownCase]]) -> None:
    rows = [
        {
            "id": case.id,
            "version": case.version,
            "state": str(case.state),
            "person": case.person,
            "phase": None if case.phase is None else int(case.phase),
            "age_band": None if case.age_band is None else str(case.age_band),
            "needs": [str(need) for need in case.needs],
        }
        for _, case in changed
    ]
    await upsert(tx, known_cases, rows)


def _answer_case(case: KnownCase) -> Mapping[str, JsonValue]:
    return {"id": str(case.id), "state": str(case.state), "version": case.version, "allowed": []}


KNOWN_CASES: Final[Kind[KnownCase]] = Kind(KNOWN_CASE, _load_cases, _save_cases, domain.learn, _answer_case)
