"""Why the door locks the person's row FOR SHARE, and nothing weaker: four ways that look as good, and leak.

Each is tried at the worst moment, in the same order on real PostgreSQL: the door has looked and not yet committed; the
withdrawal comes, and if it can, commits, looks for open releases, finds none and is answered; then the door commits,
and its bytes leave. A way holds only if the withdrawal cannot commit in between, or the door cannot afterwards.
The withdrawal is the weakest there is, one UPDATE: what holds against it holds against every other one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.conftest import NewEngine, Say

WAITS_SECONDS = 1.0  # a withdrawal that has not got through by then waits for the door
GETS_THROUGH_SECONDS = 30.0  # however busy the machine is
TABLES = (
    "CREATE TABLE permission (id int PRIMARY KEY, state text NOT NULL)",
    "CREATE TABLE sent (id int PRIMARY KEY, permission int NOT NULL)",
    "INSERT INTO permission VALUES (1, 'given')",
)
LOOK = "SELECT state FROM permission WHERE id = 1"


@dataclass(frozen=True)
class Way:
    """How the door looks and how it writes down that something leaves; `isolation` is that of both sides."""

    looks: str
    writes: str = "INSERT INTO sent VALUES (1, 1)"
    isolation: str = "READ COMMITTED"


RIGHT = Way(f"{LOOK} FOR SHARE")
WRONG = {
    "plain read": Way(LOOK),
    "conditional insert": Way(
        "SELECT 'given'", "INSERT INTO sent SELECT 1, id FROM permission WHERE id = 1 AND state = 'given'"
    ),
    "for key share": Way(f"{LOOK} FOR KEY SHARE"),
    "serializable": Way(LOOK, isolation="SERIALIZABLE"),
}


@pytest.fixture
async def database(new_engine: NewEngine) -> AsyncEngine:
    engine = await new_engine(None)
    async with engine.begin() as tx:
        for statement in TABLES:
            await tx.execute(sa.text(statement))
    return engine


@asynccontextmanager
async def session(engine: AsyncEngine, way: Way) -> AsyncIterator[AsyncConnection]:
    """A transaction of that isolation."""
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level=way.isolation)


async def withdraws(engine: AsyncEngine, way: Way) -> bool:
    """Take it back; the answer is given if no release is open, and then no byte may follow it."""
    async with session(engine, way) as tx:
        await tx.execute(sa.text("UPDATE permission SET state = 'withdrawn' WHERE id = 1"))
        await tx.commit()
    async with engine.connect() as tx:  # looks again and again: in no transaction of the withdrawal's
        return bool((await tx.execute(sa.text("SELECT count(*) = 0 FROM sent"))).scalar_one())


async def leaks(engine: AsyncEngine, way: Way, seconds: float = GETS_THROUGH_SECONDS) -> bool:
    """Whether bytes leave after the answer; a withdrawal that waits for the door is given so long."""
    async with session(engine, way) as door:
        if way is WRONG["conditional insert"]:
            await door.execute(sa.text(way.writes))  # its look and its writing are one statement
        looked = (await door.execute(sa.text(way.looks))).scalar_one()
        assert looked == "given"
        withdrawal = asyncio.create_task(withdraws(engine, way))
        done, _ = await asyncio.wait({withdrawal}, timeout=seconds)
        sends = await _commits(door, way)
    answered = await withdrawal
    return bool(done) and answered and sends


async def _commits(door: AsyncConnection, way: Way) -> bool:
    """Whether the door may send: its release is committed."""
    try:
        if way is not WRONG["conditional insert"]:
            await door.execute(sa.text(way.writes))
        await door.commit()
    except DBAPIError:
        await door.rollback()
        return False
    async with door.begin():
        count: Any = (await door.execute(sa.text("SELECT count(*) FROM sent"))).scalar_one()
    return bool(count)


@pytest.mark.parametrize("name", WRONG)
async def test_a_way_that_does_not_keep_the_withdrawal_out_lets_bytes_follow_its_answer(
    database: AsyncEngine, name: str, say: Say
) -> None:
    """Whoever simplifies the door to one of these finds this test still green, and `test_door_race` red."""
    leaked = await leaks(database, WRONG[name])
    say(f"door built as {name}: {'leaks' if leaked else 'holds'}")
    assert leaked


async def test_the_row_locked_for_share_makes_the_withdrawal_wait_until_the_release_can_be_seen(
    database: AsyncEngine,
) -> None:
    assert not await leaks(database, RIGHT, WAITS_SECONDS)
