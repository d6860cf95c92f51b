"""HTTP with the real executor on a real database: keys, versions, weather, views that can only read."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.executor import Executor, Step
from chassis.http import Body, Call, Problem, Routes, anyone, build, people
from chassis.transitions import Refused
from contracts.new_ids import new_id
from tests.chassis.http_service import NOW, a_gate, bearer
from tests.chassis.test_executor import BOXES, Break, Put, Reason, balls
from tests.chassis.test_executor import database as database  # noqa: PLC0414  # a fixture shared by its name
from tests.chassis.test_executor import executor as executor  # noqa: PLC0414  # a fixture shared by its name

PROBLEMS = {Reason.TOO_MANY: Problem(HTTPStatus.CONFLICT, "The box is full.")}
routes = Routes()


class PutBody(Body):
    """How many balls."""

    balls: int


class BoxView(BaseModel):
    """A box as it is."""

    id: UUID
    version: int
    balls: int


@routes.command("POST", "/boxes/{box}/balls", allow=people("painter"), answer=BoxView)
def put(_: Call, box: UUID, body: PutBody) -> Step:
    """Put balls into it; a hundred break it."""
    return Step("box", box, Break() if body.balls == 100 else Put(body.balls))


@routes.view("/boxes/{box}", allow=people("painter"))
async def look(_: Call, tx: AsyncConnection, box: UUID) -> BoxView | Refused:
    """Look into it."""
    row = (await tx.execute(sa.select(BOXES).where(BOXES.c.id == box))).one_or_none()
    return Refused(Reason.TOO_MANY, unknown=box) if row is None else BoxView(**row._mapping)


@routes.view("/emptied", allow=anyone())
async def empty(_: Call, tx: AsyncConnection) -> BoxView:
    """A view that tries to write."""
    await tx.execute(sa.delete(BOXES))
    raise AssertionError


@pytest.fixture
async def client(executor: Executor, database: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    app = build(
        routes, service="boxes", problems=PROBLEMS, gate=a_gate(), executor=executor, views=database, resources=None,
        fingerprint_key=bytes(32), version="1", ready=_ready, new_id=new_id, clock=lambda: NOW,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://boxes.example") as found:
        found.headers["authorization"] = bearer()
        yield found


async def _ready() -> bool:
    return True


def put_into(client: httpx.AsyncClient, box: UUID, balls: int, key: str, **headers: str) -> Any:
    said = {"idempotency-key": key, **headers}
    return client.post(f"/boxes/{box}/balls", json={"balls": balls}, headers=said)


async def test_the_same_command_sent_at_once_and_later_has_one_effect(
    client: httpx.AsyncClient, database: AsyncEngine
) -> None:
    box = new_id()
    answers = await asyncio.gather(*(put_into(client, box, 2, "same") for _ in range(10)))
    answers.append(await put_into(client, box, 2, "same"))
    assert {(answer.status_code, answer.content, answer.headers["etag"]) for answer in answers} == {
        (200, answers[0].content, '"1"')
    }
    assert [answer.headers.get("idempotency-replayed") for answer in answers].count(None) == 1
    assert await balls(database, box) == 2
    other = await put_into(client, box, 3, "same")
    assert other.json()["type"] == "/problems/http/key-reused"
    assert (await put_into(client, box, 2, "same")).status_code == 200


async def test_a_stale_version_is_refused_with_412_and_repeated_as_such(client: httpx.AsyncClient) -> None:
    box = new_id()
    await put_into(client, box, 1, "k1")
    for _ in range(2):
        stale = await put_into(client, box, 1, "k2", **{"if-match": '"0"'})
        assert (stale.status_code, stale.json()["state"]) == (412, "open")
    assert (await put_into(client, box, 1, "k3", **{"if-match": '"1"'})).headers["etag"] == '"2"'


async def test_a_view_shows_what_was_committed_with_its_version(client: httpx.AsyncClient) -> None:
    box = new_id()
    await put_into(client, box, 4, "k1")
    seen = await client.get(f"/boxes/{box}")
    assert (seen.json()["balls"], seen.headers["etag"]) == (4, '"1"')
    assert (await client.get(f"/boxes/{new_id()}")).status_code == 404


async def test_a_view_cannot_write(client: httpx.AsyncClient, database: AsyncEngine) -> None:
    box = new_id()
    await put_into(client, box, 4, "k1")
    assert (await client.get("/emptied")).json()["type"] == "/problems/http/bug"
    assert await balls(database, box) == 4


async def test_a_bug_is_not_kept_under_its_key(client: httpx.AsyncClient) -> None:
    box = new_id()
    assert (await put_into(client, box, 100, "k1")).status_code == 500
    assert (await put_into(client, box, 1, "k1")).status_code == 200


async def test_a_refusal_is_kept_under_its_key(client: httpx.AsyncClient) -> None:
    box = new_id()
    for _ in range(2):
        full = await put_into(client, box, 11, "k1")
        assert full.json() == {
            "type": "/problems/boxes/too-many", "title": "The box is full.", "status": 409, "state": "none",
            "allowed": [],
        }
    assert full.headers["idempotency-replayed"] == "true"
