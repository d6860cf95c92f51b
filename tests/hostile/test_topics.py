"""Hostile records on real topics: each is set aside with its reason or refused by the broker, all else goes on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types

from chassis.envelope import Envelope, Reason, key_of, to_headers
from contracts.new_ids import new_id
from tests.chassis.broker import a_producer
from tests.hostile.fence import MB
from tests.hostile.target import AGENCY, SERVING, Parked, Target

HOME, CHANNEL = "jobcenter.intake.events", "musterland.jugendamt.to.jobcenter.handover"
EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
HEARER = "handover"
REPEATS = 1_000
INFLATING = 40  # to 480 MB in all
WAIT_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Letter:
    """A record, good unless something about it is said otherwise."""

    type: str = "staffel.case.activated.v1"
    topic: str = HOME
    seq: int = 1
    subject: UUID = field(default_factory=new_id)
    body: bytes | None = None
    tombstone: bool = False
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] | None = None
    more: bytes = b""

    def record(self) -> dict[str, object]:
        """What the producer is given."""
        about = "case" if self.topic == HOME else "handover"
        example = json.loads((EXAMPLES / "staffel.case.activated.v1.json").read_text("utf-8"))
        good = json.dumps(example | {"case": str(self.subject)}).encode()
        envelope = Envelope(
            new_id(), self.type, "urn:staffel:tests", f"{about}s/{self.subject}", datetime.now(UTC),
            f"urn:staffel:schema:{self.type}", self.seq, {"alliance": "musterland", "allianceversion": "1"}, None,
        )  # fmt: skip
        value = None if self.tombstone else self.body or good[:-1] + self.more + good[-1:]
        return {
            "topic": self.topic,
            "key": self.key or key_of(self.subject),
            "headers": to_headers(envelope) if self.headers is None else self.headers,
            "value": value,
        }


BAD: dict[str, tuple[Letter, str]] = {
    "a tombstone": (Letter(tombstone=True), Reason.NO_BODY),
    "another key": (Letter(key=key_of(UUID(int=7))), Reason.KEY),
    "no headers": (Letter(headers=[]), Reason.MISSING),
    "10 000 headers": (Letter(headers=[("x", b"")] * 10_000), Reason.TOO_MANY_HEADERS),
    "a body cut off": (Letter(body=b'{"case": "'), "invalid-body"),
    "a body that is no UTF-8": (Letter(body=b'{"case": "\xff"}'), "invalid-body"),
    "a lone surrogate": (Letter(more=rb', "phase": "\ud800"'), "invalid-body"),
    "lists in lists": (Letter(more=b', "deep": ' + b"[" * 20_000 + b"]" * 20_000), "invalid-body"),
    "about somebody else": (Letter(body=Letter().record()["value"]), "wrong-key"),  # type: ignore[arg-type]  # bytes
    "a gap": (Letter(seq=3), "gap"),
    "a newer major version": (Letter(type="staffel.case.activated.v2"), "unknown-type"),
    "a type nobody knows, on a channel": (Letter(type="staffel.case.sold.v1", topic=CHANNEL), "unknown-type"),
    "a type of home, on a channel": (Letter(topic=CHANNEL), "wrong-topic"),
}
GOOD = {
    "as it should be": Letter(),
    "with a member that a later minor version has added": Letter(more=b', "weather": "fine"'),
    "a type nobody knows, at home": Letter(type="staffel.case.whitewashed.v1"),
}


@pytest.fixture
async def writer(target: Target) -> AsyncIterator[AIOKafkaProducer]:
    """May write everywhere; no service of ours may."""
    async with a_producer(target.addresses) as producer:
        yield producer


async def heard_to_the_end(target: Target, writer: AIOKafkaProducer) -> None:
    """Returns when whatever was written before has been heard: a last good letter in every partition's wake."""
    last = [Letter() for _ in range(12)]  # more than there are partitions, by chance in each
    await asyncio.gather(*(writer.send_and_wait(**each.record()) for each in last))
    for each in last:
        await until(partial(dealt_with, target, each.subject))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look until it holds."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await holds():  # noqa: ASYNC110  # what happens in another process tells nobody
            await asyncio.sleep(LOOK_SECONDS)


async def enough(target: Target, before: Parked, number: int) -> bool:
    """Whether so many more have been set aside."""
    return (await target.set_aside(HEARER) - before).total() >= number


async def dealt_with(target: Target, subject: UUID, number: int = 1) -> bool:
    """Whether the hearer has dealt with the event of that number."""
    query = "SELECT last_seq FROM lane WHERE consumer = :consumer AND key = :key"
    rows = await target.rows(HEARER, query, consumer=f"{AGENCY}.{HEARER}", key=subject)
    return bool(rows) and rows[0].last_seq >= number


async def effects(target: Target, subject: UUID) -> int:
    """How many events about this subject have had an effect there."""
    query = "SELECT count(*) AS n FROM inbox WHERE consumer = :consumer AND key = :key"
    rows = await target.rows(HEARER, query, consumer=f"{AGENCY}.{HEARER}", key=subject)
    return int(rows[0].n)


async def test_what_is_no_good_event_is_set_aside_and_nothing_else_is(target: Target, writer: AIOKafkaProducer) -> None:
    before = await target.set_aside(HEARER)
    for letter in (*(letter for letter, _ in BAD.values()), *GOOD.values()):
        await writer.send_and_wait(**letter.record())
    await until(lambda: enough(target, before, len(BAD)))
    await heard_to_the_end(target, writer)
    assert await target.set_aside(HEARER) - before == Counter(str(why) for _, why in BAD.values())
    assert [await effects(target, letter.subject) for letter in GOOD.values()] == [1, 1, 0]
    assert await target.serves() == SERVING


async def test_an_event_that_comes_a_thousand_times_has_one_effect(target: Target, writer: AIOKafkaProducer) -> None:
    letter = Letter()
    record = letter.record()
    before = await target.set_aside(HEARER)
    await asyncio.gather(*(writer.send_and_wait(**record) for _ in range(REPEATS)))
    following = replace(letter, seq=2).record()
    await writer.send_and_wait(**following)
    await until(lambda: dealt_with(target, letter.subject, 2))
    assert await effects(target, letter.subject) == 2
    assert await target.set_aside(HEARER) == before


async def test_a_batch_that_would_inflate_is_refused_by_the_broker_and_one_that_passes_is_set_aside(
    target: Target,
) -> None:
    """By 1 : 1000 with one way of compression, by 1 : 250 with the one that topics keep: never more than 16 MB."""
    before = await target.set_aside(HEARER)
    for codec, size, passes in (("gzip", 40 * MB, False), ("lz4", 12 * MB, True)):
        record = Letter(body=b"{" + b" " * size + b"}").record()
        async with a_producer(target.addresses, compression_type=codec, max_request_size=128 * MB) as producer:
            if passes:
                await producer.send_and_wait(**record)
                continue
            with pytest.raises(KafkaError):
                await producer.send_and_wait(**record)
    await until(lambda: enough(target, before, 1))
    assert await target.set_aside(HEARER) - before == Counter({str(Reason.TOO_LARGE): 1})
    assert target.system.servers[f"{AGENCY}.{HEARER}"].runs


async def test_many_batches_that_inflate_are_set_aside_few_at_a_time(target: Target) -> None:
    """Each is small on its way and 12 MB afterwards: what one look takes must not be more than memory holds."""
    before = await target.set_aside(HEARER)
    records = [Letter(body=b"{" + b" " * (12 * MB) + b"}").record() for _ in range(INFLATING)]
    async with a_producer(target.addresses, compression_type="lz4", max_request_size=128 * MB) as producer:
        for record in records:
            await producer.send_and_wait(**record)
    await until(lambda: enough(target, before, INFLATING))
    assert await target.set_aside(HEARER) - before == Counter({str(Reason.TOO_LARGE): INFLATING})
    assert target.system.servers[f"{AGENCY}.{HEARER}"].runs
