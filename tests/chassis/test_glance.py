"""One look a second at all that nobody tells a process: each concern is seen, and whoever must act is woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import standing
from chassis.service import Running
from chassis.standing import Glance

NOTHING = Glance(
    restored=False, brakes=0, seat=None, unsent=False, errands_due=False, lanes_due=False, deadlines_due=False,
    next_deadline=None,
)  # fmt: skip
ROWS = {
    "restored": "INSERT INTO restoration (findings) VALUES ('[]')",
    "unsent": "INSERT INTO outbox (pos, topic, key) VALUES (1, 't', gen_random_uuid())",
    "errands_due": """INSERT INTO errand (name, subject, key, id, about)
                      VALUES ('call', gen_random_uuid(), 'k', gen_random_uuid(), '{}')""",
    "lanes_due": """INSERT INTO parked (consumer, topic, key, seq, event_id, type, partition, "offset", headers,
                                        payload, error_class, reason, next_attempt_at)
                    VALUES ('a.boxes', 't', gen_random_uuid(), 1, gen_random_uuid(), 'x', 0, 0, '[]', '', 'refused',
                            'no', clock_timestamp())""",
    "deadlines_due": """INSERT INTO deadline (kind, subject, id, due_at)
                        VALUES ('wait', gen_random_uuid(), gen_random_uuid(), clock_timestamp())""",
}


def with_(concern: str) -> Glance:
    fields: dict[str, Any] = {concern: 1 if concern == "brakes" else True}
    return NOTHING._replace(**fields)


async def seen(database: AsyncEngine) -> Glance:
    async with database.connect() as tx:
        return await standing.glance(tx, "a.boxes", "0")


@pytest.mark.parametrize("concern", ROWS)
async def test_what_waits_is_seen_and_nothing_else(database: AsyncEngine, concern: str) -> None:
    assert await seen(database) == NOTHING
    async with database.begin() as tx:
        await tx.execute(sa.text(ROWS[concern]))
    assert await seen(database) == with_(concern)


async def test_how_soon_the_next_deadline_is_due_is_seen(database: AsyncEngine) -> None:
    async with database.begin() as tx:
        later = "clock_timestamp() + interval '1 hour'"
        await tx.execute(sa.text(ROWS["deadlines_due"].replace("clock_timestamp()", later)))
    found = await seen(database)
    assert found.next_deadline is not None
    assert 3500 < found.next_deadline <= 3600
    assert found._replace(next_deadline=None) == NOTHING


@pytest.mark.parametrize("concern", [*ROWS, "brakes"])
async def test_whoever_must_act_is_woken_and_nobody_else(concern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running(cast(Any, SimpleNamespace(principal="a.boxes", settings=SimpleNamespace(instance="0"))))
    relay, errands, brake = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def look() -> None:
        brake.set()

    @asynccontextmanager
    async def connect() -> AsyncIterator[None]:
        yield

    async def glance(*_: object) -> Glance:
        return with_(concern)

    parts: dict[str, Any] = {
        "_engine": SimpleNamespace(connect=connect),
        "_relay": SimpleNamespace(wake=relay.set),
        "_errands": SimpleNamespace(wake=errands.set),
        "_executor": SimpleNamespace(brake=SimpleNamespace(outdated=lambda brakes, _: brakes > 0, look=look)),
    }
    for name, part in parts.items():
        monkeypatch.setattr(running, name, part, raising=False)
    monkeypatch.setattr(standing, "glance", glance)
    wakes = {
        "restored": running._restored,
        "brakes": brake,
        "unsent": relay,
        "errands_due": errands,
        "lanes_due": running._lanes_due,
        "deadlines_due": running._deadlines_due,
    }
    looking = asyncio.create_task(running._look_around())
    try:
        await asyncio.wait_for(wakes[concern].wait(), 5)
        assert {name for name, event in wakes.items() if event.is_set()} == {concern}
    finally:
        looking.cancel()
