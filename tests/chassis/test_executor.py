"""The executor on a real database: one transaction for many, refusals alone, repeats once, lanes in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import inbox, parking
from chassis.database import transaction, upsert
from chassis.deadlines import Due, due
from chassis.envelope import Envelope, Record, from_record, key_of, to_headers
from chassis.executor import Answer, Asked, Bug, Executor, Inner, Kind, Step, Unavailable, Work, answers, reservations
from chassis.inbox import Hear, Hearing, Meta, Source
from chassis.transitions import Arm, Context, Decided, Disarm, Errand, Fact, Refused, Reservation, Tell
from contracts.new_ids import new_id
from tests.conftest import NewEngine
from tests.counted import counted

metadata = sa.MetaData()
BOXES = sa.Table(
    "box",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer),
    sa.Column("state", sa.Text),
    sa.Column("balls", sa.Integer),
)


class State(StrEnum):
    NONE = "none"
    OPEN = "open"


class Reason(StrEnum):
    TOO_MANY = "too-many"
    TAKEN = "taken"


@dataclass(frozen=True)
class Box:
    id: UUID
    version: int = 0
    state: State = State.NONE
    balls: int = 0


@dataclass(frozen=True)
class Put:
    balls: int = 1


@dataclass(frozen=True)
class Break:
    pass


@dataclass(frozen=True)
class Claim:
    prize: str = "prize"


@dataclass(frozen=True)
class Free:
    pass


class BallsPut(BaseModel):
    type: ClassVar[str] = "test.balls.put.v1"
    box: UUID
    balls: int

    @property
    def key(self) -> UUID:
        return self.box


def decide(box: Box, command: object, context: Context) -> Decided[Box] | Refused:
    match command:
        case Put(balls) if box.balls + balls > 10:
            return Refused(Reason.TOO_MANY, box.state)
        case Put(balls):
            after = replace(box, state=State.OPEN, balls=box.balls + balls)
            return Decided(after, (Tell(BallsPut(box=box.id, balls=balls)),), deadlines=(Arm("shut", context.now),))
        case Break():
            raise ZeroDivisionError
        case Claim(prize):
            if Reservation("prize", prize) not in context.granted:
                return Refused(Reason.TAKEN)
            return Decided(replace(box, state=State.OPEN, balls=box.balls + 1), errands=(Errand("fetch", {"a": "b"}),))
        case Free():
            return Decided(replace(box, balls=0), deadlines=(Disarm("shut"),), frees=(Reservation("prize", "prize"),))
    raise TypeError


async def load(tx: AsyncConnection, ids: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Box]:
    rows = await tx.execute(sa.select(BOXES).where(BOXES.c.id.in_(list(ids))).order_by(BOXES.c.id).with_for_update())
    found = {row.id: Box(row.id, row.version, State(row.state), row.balls) for row in rows}
    return {each: found.get(each, Box(each)) for each in ids}


async def save(tx: AsyncConnection, pairs: Sequence[tuple[Box, Box]]) -> None:
    await upsert(
        tx, BOXES, [{"id": box.id, "version": box.version, "state": box.state, "balls": box.balls} for _, box in pairs]
    )


def answer(box: Box) -> Mapping[str, JsonValue]:
    return {"id": str(box.id), "version": box.version, "balls": box.balls}


def reserves(subject: UUID, command: object) -> Sequence[Reservation]:
    return (Reservation("prize", command.prize),) if isinstance(command, Claim) else ()


@dataclass(frozen=True)
class Address:
    topic: str
    subject: str
    dataschema: str
    extensions: Mapping[str, str]


def address(fact: Fact, to: str | None, scope: str | None) -> Address:
    return Address("a.boxes.events", f"boxes/{fact.key}", "urn:test", {"correlationid": str(fact.key)})


class BallsCounted(BallsPut):
    """The same fact, of which only the event's key is known here: whose box it is has to be looked up."""

    type: ClassVar[str] = "test.balls.counted.v1"


class BallsSent(BallsPut):
    """The same fact from another party, on its channel."""

    type: ClassVar[str] = "test.balls.sent.v1"


async def boxes_known(tx: AsyncConnection, keys: Sequence[UUID]) -> Mapping[UUID, Sequence[UUID]]:
    rows = await tx.execute(sa.select(BOXES.c.id).where(BOXES.c.id.in_(list(keys))))
    return {row.id: (row.id,) for row in rows}


def put_where_it_is_known(event: BallsCounted, meta: Meta) -> Sequence[Step]:
    return [Step("box", box, Put(event.balls)) for box in meta.subjects]


def put_the_same(event: BallsPut, meta: Meta) -> Sequence[Step]:
    if event.balls == 7:
        raise LookupError("seven")
    return [Step("box", event.box, Put(event.balls))]


HEARING = Hearing(
    [
        Hear(BallsPut, put_the_same),
        Hear(BallsCounted, put_where_it_is_known, of=boxes_known),
        Hear(BallsSent, put_the_same, origin="channel"),
    ],
    {
        "b.boxes.events": Source("b.boxes", "own"),
        "x.b.to.a.boxes": Source("b.boxes", "channel", "x"),
        "x.c.to.a.boxes": Source("c.boxes", "channel", "x"),
    },
    scope_attribute="scope",
    version_attribute="scopeversion",
)


def render(outcome: Mapping[str, JsonValue] | Refused) -> Answer:
    if isinstance(outcome, Refused):
        return Answer(409, json.dumps({"reason": outcome.reason}).encode())
    return Answer(200, json.dumps(outcome).encode())


def asked(key: str, *steps: Step, fingerprint: bytes = b"f") -> Work:
    return Work(Asked("caller", key, fingerprint, render), steps)


def record(
    box: UUID,
    seq: int,
    balls: int = 1,
    *,
    event: UUID | None = None,
    topic: str = "b.boxes.events",
    type: str = BallsPut.type,
    body: bytes | None = None,
) -> Record:
    envelope = Envelope(
        event or new_id(), type, "urn:staffel:b:boxes", f"boxes/{box}", datetime.now(UTC), "urn:test", seq, {}, None
    )
    payload = body if body is not None else BallsPut(box=box, balls=balls).model_dump_json().encode()
    return from_record(topic, 0, seq, key_of(box), to_headers(envelope), payload)


@pytest.fixture
async def database(new_engine: NewEngine) -> AsyncEngine:
    found = await new_engine(None)
    async with transaction(found) as tx:
        await tx.run_sync(metadata.create_all)
    return found


@pytest.fixture
async def executor(database: AsyncEngine) -> AsyncIterator[Executor]:
    kind = Kind("box", load, save, decide, answer, reserves)
    made = Executor(
        database,
        [kind],
        consumer="a.boxes",
        source="urn:staffel:a:boxes",
        hearing=HEARING,
        address=address,
        new_id=new_id,
        seal=bytes(32),
    )
    await made.start()
    yield made
    await made.stop()


async def rows(database: AsyncEngine, statement: str) -> list[tuple[object, ...]]:
    async with database.connect() as connection:
        return [tuple(row) for row in await connection.execute(sa.text(statement))]


async def balls(database: AsyncEngine, box: UUID) -> int:
    async with database.connect() as connection:
        found = (await connection.execute(sa.select(BOXES.c.balls).where(BOXES.c.id == box))).scalar()
        return int(found or 0)


async def test_a_command_changes_its_subject_and_tells_it_in_one_transaction(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    result = await executor.run(asked("k1", Step("box", box, Put(2)), Step("box", box, Put(3))))
    assert result is not None
    assert json.loads(result.body) == {"id": str(box), "version": 2, "balls": 5}
    assert await rows(database, "SELECT seq, topic FROM event_log ORDER BY pos") == [
        (1, "a.boxes.events"),
        (2, "a.boxes.events"),
    ]
    assert await rows(database, "SELECT count(*) FROM outbox") == [(2,)]


async def test_all_steps_of_an_item_happen_or_none(executor: Executor, database: AsyncEngine) -> None:
    box, other = new_id(), new_id()
    result = await executor.run(asked("k1", Step("box", box, Put(2)), Step("box", other, Put(11))))
    assert result is not None
    assert result.status == 409
    assert (await balls(database, box), await balls(database, other)) == (0, 0)
    assert await rows(database, "SELECT count(*) FROM event_log") == [(0,)]


async def test_a_hundred_commands_share_few_commits_and_a_refusal_or_bug_is_its_own(
    executor: Executor, database: AsyncEngine
) -> None:
    boxes = [new_id() for _ in range(100)]
    steps = [Step("box", box, Put(11) if n == 50 else Break() if n == 51 else Put()) for n, box in enumerate(boxes)]
    results = await asyncio.gather(
        *(executor.run(asked(f"k{n}", step)) for n, step in enumerate(steps)), return_exceptions=True
    )
    assert [n for n, result in enumerate(results) if isinstance(result, Answer) and result.status == 409] == [50]
    assert [n for n, result in enumerate(results) if isinstance(result, Bug)] == [51]
    assert sum([await balls(database, box) for box in boxes]) == 98
    transactions = await rows(database, "SELECT count(DISTINCT xmin::text) FROM box")
    assert int(str(transactions[0][0])) <= 10


async def test_the_same_key_gets_the_same_answer_and_another_body_under_it_is_refused(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    first, repeat = await asyncio.gather(
        executor.run(asked("same", Step("box", box, Put()))), executor.run(asked("same", Step("box", box, Put())))
    )
    later = await executor.run(asked("same", Step("box", box, Put())))
    foreign = await executor.run(asked("same", Step("box", box, Put()), fingerprint=b"other"))
    assert first is not None
    assert repeat is not None
    assert later is not None
    assert foreign is not None
    assert first.body == repeat.body == later.body
    assert (later.replayed, foreign.status) == (True, 409)
    assert await balls(database, box) == 1


async def test_a_refusal_is_repeated_and_a_bug_is_not_kept(executor: Executor, database: AsyncEngine) -> None:
    box = new_id()
    assert (await executor.run(asked("no", Step("box", box, Put(11)))) or Answer(0, b"")).status == 409
    assert (await executor.run(asked("no", Step("box", box, Put(11)))) or Answer(0, b"")).replayed
    with pytest.raises(Bug):
        await executor.run(asked("bug", Step("box", box, Break())))
    assert await rows(database, "SELECT count(*) FROM answer") == [(1,)]


async def test_a_stale_tab_is_refused(executor: Executor) -> None:
    box = new_id()
    await executor.run(asked("k1", Step("box", box, Put())))
    stale = await executor.run(asked("k2", Step("box", box, Put(), expected_version=0)))
    assert stale is not None
    assert json.loads(stale.body) == {"reason": "stale-version"}


async def test_only_one_holds_a_reservation_until_it_frees_it(executor: Executor, database: AsyncEngine) -> None:
    boxes = [new_id() for _ in range(10)]
    results = await asyncio.gather(*(executor.run(asked(f"c{box}", Step("box", box, Claim()))) for box in boxes))
    winners = [box for box, result in zip(boxes, results, strict=True) if result is not None and result.status == 200]
    assert len(winners) == 1
    await executor.run(Work(Inner("free"), (Step("box", winners[0], Free()),)))
    again = await executor.run(asked("again", Step("box", boxes[-1], Claim())))
    assert again is not None
    assert again.status == 200
    assert await rows(database, "SELECT holder FROM reservation") == [(boxes[-1],)]


async def test_a_refused_reservation_is_given_back(executor: Executor, database: AsyncEngine) -> None:
    box = new_id()
    await executor.run(asked("k", Step("box", box, Claim()), Step("box", box, Put(11))))
    assert await rows(database, "SELECT count(*) FROM reservation") == [(0,)]


async def test_an_event_heard_twice_has_one_effect(executor: Executor, database: AsyncEngine) -> None:
    box, event = new_id(), record(new_id(), 1)
    await executor.hear([event, event])
    await executor.hear([event])
    assert await rows(database, "SELECT sum(balls) FROM box") == [(1,)]
    assert await balls(database, box) == 0
    assert await rows(database, "SELECT count(*) FROM parked") == [(0,)]  # known, and no fork


async def test_a_gap_holds_the_lane_and_what_was_missing_lets_it_go_on(
    executor: Executor, database: AsyncEngine
) -> None:
    box, other = new_id(), new_id()
    await executor.hear([record(box, 1), record(box, 3), record(box, 4), record(other, 1)])
    assert (await balls(database, box), await balls(database, other)) == (1, 1)
    assert await rows(database, "SELECT seq, error_class FROM parked ORDER BY seq") == [(3, "gap"), (4, "behind")]
    await executor.hear([record(box, 2)])
    assert executor.freed_lanes.get_nowait() == ("b.boxes.events", box)
    assert await executor.retry_lane("b.boxes.events", box) == (2, None)
    assert await balls(database, box) == 4
    assert await rows(database, "SELECT count(*) FROM parked") == [(0,)]


async def test_another_event_under_a_number_already_heard_is_a_fork_and_stops_the_lane(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    await executor.hear([record(box, 1), record(box, 1), record(box, 2)])
    assert await balls(database, box) == 1
    assert await rows(database, "SELECT seq, error_class FROM parked ORDER BY seq") == [(1, "fork"), (2, "behind")]
    assert await executor.retry_lane("b.boxes.events", box) == (0, "fork")


async def test_a_fork_that_is_tried_again_stays_one_however_old_it_is(
    executor: Executor, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = new_id()
    await executor.hear([record(box, 1), record(box, 1)])
    monkeypatch.setattr(inbox, "REMEMBERED", timedelta(0))  # so long ago that ids are no longer remembered
    assert await executor.retry_lane("b.boxes.events", box) == (0, "fork")
    assert await rows(database, "SELECT error_class FROM parked") == [("fork",)]


async def test_a_refused_event_is_parked_with_all_that_follows_and_goes_on_when_it_can(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    await executor.run(asked("fill", Step("box", box, Put(10))))
    await executor.hear([record(box, 1), record(box, 2)])
    assert await rows(database, "SELECT seq, error_class, reason FROM parked ORDER BY seq") == [
        (1, "refused", "too-many"),
        (2, "behind", "behind"),
    ]
    assert await executor.retry_lane("b.boxes.events", box) == (0, "refused")
    assert await rows(database, "SELECT attempts FROM parked WHERE seq = 1") == [(2,)]
    await executor.run(Work(Inner("empty"), (Step("box", box, Free()),)))
    assert await executor.retry_lane("b.boxes.events", box) == (2, None)
    assert await balls(database, box) == 2


async def test_what_nobody_hears_waits_behind_a_held_event_and_goes_on_with_it(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    await executor.run(asked("fill", Step("box", box, Put(10))))
    await executor.hear([record(box, 1), record(box, 2, type="test.other.v1"), record(box, 3)])
    await executor.run(Work(Inner("empty"), (Step("box", box, Free()),)))
    assert await executor.retry_lane("b.boxes.events", box) == (3, None)
    assert await balls(database, box) == 2
    assert await rows(database, "SELECT last_seq FROM lane") == [(3,)]


async def test_an_event_finds_the_subject_that_an_earlier_one_of_the_same_batch_creates(
    executor: Executor, database: AsyncEngine
) -> None:
    boxes = [new_id() for _ in range(20)]
    counted = BallsCounted.type
    await executor.hear([record(box, 1, type=counted) for box in boxes])
    assert await rows(database, "SELECT count(*) FROM box") == [(0,)]
    later = [(2, BallsPut.type), (3, counted), (4, counted)]
    await executor.hear([record(box, seq, type=type_) for seq, type_ in later for box in boxes])
    assert await rows(database, "SELECT DISTINCT balls FROM box") == [(3,)]
    assert await rows(database, "SELECT DISTINCT last_seq FROM lane") == [(4,)]
    assert await rows(database, "SELECT count(*) FROM parked") == [(0,)]


async def waiting_for_a_lock(database: AsyncEngine) -> None:
    """Until a statement of this database waits for a lock of another transaction."""
    async with asyncio.timeout(5), database.connect() as tx:
        while not await tx.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("given_up", [True, False])
async def test_a_reservation_is_decided_on_as_whoever_was_in_the_way_has_left_it(
    database: AsyncEngine, *, given_up: bool
) -> None:
    prize, before, us, others = Reservation("prize", "x"), new_id(), new_id(), new_id()
    if given_up:
        async with transaction(database) as tx:
            await reservations.write(tx, {}, {prize: before}, ())

    async def take() -> tuple[reservations.Held, reservations.Held]:
        async with transaction(database) as tx:
            inside, held = await reservations.take(tx, {prize: us})
            if held[prize] is None:
                await reservations.write(tx, inside, {prize: us}, ())
            return inside, held

    async with transaction(database) as tx:
        if given_up:
            await reservations.write(tx, {prize: before}, {prize: None}, ())
        else:
            await reservations.write(tx, {}, {prize: before}, ())
        taking = asyncio.create_task(take())
        await waiting_for_a_lock(database)
    assert await taking == (({prize: us}, {prize: None}) if given_up else ({prize: before}, {prize: before}))
    async with transaction(database) as tx:
        _, seen = await reservations.take(tx, {prize: others})
    assert seen == {prize: us if given_up else before}


async def test_of_two_bodies_under_one_key_in_one_batch_the_first_counts(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    works = [asked("same", Step("box", box, Put(n)), fingerprint=bytes([n])) for n in (1, 2)]
    first, second = await asyncio.gather(*(executor.run(work) for work in works))
    again = await executor.run(asked("same", Step("box", box, Put(1)), fingerprint=bytes([1])))
    assert first is not None
    assert second is not None
    assert again is not None
    assert (first.status, second.status, again.body) == (200, 409, first.body)
    assert await balls(database, box) == 1


async def test_a_lane_that_was_freed_just_before_a_crash_is_found_again(
    executor: Executor, database: AsyncEngine
) -> None:
    box, held = new_id(), new_id()
    await executor.hear([record(box, 1), record(box, 3), record(held, 2)])
    await executor.hear([record(box, 2)])
    async with database.connect() as connection:
        assert await parking.ready_lanes(connection, "a.boxes") == [("b.boxes.events", box)]


async def test_a_bug_in_a_handler_parks_its_event_alone(executor: Executor, database: AsyncEngine) -> None:
    box, other = new_id(), new_id()
    await executor.hear([record(box, 1, 7), record(other, 1)])
    assert await rows(database, "SELECT error_class FROM parked") == [("LookupError",)]
    assert await balls(database, other) == 1


async def test_an_unheard_type_passes_by_at_home_and_is_parked_on_a_channel(
    executor: Executor, database: AsyncEngine
) -> None:
    box, other = new_id(), new_id()
    await executor.hear([record(box, 1, type="test.other.v1"), record(box, 2)])
    await executor.hear([record(other, 1, type="test.other.v1", topic="x.b.to.a.boxes")])
    assert await balls(database, box) == 1
    assert await rows(database, "SELECT topic, error_class FROM parked") == [("x.b.to.a.boxes", "unknown-type")]


async def test_a_newer_major_version_of_a_heard_type_is_parked_even_at_home(
    executor: Executor, database: AsyncEngine
) -> None:
    await executor.hear([record(new_id(), 1, type="test.balls.put.v2")])
    assert await rows(database, "SELECT error_class FROM parked") == [("unknown-type",)]


async def test_a_body_that_breaks_its_contract_is_parked_and_not_shown(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    await executor.hear([record(box, 1, body=b'{"name": "Zora Beispiel-Zimt"}')])
    async with database.connect() as connection:
        shown = await parking.lane(connection, "a.boxes", "b.boxes.events", box, executor.body)
    assert (shown[0]["error_class"], shown[0]["body"]) == ("invalid-body", None)


@pytest.mark.parametrize(("class_", "balls"), [("refused", 11), ("LookupError", 7), ("wrong-key", 1)])
async def test_of_a_held_event_only_what_its_contract_knows_is_shown(
    executor: Executor, database: AsyncEngine, class_: str, balls: int
) -> None:
    box, about = new_id(), new_id()
    body = {"box": str(about if class_ == "wrong-key" else box), "balls": balls}
    more = {"given_name": "Zora Beispiel-Zimt"}
    said = record(box, 1, body=json.dumps(body | more).encode())
    headers = [*said.headers, ("traceparent", b"Zora")]
    await executor.hear([from_record(said.topic, 0, 1, said.key, headers, said.value)])
    async with database.connect() as connection:
        (shown,) = await parking.lane(connection, "a.boxes", "b.boxes.events", box, executor.body)
    assert (shown["error_class"], shown["body"]) == (class_, body)
    assert "Zora" not in str(shown)


async def test_what_is_no_event_is_kept_sealed(executor: Executor, database: AsyncEngine) -> None:
    await executor.hear([from_record("b.boxes.events", 0, 5, None, [("ce_id", b"\xff")], b"Zora Beispiel-Zimt")])
    found = await rows(database, 'SELECT "offset", sealed FROM unreadable')
    assert found[0][0] == 5
    assert b"Zora" not in bytes(found[0][1])  # type: ignore[call-overload]  # a column of bytes


async def test_a_deadline_fires_once_by_the_clock_of_the_database(executor: Executor, database: AsyncEngine) -> None:
    box = new_id()
    await executor.run(asked("k", Step("box", box, Put())))
    async with database.connect() as connection:
        (cause,) = await due(connection)
    step = Step("box", box, Free())
    await executor.run(Work(cause, (step,)))
    await executor.run(asked("k2", Step("box", box, Put(2))))
    await executor.run(Work(cause, (step,)))
    assert await balls(database, box) == 2


async def test_a_deadline_that_was_moved_does_not_fire(executor: Executor, database: AsyncEngine) -> None:
    box = new_id()
    await executor.run(asked("k", Step("box", box, Put())))
    await executor.run(Work(Due("shut", box, new_id()), (Step("box", box, Free()),)))
    assert await balls(database, box) == 1


async def test_a_deadline_that_is_due_later_does_not_fire_now(executor: Executor, database: AsyncEngine) -> None:
    box = new_id()
    await executor.run(asked("k", Step("box", box, Put())))
    async with database.connect() as connection:
        (cause,) = await due(connection)
    async with transaction(database) as tx:  # put off between the look and the transaction
        await tx.execute(sa.text("UPDATE deadline SET due_at = clock_timestamp() + interval '1 hour'"))
    await executor.run(Work(cause, (Step("box", box, Free()),)))
    assert await balls(database, box) == 1


async def test_what_is_rolled_back_was_never_said(executor: Executor, database: AsyncEngine) -> None:
    async with transaction(database) as tx:
        await tx.execute(sa.text("ALTER TABLE answer ADD CHECK (status IS NULL)"))  # the last thing that is written
    with pytest.raises(Bug):
        await executor.run(asked("k", Step("box", new_id(), Put())))
    assert await rows(database, "SELECT count(*) FROM event_log") == [(0,)]
    assert await rows(database, "SELECT count(*) FROM stream_head") == [(0,)]


async def test_keys_are_claimed_in_their_order_whatever_the_order_of_the_commands(database: AsyncEngine) -> None:
    """Otherwise two batches could each hold what the other waits for."""
    early, late = (Asked("caller", key, b"f", render) for key in ("a", "b"))

    async def claim(tx: AsyncConnection, *causes: Asked) -> None:
        """And give them back."""
        assert await answers.claim(tx, causes) == {}
        await answers.keep(tx, {(cause.principal, cause.key): Answer(503, b"") for cause in causes})

    async def both() -> None:
        async with transaction(database) as other:
            await claim(other, late, early)

    async with transaction(database) as one:
        await claim(one, early)
        waiting = asyncio.create_task(both())
        await waiting_for_a_lock(database)
        async with transaction(database) as third:
            await third.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            await claim(third, late)  # whoever waits for the early key does not hold the late one
    await waiting


async def test_one_row_the_database_refuses_fails_alone(executor: Executor, database: AsyncEngine) -> None:
    async with transaction(database) as tx:
        await tx.execute(sa.text("ALTER TABLE box ADD CHECK (balls <> 5)"))
    good, bad = new_id(), new_id()
    results = await asyncio.gather(
        executor.run(asked("good", Step("box", good, Put(4)))),
        executor.run(asked("bad", Step("box", bad, Put(5)))),
        return_exceptions=True,
    )
    assert isinstance(results[1], Bug)
    assert (await balls(database, good), await balls(database, bad)) == (4, 0)
    await executor.hear([record(bad, 1, 5), record(good, 1, 2)])
    assert await rows(database, "SELECT error_class FROM parked") == [("CheckViolationError",)]
    assert await balls(database, good) == 6


async def test_numbers_of_a_subject_are_contiguous_under_concurrent_callers(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    steps = [Step("box", box, Free() if n % 5 == 0 else Put()) for n in range(60)]
    await asyncio.gather(*(executor.run(asked(f"k{n}", step)) for n, step in enumerate(steps)))
    numbers = [row[0] for row in await rows(database, "SELECT seq FROM event_log ORDER BY pos")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 10


FULL_DISK_AT_NINE = (
    """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql
       AS $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$""",
    """CREATE TRIGGER nine BEFORE INSERT ON box FOR EACH ROW WHEN (NEW.balls = 9) EXECUTE FUNCTION full_disk()""",
)


async def standing(database: AsyncEngine) -> list[tuple[object, ...]]:
    return await rows(database, "SELECT topic, partition, next_offset FROM heard_up_to ORDER BY topic, partition")


async def test_where_hearing_stands_is_written_with_what_was_heard(executor: Executor, database: AsyncEngine) -> None:
    box, other = new_id(), new_id()
    await executor.hear([record(box, 1), record(box, 2), record(other, 1, topic="x.b.to.a.boxes")])
    assert await standing(database) == [("b.boxes.events", 0, 3), ("x.b.to.a.boxes", 0, 2)]
    assert await executor.standing() == {("b.boxes.events", 0): 3, ("x.b.to.a.boxes", 0): 2}
    both = "SELECT xmin::text FROM inbox UNION SELECT xmin::text FROM heard_up_to"
    assert len(await rows(database, both)) == 1


async def test_hearing_moves_on_behind_what_is_parked_refused_or_unreadable(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    await executor.hear([record(box, 1, balls=7), record(box, 2), record(new_id(), 3)._replace(value=b"\xff")])
    assert await standing(database) == [("b.boxes.events", 0, 4)]
    unreadable = from_record("b.boxes.events", 0, 9, None, (), b"")
    await executor.hear([unreadable])
    assert await standing(database) == [("b.boxes.events", 0, 10)]


async def test_hearing_moves_on_when_the_last_item_of_what_was_divided_is_durable_and_not_before(
    executor: Executor, database: AsyncEngine
) -> None:
    boxes = [new_id() for _ in range(3)]
    heard = [
        record(boxes[0], 1),
        record(boxes[1], 1, balls=9)._replace(offset=2),
        record(boxes[2], 1)._replace(offset=3),
    ]
    async with transaction(database) as tx:
        for statement in FULL_DISK_AT_NINE:
            await tx.execute(sa.text(statement))
    with pytest.raises(Unavailable):
        await executor.hear(heard)
    assert [await balls(database, box) for box in boxes] == [1, 0, 1]
    assert await standing(database) == []
    async with transaction(database) as tx:
        await tx.execute(sa.text("DROP TRIGGER nine ON box"))
    await executor.hear(heard)
    assert [await balls(database, box) for box in boxes] == [1, 9, 1]
    assert await standing(database) == [("b.boxes.events", 0, 4)]


async def test_what_an_event_costs_where_it_is_alone(executor: Executor, database: AsyncEngine) -> None:
    """Each statement is a round trip, and at rest they are most of what an event costs."""
    box, statements = new_id(), counted(database, frames=True)
    await executor.hear([record(box, 1, type="test.other.v1")])
    assert len(statements) == 2 + 3, "begin, lanes, look, write, commit"
    await executor.hear([record(box, 2)])
    assert len(statements) == (2 + 3) + (2 + 8), "and load, save, number, say, arm"
