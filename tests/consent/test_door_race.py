"""Withdrawal against release, on real PostgreSQL: not one byte leaves after the answer "withdrawn".

Both sides are the real code, over ASGI: the whole command with intent, executor and held-back answer against the whole
door with its neighbours. What is measured is the last moment at which the process handed bytes to the server, on the
same monotonic clock as the moment of the answer. Two ways to build it wrong are tried in the same harness: if it did
not notice them, its silence about the right way would say nothing.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import transaction
from chassis.http.send import Aborted
from contracts.codes import AgeBand, Role
from contracts.ids import ConsentId, HandoverRef
from contracts.new_ids import new_id
from services.consent.domain.words import Person
from services.consent.store import leases
from services.consent.store.persons import save_persons
from tests.conftest import Say
from tests.consent.builders import Story, an_item
from tests.consent.conftest import Consenting, Neighbours, party_token, token

RACES, RACES_IN_A_PROOF = 120, 2_000  # built wrong, every tenth leaks
WRONG_RACES = 40
READERS = 2
SIDE_BY_SIDE = 4
WARM_UP = 10
PAUSE_SECONDS_MAX = 0.02  # a reader of the network takes its time
HOLD_SECONDS = 0.2  # so long a withdrawal is let go first, in every fourth race: after a decision, after a first piece
HELD_EVERY = 4


@dataclass
class Race:
    """One person, one handover, and what happened."""

    person: Person
    consent: ConsentId
    handover: HandoverRef
    held: bool
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    answered_at: float = 0.0
    last_byte_at: float = 0.0
    released: int = 0
    aborted: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def leaked(self) -> bool:
        """Whether bytes left after the answer."""
        return self.last_byte_at > self.answered_at


RACING: dict[UUID, Race] = {}


def prepared(neighbours: Neighbours, number: int) -> Race:
    """A person whose items are permitted and whose handover is accepted."""
    story = Story(AgeBand.FROM_18_TO_20)
    consent = story.gives()
    item = neighbours.put("x" * 50_000)
    handover = story.proposes(an_item(id=item))
    neighbours.handovers[handover] = "accepted"
    race = RACING[story.person.id] = Race(story.person, consent, handover, number % HELD_EVERY == 0)
    return race


async def call(
    app: Any, path: str, body: dict[str, Any], headers: dict[str, str], on_bytes: Callable[[bytes], Awaitable[None]]
) -> int:
    """One request over ASGI; every piece of the answer's body is given to `on_bytes`. The status."""
    status = 0
    said = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            await on_bytes(message.get("body", b""))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "server": ("consent", 80),
        "client": ("test", 1), "headers": [(b"content-type", b"application/json"), *said],
    }
    await app(scope, receive, send)
    return status


async def fetch(consenting: Consenting, race: Race, chance: random.Random, within: float) -> None:
    """A recipient that reads slowly; in a held race it stops after the first piece for a withdrawal to be answered."""
    await asyncio.sleep(chance.uniform(0, within))
    pieces: list[bytes] = []

    async def on_bytes(piece: bytes) -> None:
        if race.held and piece and len(pieces) == 1:
            await _either(race.answered, HOLD_SECONDS)
        await asyncio.sleep(chance.uniform(0, PAUSE_SECONDS_MAX))
        if piece:
            race.last_byte_at = max(race.last_byte_at, monotonic()) if not piece.startswith(b"{") else race.last_byte_at
            pieces.append(piece)

    try:
        status = await call(
            consenting.app, "/releases", {"handover": str(race.handover)}, party_token("jugendamt"), on_bytes
        )
    except Aborted:  # its time was over: on a busy machine a slow reader does not get all of it
        race.aborted += 1
        return
    if status == 200:
        race.released += 1
    else:
        race.refused.append(json.loads(b"".join(pieces))["type"].rpartition("/")[2])


async def withdraw(consenting: Consenting, race: Race, chance: random.Random, within: float) -> None:
    """The young person takes it back: at a chance moment, or when a release has been decided and not yet opened."""
    if race.held:
        await _either(race.decided, within)
    else:
        await asyncio.sleep(chance.uniform(0, within))

    async def on_bytes(piece: bytes) -> None:
        race.answered_at = race.answered_at or monotonic()
        race.answered.set()

    body = {"person": str(race.person.id)}
    headers = {"Idempotency-Key": str(new_id()), **token(Role.CASEWORKER)}
    status = await call(consenting.app, f"/consents/{race.consent}/withdrawal", body, headers, on_bytes)
    assert status == 200


async def run(consenting: Consenting, races: int, seed: int) -> list[Race]:
    """So many races, a few side by side; the seed says who starts when."""
    chance = random.Random(seed)  # noqa: S311  # chance of a test, repeatable
    everything = [prepared(consenting.neighbours, number) for number in range(races + WARM_UP)]
    async with transaction(consenting.engine) as tx:
        await save_persons(tx, [(Person(race.person.id), race.person) for race in everything])
        await tx.execute(sa.text("UPDATE person SET version = 5"))
    usual = await _warmed_up(consenting, everything[:WARM_UP], chance)
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(race: Race) -> None:
        async with gate:
            readers = [fetch(consenting, race, chance, usual) for _ in range(READERS)]
            await asyncio.gather(withdraw(consenting, race, chance, 2 * usual), *readers)

    await asyncio.gather(*(one(race) for race in everything[WARM_UP:]))
    return everything[WARM_UP:]


async def _warmed_up(consenting: Consenting, races: list[Race], chance: random.Random) -> float:
    """How long a release takes on this machine now: the withdrawal is to fall anywhere before, in or after one."""
    times = []
    for race in races:
        began = monotonic()
        await asyncio.gather(*(fetch(consenting, race, chance, 0) for _ in range(SIDE_BY_SIDE)))
        times.append(monotonic() - began)
    return sorted(times)[len(times) // 2]


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for it, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def slowly(tx: AsyncConnection, lease: leases.Lease, now: datetime, *, then: Any = leases.open_lease) -> None:
    """A transaction that takes its time between decision and lease: a withdrawal that can be answered then, will be."""
    race = RACING[lease.person]
    race.decided.set()
    if race.held:
        await _either(race.answered, HOLD_SECONDS)
    await then(tx, lease, now)


def told(races: list[Race]) -> str:
    """The figures of a run."""
    refused = [reason for race in races for reason in race.refused]
    return (
        f"{len(races)} races, {sum(race.released for race in races)} releases, "
        f"{sum(race.aborted for race in races)} aborted at their deadline, {len(refused)} refused "
        f"({refused.count('consent-withdrawn')} withdrawn, {refused.count('busy')} busy), "
        f"{sum(race.leaked for race in races)} leaks"
    )


@pytest.mark.parametrize(
    "number", [RACES, pytest.param(RACES_IN_A_PROOF, marks=[pytest.mark.prove, pytest.mark.timeout(900)])]
)
async def test_not_one_byte_leaves_after_the_answer(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch, say: Say, number: int
) -> None:
    monkeypatch.setattr(leases, "open_lease", slowly)
    seed = random.SystemRandom().randrange(2**32)
    races = await run(consenting, number, seed)
    say(f"door race, seed {seed}: {told(races)}")
    assert [race for race in races if race.leaked] == []
    assert all(race.answered_at > 0 for race in races)
    assert sum(race.released for race in races) > number // 10, "readers must have had a chance"
    assert sum(len(race.refused) for race in races) > number // 10, "withdrawals must have had a chance"
    ledger = await consenting.rows("SELECT count(*) AS n FROM release WHERE closed_at IS NULL")
    assert ledger[0].n == 0


async def plain_read(tx: AsyncConnection, of: UUID) -> datetime:
    """The wrong way: the person's row is not locked."""
    now: datetime = (await tx.execute(sa.text("SELECT clock_timestamp()"))).scalar_one()
    return now


async def never_open(tx: AsyncConnection, wanted: UUID) -> bool:
    """The wrong way: a withdrawal that does not look for open leases."""
    return False


@pytest.mark.parametrize(
    ("place", "name", "wrong"),
    [
        pytest.param(leases, "hold_person", plain_read, id="plain read instead of FOR SHARE"),
        pytest.param(leases, "leases_open", never_open, id="answered without waiting for open leases"),
    ],
)
async def test_the_harness_notices_a_door_built_wrong(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, wrong: Any, say: Say
) -> None:
    monkeypatch.setattr(leases, "open_lease", slowly)
    monkeypatch.setattr(place, name, wrong)
    races = await run(consenting, WRONG_RACES, seed=1)
    say(f"planted {wrong.__name__}: {told(races)}")
    assert any(race.leaked for race in races)
