"""What operators ask of every service: which lanes are held, what is in them, try them again; what else is overdue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import brake, outbox, parking, skips
from chassis.deadlines import OVERDUE, SINCE
from chassis.executor import Answer, Executor
from chassis.http.routes import Call, Routes, people
from chassis.http.text import Body, Instant, Text
from chassis.parking import PAGE
from chassis.recovery.guard import history
from chassis.skips import REASON_CHARACTERS_MAX, No, Skipping
from chassis.standing import Standing, Undone, ages, look
from chassis.transitions import Refused

OPERATOR = "operator"
NOTHING: Undone = MappingProxyType({})


class HeldLane(BaseModel):
    """A lane that waits: how many events, since when, and what is wrong with the first."""

    topic: str
    key: UUID
    events: int
    type: str
    error_class: str
    reason: str
    since: datetime
    attempts: int
    next_attempt_at: datetime | None
    """When it is tried again by itself; None where only people, or what is missing, can help."""


class HeldLanes(BaseModel):
    """The held lanes of this service, oldest first, at most 100; `more`: whether there are others."""

    lanes: list[HeldLane]
    more: bool


class ParkedEvent(BaseModel):
    """One event that waits. `body` is shown as far as its contract knows it: ids, codes and times."""

    seq: int
    event_id: UUID
    type: str
    error_class: str
    reason: str
    attempts: int
    parked_at: datetime
    last_tried_at: datetime
    next_attempt_at: datetime | None
    traceparent: str | None
    failed_in: str | None
    partition: int
    offset: int
    body: Any


class ParkedEvents(BaseModel):
    """What waits in one lane, in its order, at most 100; `more`: whether others wait behind these."""

    events: list[ParkedEvent]
    more: bool


class Retried(BaseModel):
    """How many events went through, and the class of what stopped the lane again, if anything did."""

    done: int
    stopped_by: str | None


class RetryClass(Body):
    """Which lanes to try again: those whose first event has this class and was not tried since `tried_before`."""

    error_class: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,79}$")]
    tried_before: Instant | None = None


class StoppedLanes(BaseModel):
    """How many lanes were stopped by this."""

    error_class: str
    reason: str
    lanes: int


class RetriedClass(BaseModel):
    """What trying again has come to. With `more`, ask again and name `tried_before` as it is here."""

    lanes: int
    free: int
    events: int
    stopped: list[StoppedLanes]
    tried_before: datetime
    more: bool


class Skip(Body):
    """Which event is to be let go, the first that waits in its lane, and why. The reason is kept for good."""

    event_id: UUID
    reason: Annotated[Text, Field(max_length=REASON_CHARACTERS_MAX)]


class Skipped(BaseModel):
    """Whether it is skipped now; if not, another person must ask for the same."""

    skipped: bool


class SaidOfSkipping(BaseModel):
    """What somebody said: `asked`, where another person had still to agree, or `skipped`."""

    topic: str
    key: UUID
    seq: int
    event_id: UUID
    type: str
    error_class: str
    word: str
    said_by: str
    reason: str
    said_at: datetime


class Skips(BaseModel):
    """Who let go of what and why, newest first, at most 100; `more`: whether there are older ones."""

    skips: list[SaidOfSkipping]
    more: bool


class UnreadableRecord(BaseModel):
    """Where a record lies that is no event, and why."""

    topic: str
    partition: int
    offset: int
    reason: str
    bytes: int
    found_at: datetime


class WaitingErrand(BaseModel):
    """An errand that has not come back yet, and the last word about it."""

    name: str
    subject: UUID
    attempts: int
    last_word: str | None
    since: datetime
    next_at: datetime


class OverdueDeadline(BaseModel):
    """A deadline that could not fire: what it waits for, or why its command was refused.

    `since`: when it fell due; `due_at` is the next try. `reason` is null where the service has not come to it yet.
    """

    kind: str
    subject: UUID
    since: datetime
    due_at: datetime
    attempts: int
    reason: str | None


class HeldSubject(BaseModel):
    """A subject of which the broker will never take the first unsent record; the others go on."""

    topic: str
    key: UUID
    reason: str
    since: datetime


class BrakeOn(BaseModel):
    """The consumer is stopped: by which class of trouble (`deaths`: it died of an input), by how many lanes, since.

    `party`: what only this party says is not heard; null: nothing is.
    """

    cause: str
    lanes: int
    since: datetime
    party: str | None = None


class Released(BaseModel):
    """Whether the brake was on."""

    released: bool


class Live(BaseModel):
    """What only the running process knows; None where that part does not run.

    `leads`: this replica's relay publishes. Lag: see the metrics of that name. `deaf_seconds`: how long something of
    what is to be heard has not been read. `queued`: items before a transaction.
    """

    leads: bool | None = None
    lag_records: int | None = None
    lag_seconds: float | None = None
    deaf_seconds: float | None = None
    queued: int | None = None


class Status(BaseModel):
    """How this service stands, in numbers; `held` says how many lanes each class holds.

    `undone`: what was begun here and must be carried out, by what it is -> age of the oldest in seconds, 0: nothing is.
    """

    standing: Standing
    undone: dict[str, float]
    live: Live
    brake: BrakeOn | None
    unheard: list[BrakeOn]
    held: dict[str, int]


class Waiting(BaseModel):
    """Everything else that waits here, of each at most 100; `more` names the lists that have more.

    `oldest_unsent_seconds`: age of the oldest fact the broker has not got yet, those of held subjects apart.
    """

    brake: BrakeOn | None
    unheard: list[BrakeOn]
    oldest_unsent_seconds: float
    held_subjects: list[HeldSubject]
    unreadable: list[UnreadableRecord]
    errands: list[WaitingErrand]
    deadlines: list[OverdueDeadline]
    more: list[str]


class Sign(BaseModel):
    """One sign that the database was older than what it had said, where, and between which offsets."""

    kind: str
    topic: str
    partition: int
    first: int
    next: int


class Restoration(BaseModel):
    """One time the database was found older than what it had said; `report` is what could not be known again."""

    found_at: datetime
    findings: list[Sign]
    recovered_at: datetime | None
    recovered_by: str | None
    report: Any


class Restorations(BaseModel):
    """Every time that happened, as far as this database knows, the latest first, at most 20."""

    restorations: list[Restoration]


class Freed(BaseModel):
    """Whether the subject was held."""

    freed: bool


def _of_restorations(routes: Routes) -> None:
    @routes.view("/restorations", allow=people(OPERATOR))
    async def restorations(call: Call, tx: AsyncConnection) -> Restorations:
        """When this database was found older than what it had said, and what could not be known again."""
        return Restorations(restorations=[Restoration(**row) for row in await history(tx)])


def operations(executor: Executor, consumer: str, live: Callable[[], Live] = Live, undone: Undone = NOTHING) -> Routes:
    """The operators' routes of one service; every one needs the role `operator`."""
    routes = Routes()
    _held_lanes(routes, executor, consumer)
    _of_restorations(routes)

    @routes.stream("POST", "/brake/release", allow=people(OPERATOR), answer=Released)
    async def release(call: Call) -> Answer:
        """Let the consumer go on, after what had stopped it has been mended."""
        return _said(Released(released=await executor.brake.release(call.caller.principal)))

    @routes.view("/status", allow=people(OPERATOR))
    async def status(call: Call, tx: AsyncConnection) -> Status:
        """How this service stands: ages of what waits, held lanes by class, the brake, the relay and the consumer."""
        brakes = await _brakes(tx, consumer)
        return Status(
            standing=await look(tx, consumer),
            undone=await ages(tx, undone),
            live=live(),
            brake=next((on for on in brakes if on.party is None), None),
            unheard=[on for on in brakes if on.party is not None],
            held=await parking.classes(tx, consumer),
        )

    @routes.view("/waiting", allow=people(OPERATOR))
    async def waiting(call: Call, tx: AsyncConnection) -> Waiting:
        """What the broker has not got, records that are no events, errands under way, deadlines that are overdue."""
        brakes = await _brakes(tx, consumer)
        found: dict[str, Sequence[Any]] = {
            "held_subjects": (await tx.execute(_HELD, {"page": PAGE + 1})).mappings().all(),
            "unreadable": await parking.unreadable(tx, consumer),
            "errands": (await tx.execute(_ERRANDS, {"page": PAGE + 1})).mappings().all(),
            "deadlines": (await tx.execute(_OVERDUE, {"page": PAGE + 1})).mappings().all(),
        }
        return Waiting(
            brake=next((on for on in brakes if on.party is None), None),
            unheard=[on for on in brakes if on.party is not None],
            oldest_unsent_seconds=await outbox.oldest_age(tx),
            held_subjects=[HeldSubject(**row) for row in found["held_subjects"][:PAGE]],
            unreadable=[UnreadableRecord(**row) for row in found["unreadable"][:PAGE]],
            errands=[WaitingErrand(**row) for row in found["errands"][:PAGE]],
            deadlines=[OverdueDeadline(**row) for row in found["deadlines"][:PAGE]],
            more=[name for name, rows in found.items() if len(rows) > PAGE],
        )

    @routes.stream("POST", "/held-subjects/{topic}/{key}/retry", allow=people(OPERATOR), answer=Freed)
    async def retry_held(call: Call, topic: str, key: UUID) -> Answer:
        """Let the relay try this subject again, after what was wrong has been mended."""
        freed = await executor.free_subject(topic, key)
        return _said(Freed(freed=freed))

    return routes


def _held_lanes(routes: Routes, executor: Executor, consumer: str) -> None:
    @routes.view("/parked", allow=people(OPERATOR))
    async def held(call: Call, tx: AsyncConnection, error_class: str | None = None) -> HeldLanes:
        """The lanes that are held, oldest first; with `error_class` only those whose first event has it."""
        found = await parking.lanes(tx, consumer, error_class)
        return HeldLanes(lanes=[HeldLane(**row) for row in found[:PAGE]], more=len(found) > PAGE)

    @routes.view("/parked/{topic}/{key}", allow=people(OPERATOR))
    async def lane(call: Call, tx: AsyncConnection, topic: str, key: UUID) -> ParkedEvents:
        """Every event that waits in one lane, in order."""
        found = await parking.lane(tx, consumer, topic, key, executor.body)
        return ParkedEvents(events=[ParkedEvent(**row) for row in found[:PAGE]], more=len(found) > PAGE)

    @routes.stream("POST", "/parked/{topic}/{key}/retry", allow=people(OPERATOR), answer=Retried)
    async def retry(call: Call, topic: str, key: UUID) -> Answer:
        """Try the lane again, in order, until the first failure. Doing so twice does nothing twice."""
        done, stopped_by = await executor.retry_lane(topic, key)
        return _said(Retried(done=done, stopped_by=stopped_by))

    @routes.stream("POST", "/parked/retry", allow=people(OPERATOR), body=RetryClass, answer=RetriedClass)
    async def retry_class(call: Call, body: RetryClass) -> Answer:
        """Try all lanes again that this class holds, at most 200 in one call, each until its first failure."""
        found, moment, more = await executor.lanes_of_class(body.error_class, body.tried_before)
        retried = await executor.retry_lanes(found)
        stopped = Counter((one.stopped_by.error_class, one.stopped_by.reason) for one in retried if one.stopped_by)
        return _said(
            RetriedClass(
                lanes=len(retried),
                free=sum(not one.goes_on and one.stopped_by is None for one in retried),
                events=sum(one.done for one in retried),
                stopped=[
                    StoppedLanes(error_class=class_, reason=reason, lanes=lanes)
                    for (class_, reason), lanes in stopped.most_common()
                ],
                tried_before=moment,
                more=more or any(one.goes_on for one in retried),
            )
        )

    @routes.stream("POST", "/parked/{topic}/{key}/skip", allow=people(OPERATOR), body=Skip, answer=Skipped)
    async def skip(call: Call, topic: str, key: UUID, body: Skip) -> Answer | Refused:
        """Let go of the first event of a lane, for good: only what the own party said, some of it by two people."""
        outcome = await executor.skip(Skipping(topic, key, body.event_id, call.caller.principal, body.reason))
        return Refused(outcome) if isinstance(outcome, No) else _said(Skipped(skipped=outcome))

    @routes.view("/skips", allow=people(OPERATOR))
    async def skipped(call: Call, tx: AsyncConnection) -> Skips:
        """Who let go of what, when and why."""
        found = await skips.skips(tx, consumer)
        return Skips(skips=[SaidOfSkipping(**row) for row in found[:PAGE]], more=len(found) > PAGE)


async def _brakes(tx: AsyncConnection, consumer: str) -> list[BrakeOn]:
    found = await brake.pulled(tx, consumer)
    return [BrakeOn(cause=on.cause, lanes=on.lanes, since=on.since, party=on.party) for on in found]


def _said(body: BaseModel) -> Answer:
    return Answer(200, body.model_dump_json().encode(), (("content-type", "application/json"),))


_HELD = sa.text("SELECT topic, key, reason, since FROM outbox_hold ORDER BY since LIMIT :page")
_ERRANDS = sa.text("""
    SELECT name, subject, attempts, last_word, sent_at AS since, next_at FROM errand ORDER BY sent_at LIMIT :page
""")
_OVERDUE = sa.text(f"""
    SELECT kind, subject, {SINCE} AS since, due_at, attempts, reason FROM deadline
    WHERE {OVERDUE} ORDER BY since LIMIT :page
""")  # noqa: S608  # put together from constants
