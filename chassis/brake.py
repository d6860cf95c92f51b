"""Stops the consumer when trouble is no longer one lane's: a bad deployment must not park everything.

Two things pull the brake: more than twenty lanes parked with one class within a minute, and an input by which the
consumer has died three times. Nothing further is fetched then; commands go on. Only an operator lets go of it, and a
restart does not: the row in the database is the truth, for every replica.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import is_weather
from chassis.parking import WAITING

log = logging.getLogger(__name__)

LANES_MAX = 20
WITHIN_SECONDS = 60
DEATHS_MAX = 3
DEATHS = "deaths"  # stands for the class of trouble where the consumer did not live to say it
LOOK_SECONDS = 2.0  # how late a replica notices what another one, or an operator there, has done


class TooManyLanes(Exception):
    """One batch alone would park more lanes with one class than pull the brake: its items are run singly instead."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """The brake is on: by which class of trouble, how many lanes it held within that minute, since when."""

    cause: str
    lanes: int
    since: datetime


async def pull_if_too_many(tx: AsyncConnection, consumer: str) -> Pulled | None:
    """Asked in the transaction that parks: pulls the brake if that was one lane too many, and says so once."""
    parameters = {"consumer": consumer, "most": LANES_MAX, "seconds": WITHIN_SECONDS, "gap": WAITING[0]}
    row = (await tx.execute(_PULL_IF_TOO_MANY, parameters | {"behind": WAITING[1]})).one_or_none()
    return None if row is None else Pulled(*row)


async def pulled(tx: AsyncConnection, consumer: str) -> Pulled | None:
    """Whether the brake is on."""
    row = (await tx.execute(_PULLED, {"consumer": consumer})).one_or_none()
    return None if row is None else Pulled(*row)


class Brake:
    """The brake of one consumer, as this process last saw it."""

    def __init__(self, engine: AsyncEngine, consumer: str) -> None:
        self._engine, self._consumer = engine, consumer
        self._begun: str | None = None
        self.pulled: Pulled | None = None

    @property
    def on(self) -> bool:
        """Whether nothing may be fetched or applied."""
        return self.pulled is not None

    def pull(self, found: Pulled | None) -> None:
        """Take over what the database says; a change is said aloud, the first line is what alarms listen for."""
        told = {"consumer": self._consumer}
        if found is not None and self.pulled is None:
            told |= {"error_class": found.cause, "count": found.lanes}  # type: ignore[dict-item]  # the log takes both
            log.error("brake is on: the consumer is stopped", extra=told)
        elif found is None and self.pulled is not None:
            log.warning("brake is released: the consumer goes on", extra=told)
        self.pulled = found

    async def look(self) -> None:
        """See what the database says."""
        async with self._engine.connect() as tx:
            self.pull(await pulled(tx, self._consumer))

    async def watch(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def release(self, by: str) -> bool:
        """An operator lets go of it; whether it was on. Lanes parked before do not count again."""
        async with self._engine.begin() as tx:
            released = (await tx.execute(_RELEASE, {"consumer": self._consumer, "by": by})).first() is not None
            await tx.execute(_ALL_LIVE, {"consumer": self._consumer})
        self.pull(None)
        return released

    async def begin(self, instance: str) -> None:
        """Something lies before a consumer: count it until `got_through` says that it lived through its first batch.

        Once per start of the process. What kills it while it fetches, unpacks or applies leaves the count behind; a
        death before there was anything to take is nobody's fault who wrote to us, and is not counted.
        """
        if self._begun is not None:
            return
        try:
            async with self._engine.begin() as tx:
                times: int = (await tx.execute(_BEGIN, {"consumer": self._consumer, "instance": instance})).scalar_one()
                if times > DEATHS_MAX:
                    await tx.execute(_PULL, {"consumer": self._consumer, "cause": DEATHS, "lanes": 0})
                found = await pulled(tx, self._consumer)
        except Exception as error:
            if not is_weather(error):
                raise
            raise ConnectionError from error
        self._begun = instance
        self.pull(found)

    async def got_through(self) -> None:
        """The first batch is durable, nothing was there, or the consumer stops in good order: no death to count."""
        instance, self._begun = self._begun, self._begun and ""
        if not instance:
            return
        try:
            async with self._engine.begin() as tx:
                await tx.execute(_LIVES, {"consumer": self._consumer, "instance": instance})
        except Exception as error:
            if not is_weather(error):
                raise
            self._begun = instance


_PULLED = sa.text("SELECT cause, lanes, pulled_at FROM brake WHERE consumer = :consumer AND released_at IS NULL")

_PULL = sa.text("""
    INSERT INTO brake (consumer, cause, lanes) VALUES (:consumer, :cause, :lanes)
    ON CONFLICT (consumer) WHERE released_at IS NULL DO NOTHING
""")

# What waits only for something that is missing is no sign of a bad deployment, and stopping would keep it away.
_PULL_IF_TOO_MANY = sa.text("""
    INSERT INTO brake (consumer, cause, lanes)
    SELECT :consumer, error_class, count(DISTINCT (topic, key)) FROM parked
    WHERE consumer = :consumer AND error_class NOT IN (:gap, :behind) AND parked_at > greatest(
        clock_timestamp() - make_interval(secs => :seconds),
        (SELECT max(released_at) FROM brake WHERE consumer = :consumer))
    GROUP BY error_class HAVING count(DISTINCT (topic, key)) > :most ORDER BY 3 DESC LIMIT 1
    ON CONFLICT (consumer) WHERE released_at IS NULL DO NOTHING
    RETURNING cause, lanes, pulled_at
""")

_RELEASE = sa.text("""
    UPDATE brake SET released_at = clock_timestamp(), released_by = :by
    WHERE consumer = :consumer AND released_at IS NULL RETURNING consumer
""")

_BEGIN = sa.text("""
    INSERT INTO consumer_start (consumer, instance) VALUES (:consumer, :instance)
    ON CONFLICT (consumer, instance) DO UPDATE SET times = consumer_start.times + 1 RETURNING times
""")

_LIVES = sa.text("DELETE FROM consumer_start WHERE consumer = :consumer AND instance = :instance")
_ALL_LIVE = sa.text("DELETE FROM consumer_start WHERE consumer = :consumer")
