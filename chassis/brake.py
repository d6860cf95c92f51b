"""Stops the consumer when trouble is no longer one lane's: a bad deployment must not park everything.

Two things pull the brake: more than twenty lanes parked with one class within a minute, and an input by which the
consumer has died three times. Nothing further is fetched then; commands go on. Where it is one other party that has
filled these lanes, only what that party says is no longer fetched: nobody else can stop what we hear from the others.
Only an operator lets go of it, and a restart does not: the row in the database is the truth, for every replica.

And two processes under one instance's name must not hear by turns: the broker's static membership would let each put
out the other for ever. Whoever came last has the seat; the other one steps aside, and says so.
"""

from __future__ import annotations

import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import is_weather, transaction
from chassis.parking import WAITING

log = logging.getLogger(__name__)

LANES_MAX = 20
WITHIN_SECONDS = 60
DEATHS_MAX = 3
DEATHS = "deaths"  # stands for the class of trouble where the consumer did not live to say it
SEAT_SECONDS = 30.0  # a seat whose holder was not seen so long is free …
SEEN_SECONDS = 10.0  # … and a holder is seen so often


class TooManyLanes(Exception):
    """One batch alone would park more lanes with one class than pull the brake: its items are run singly instead."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """The brake is on: by which class of trouble, how many lanes it held within that minute, since when.

    `party`: whose words alone are not heard; None: the whole consumer is stopped.
    """

    cause: str
    lanes: int
    since: datetime
    party: str | None = None


def one_too_many(lanes: Mapping[tuple[str, str | None], int]) -> tuple[str, str | None, int] | None:
    """(class, other party or None for our own) -> lanes. What is to be stopped: the class, whom (None: all), how many.

    All is stopped where there are too many even without those of any one other party: then no single one of them has
    done it. Where only one has too many, it is that one.
    """
    by_class: dict[str, dict[str | None, int]] = defaultdict(dict)
    for (cause, party), count in lanes.items():
        by_class[cause][party] = count
    for cause, of in sorted(by_class.items()):
        loudest = max((count for party, count in of.items() if party is not None), default=0)
        if sum(of.values()) - loudest > LANES_MAX:
            return cause, None, sum(of.values())
    found = [(cause, party, count) for (cause, party), count in lanes.items() if party is not None]
    return max((each for each in found if each[2] > LANES_MAX), key=lambda each: each[2], default=None)


async def pull_if_too_many(tx: AsyncConnection, consumer: str, others: Mapping[str, str]) -> Pulled | None:
    """Asked in the transaction that parks: pulls the brake if that was one lane too many, and says so once.

    `others`: the topics on which another party speaks, and who that is.
    """
    waiting = {"gap": WAITING[0], "behind": WAITING[1]}  # waits only for what is missing: stopping would keep it away
    asked = {"consumer": consumer, "seconds": WITHIN_SECONDS, "topics": list(others), "parties": list(others.values())}
    rows = await tx.execute(_LATELY, asked | waiting)
    found = one_too_many({(row.error_class, row.party): row.lanes for row in rows})
    if found is None:
        return None
    cause, party, lanes = found
    values = {"consumer": consumer, "cause": cause, "lanes": lanes, "party": party}
    row = (await tx.execute(_PULL, values)).one_or_none()
    return None if row is None else Pulled(*row)


async def pulled(tx: AsyncConnection, consumer: str) -> list[Pulled]:
    """What is on: the brake of the whole consumer first, then those of parties."""
    return [Pulled(*row) for row in await tx.execute(_PULLED, {"consumer": consumer})]


class Brake:
    """The brake of one consumer, as this process last saw it. `others`: as in `pull_if_too_many`."""

    def __init__(
        self, engine: AsyncEngine, consumer: str, others: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._engine, self._consumer, self._others = engine, consumer, others
        self._begun: str | None = None
        self._seat: dict[str, str] | None = None
        self._process = secrets.token_hex(8)
        self._seen_until = 0.0
        self.ousted = False
        """Whether another process has come under this one's instance: then that one hears, and this one does not."""
        self.pulled: Pulled | None = None
        self.unheard: dict[str, Pulled] = {}
        """Parties whose words are not heard now."""

    @property
    def on(self) -> bool:
        """Whether nothing may be fetched or applied."""
        return self.pulled is not None or self.ousted

    def outdated(self, brakes: int, seat: str | None) -> bool:
        """Whether to look again: so many brakes are on, and that process has the seat; or it is time to be seen."""
        known = (self.pulled is not None) + len(self.unheard)
        moved = self._seat is not None and (seat != self._process) is not self.ousted
        return brakes != known or moved or monotonic() >= self._seen_until

    def holds(self, topic: str) -> bool:
        """Whether nothing of this topic may be fetched or applied."""
        return self.on or self._others.get(topic) in self.unheard

    def topics_unheard(self) -> list[str]:
        """The topics of parties whose words are not heard now."""
        return [topic for topic, party in self._others.items() if party in self.unheard]

    def pull(self, found: Pulled) -> None:
        """Take over that it is on; said aloud once, the line is what alarms listen for."""
        told = {"consumer": self._consumer, "error_class": found.cause, "count": found.lanes}
        if found.party is None:
            if self.pulled is None:
                log.error("brake is on: the consumer is stopped", extra=told)
            self.pulled = found
        else:
            if found.party not in self.unheard:
                log.error("brake is on: one party is not heard", extra={**told, "party": found.party})
            self.unheard[found.party] = found

    async def look(self) -> None:
        """See what the database says, and be seen."""
        async with transaction(self._engine) as tx:
            found = await pulled(tx, self._consumer)
            seated = self._seat is None or (await tx.execute(_KEEP_SEAT, self._seat)).first() is not None
        self._seen_until = monotonic() + SEEN_SECONDS
        self._see(found)
        self._sit(seated=seated)

    def _sit(self, *, seated: bool) -> None:
        """Take over whether the seat is ours; a change is said aloud, with what to do."""
        told = {"consumer": self._consumer, "instance": (self._seat or {}).get("instance")}
        if self.ousted and seated:
            log.warning("the other process under this instance has gone: this one hears again", extra=told)
        elif not self.ousted and not seated:
            log.error(
                "another process runs under the same STAFFEL_INSTANCE and came later: it hears, this one does not; "
                "give every replica an instance of its own, or end one of the two",
                extra=told,
            )
        self.ousted = not seated

    def _see(self, found: Sequence[Pulled]) -> None:
        """Take over all that is on, and that the rest is not; a change is said aloud."""
        still = {each.party for each in found}
        if self.pulled is not None and None not in still:
            log.warning("brake is released: the consumer goes on", extra={"consumer": self._consumer})
            self.pulled = None
        for party in self.unheard.keys() - still:
            log.warning("brake is released: a party is heard again", extra={"consumer": self._consumer, "party": party})
            del self.unheard[party]
        for each in found:
            self.pull(each)

    async def release(self, by: str) -> bool:
        """An operator lets go of all that is on; whether anything was. Lanes parked before do not count again."""
        async with transaction(self._engine) as tx:
            released = (await tx.execute(_RELEASE, {"consumer": self._consumer, "by": by})).first() is not None
            await tx.execute(_ALL_LIVE, {"consumer": self._consumer})
        self._see(())
        return released

    async def sit(self, instance: str) -> None:
        """Take the seat of that instance, once, from whoever has it: this process is about to hear."""
        if self._seat is not None:
            return
        seat = {"consumer": self._consumer, "instance": instance, "process": self._process}
        async with self._connected() as tx:
            await tx.execute(_TAKE_SEAT, seat)
            found = await pulled(tx, self._consumer)
        self._seat = seat
        self._see(found)

    async def begin(self, instance: str) -> None:
        """Something lies before a consumer: count it until `got_through` says that it lived through its first batch.

        Once per start of the process. What kills it while it fetches, unpacks or applies leaves the count behind; a
        death before there was anything to take is nobody's fault who wrote to us, and is not counted.
        """
        if self._begun is not None:
            return
        async with self._connected() as tx:
            times: int = (await tx.execute(_BEGIN, {"consumer": self._consumer, "instance": instance})).scalar_one()
            if times > DEATHS_MAX:
                await tx.execute(_PULL, {"consumer": self._consumer, "cause": DEATHS, "lanes": 0, "party": None})
            found = await pulled(tx, self._consumer)
        self._begun = instance
        self._see(found)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A transaction of the consumer's, to which a database that is away is a broker that is away."""
        try:
            async with transaction(self._engine) as tx:
                yield tx
        except Exception as error:
            if not is_weather(error):
                raise
            raise ConnectionError from error

    async def leave(self) -> None:
        """The process stops in good order: its seat is free."""
        if self._seat is None:
            return
        try:
            async with transaction(self._engine) as tx:
                await tx.execute(_LEAVE_SEAT, self._seat)
        except Exception as error:
            if not is_weather(error):
                raise
            log.warning("the seat is not given back: it is free when it was not seen for a while")
        self._seat = None

    async def got_through(self) -> None:
        """The first batch is durable, nothing was there, or the consumer stops in good order: no death to count."""
        instance, self._begun = self._begun, self._begun and ""
        if not instance:
            return
        try:
            async with transaction(self._engine) as tx:
                await tx.execute(_LIVES, {"consumer": self._consumer, "instance": instance})
        except Exception as error:
            if not is_weather(error):
                raise
            self._begun = instance


_PULLED = sa.text("""
    SELECT cause, lanes, pulled_at, party FROM brake WHERE consumer = :consumer AND released_at IS NULL
    ORDER BY party NULLS FIRST
""")

_PULL = sa.text("""
    INSERT INTO brake (consumer, cause, lanes, party) VALUES (:consumer, :cause, :lanes, :party)
    ON CONFLICT (consumer, coalesce(party, '')) WHERE released_at IS NULL DO NOTHING
    RETURNING cause, lanes, pulled_at, party
""").bindparams(sa.bindparam("party", type_=TEXT))

_LATELY = sa.text("""
    SELECT error_class, party, count(DISTINCT (topic, key)) AS lanes
    FROM parked LEFT JOIN unnest(:topics, :parties) AS others (topic, party) USING (topic)
    WHERE consumer = :consumer AND error_class NOT IN (:gap, :behind) AND parked_at > greatest(
        clock_timestamp() - make_interval(secs => :seconds),
        (SELECT max(released_at) FROM brake WHERE consumer = :consumer))
    GROUP BY error_class, party
""").bindparams(sa.bindparam("topics", type_=ARRAY(TEXT)), sa.bindparam("parties", type_=ARRAY(TEXT)))

_RELEASE = sa.text("""
    UPDATE brake SET released_at = clock_timestamp(), released_by = :by
    WHERE consumer = :consumer AND released_at IS NULL RETURNING consumer
""")

_BEGIN = sa.text("""
    INSERT INTO consumer_start (consumer, instance) VALUES (:consumer, :instance)
    ON CONFLICT (consumer, instance) DO UPDATE SET times = consumer_start.times + 1 RETURNING times
""")

_LIVES = sa.text("DELETE FROM consumer_start WHERE consumer = :consumer AND instance = :instance")
_TAKE_SEAT = sa.text("""
    INSERT INTO seat (consumer, instance, process) VALUES (:consumer, :instance, :process)
    ON CONFLICT (consumer, instance) DO UPDATE SET process = excluded.process, seen_at = clock_timestamp()
""")

# Ours, or free: nobody's, or of one who was not seen for long.
_KEEP_SEAT = sa.text(f"""
    INSERT INTO seat (consumer, instance, process) VALUES (:consumer, :instance, :process)
    ON CONFLICT (consumer, instance) DO UPDATE SET process = excluded.process, seen_at = clock_timestamp()
    WHERE seat.process = excluded.process OR seat.seen_at < clock_timestamp() - interval '{SEAT_SECONDS} seconds'
    RETURNING process
""")  # noqa: S608  # a number of ours

_LEAVE_SEAT = sa.text("DELETE FROM seat WHERE consumer = :consumer AND instance = :instance AND process = :process")

_ALL_LIVE = sa.text("DELETE FROM consumer_start WHERE consumer = :consumer")
