"""Deadlines that are not due and errands that are put off: a million of them cost those that are at hand nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import deadlines, errands, standing
from chassis.database import Statement
from chassis.executor import looking
from contracts.new_ids import new_id
from tests.chassis.plans import explained, pages, settled
from tests.conftest import NewEngine

ROWS = 50_000
PAGES_MAX = 60  # of 8 KB; each of the two tables has more than five hundred
RESTING = """
    INSERT INTO deadline (kind, subject, id, due_at)
    SELECT 'shut', gen_random_uuid(), gen_random_uuid(), now() + interval '1 day' * n
    FROM generate_series(1, :rows) AS n;
    INSERT INTO errand (name, subject, key, id, about, next_at)
    SELECT 'call', gen_random_uuid(), '', gen_random_uuid(), '{}', 'infinity' FROM generate_series(1, :rows)
"""
ONE, ID = [new_id()], [new_id()]
NOBODY: Mapping[str, Any] = {
    "consumer": "a.boxes", "events": [], "topics": [], "keys": [], "due_kinds": [], "due_subjects": [], "deadlines": [],
    "errand_names": [], "errand_subjects": [], "errand_keys": [], "errands": [],
}  # fmt: skip
BOTH = {"due_kinds": ["shut"], "due_subjects": ONE, "deadlines": ID, "errand_names": ["call"], "errand_subjects": ONE,
        "errand_keys": [""], "errands": ID}  # fmt: skip
STATEMENTS: Mapping[str, tuple[sa.TextClause | Statement, Mapping[str, Any]]] = {
    "a transaction that asks about neither": (looking._LOOK, NOBODY),
    "a transaction that asks about one of both": (looking._LOOK, {**NOBODY, **BOTH}),
    "the look of each second": (standing._GLANCE, {"consumer": "a.boxes", "instance": "0"}),
    "what is due": (deadlines._DUE, {"limit": 200}),
    "one that is put off": (
        deadlines._POSTPONE, {"kinds": ["shut"], "subjects": ONE, "ids": ID, "reasons": ["x"], "seconds": 1.0}
    ),
    "errands that are taken": (errands._TAKE, {"names": ["call"], "room": 16, "lease": 30, "instance": "0"}),
    "an errand that has come back": (errands._FORGET, {"names": ["call"], "subjects": ONE, "keys": [""], "ids": ID}),
}  # fmt: skip


@pytest.fixture
async def database(new_engine: NewEngine) -> AsyncEngine:
    found = await new_engine(None)
    async with found.begin() as tx:
        for statement in RESTING.split(";"):
            await tx.execute(sa.text(statement), {"rows": ROWS})
    await settled(found)
    return found


async def test_what_rests_costs_nothing(database: AsyncEngine) -> None:
    plans = {what: await explained(database, *statement) for what, statement in STATEMENTS.items()}
    dear = {what: (pages(plan), plan) for what, plan in plans.items() if pages(plan) > PAGES_MAX}
    assert not dear
