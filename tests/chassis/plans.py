"""How PostgreSQL has carried out a statement."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import Statement


async def settled(database: AsyncEngine) -> None:
    """Leave neither dead rows nor old statistics: a database lent before still holds what other tests deleted."""
    async with database.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(sa.text("VACUUM (ANALYZE)"))


async def explained(
    database: AsyncEngine, statement: sa.TextClause | Statement, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The plan as it was carried out."""
    if isinstance(statement, Statement):
        assert isinstance(statement.written, sa.TextClause)
        statement = statement.written
    explain = sa.text(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement.text}")
    typed = explain.bindparams(*(each for name, each in statement._bindparams.items() if name in values))
    async with database.connect() as tx:  # and rolled back
        found = (await tx.execute(typed, values)).scalar_one()
    (plan,) = json.loads(found) if isinstance(found, str) else found
    return dict(plan["Plan"])


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The plan and everything under it."""
    yield plan
    for under in plan.get("Plans", ()):
        yield from nodes(under)


def pages(plan: Mapping[str, Any]) -> int:
    """How many pages of 8 KB were looked at."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def by_index(plan: Mapping[str, Any]) -> bool:
    """Whether no table was read through."""
    return not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
