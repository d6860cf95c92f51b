"""The route of the feed: one page of what was published on a topic, in the JSON batch format of CloudEvents."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, RootModel
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.auth import Caller
from chassis.executor import Answer
from chassis.http import Call, Routes, Trouble, parties, services
from chassis.http.problems import Turned

MEDIA_TYPE = "application/cloudevents-batch+json"
PAGE = 100
PAGE_MAX = 500
PAGE_BYTES_MAX = 512 * 1024  # of bodies; whatever its size, the first event of a page is always there
NUMBER_MAX = 2**63 - 1
NUMBER, PARTITION, OFFSET = "feednumber", "feedpartition", "feedoffset"  # extensions of CloudEvents

LINK = '`rel="next"`: the page after this one; missing where this is all that is published so far.'

Number = Annotated[int, Field(ge=0, le=NUMBER_MAX)]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX)]
Partition = Annotated[int, Field(ge=0, le=2**31 - 1)]


class FeedEvent(BaseModel):
    """An event with all its attributes, and where it lies on its topic. Extensions are texts, as they are there."""

    model_config = ConfigDict(extra="allow")

    specversion: str
    id: UUID
    type: str
    source: str
    subject: str
    time: str
    datacontenttype: str
    subjectseq: str = Field(description="1, 2, 3 … per topic and subject.")
    feednumber: str = Field(description="Its number on the topic, in the order of publication.")
    feedpartition: str = Field(description="Partition of the topic.")
    feedoffset: str = Field(description="Offset there; -1 where the broker did not say it.")
    data: Any = Field(description="The fact.")


class FeedPage(RootModel[list[FeedEvent]]):
    """A batch of events (CloudEvents 1.0, JSON batch format) in the order of their numbers; it may be empty."""


def feed_routes(readers: Mapping[str, Collection[str]], sisters: Collection[str]) -> Routes:
    """The feed of every topic in `readers` (topic -> the principals that may read it).

    `sisters` are the services of the same node, which may ask at all; as other parties may. Who asks for a topic that
    is not theirs to read gets the same answer as who asks for one that does not exist.
    """
    routes = Routes()

    @routes.view(
        "/feeds/{topic}/events",
        allow=services(*sisters) | parties(),
        answer=FeedPage,
        media_type=MEDIA_TYPE,
        headers={"Link": LINK},
        unheeding=True,
    )
    async def feed(
        call: Call,
        tx: AsyncConnection,
        topic: str,
        after: Number = 0,
        limit: Limit = PAGE,
        key: UUID | None = None,
        partition: Partition | None = None,
        offset: Number = 0,
    ) -> Answer:
        """What was published on a topic after that number, in the order of publication.

        With `key` only that subject's; with `partition` only that partition's, there from `offset` on. A page holds at
        most `limit` events and 512 KB of bodies; the answer's Link leads to the next one.
        """
        if _principal(call.caller) not in readers.get(topic, ()):
            raise Turned(Trouble.NOT_FOUND)
        asked = {"topic": topic, "after": after, "limit": limit, "bytes": PAGE_BYTES_MAX}
        narrow: dict[str, Any] = {} if key is None else {"key": key}
        if partition is not None:
            narrow |= {"partition": partition, "offset": offset}
        statement = _PAGE[key is not None, partition is not None]
        rows = (await tx.execute(statement, asked | narrow)).all()
        headers = [("content-type", MEDIA_TYPE)]
        if rows and rows[0].found > len(rows):
            query = urlencode({"after": rows[-1].number, "limit": limit} | narrow)
            headers.append(("link", f'</feeds/{quote(topic)}/events?{query}>; rel="next"'))
        return Answer(200, b"[%b]" % b",".join(map(_as_json, rows)), tuple(headers))

    return routes


def _principal(caller: Caller) -> str:
    """`<party>.<service>`, whoever vouches for it."""
    return f"{caller.name}.{min(caller.roles)}" if caller.kind == "party" else caller.name


def _as_json(row: sa.Row[Any]) -> bytes:
    """The event in CloudEvents' JSON format; its body is put in as it was written, never read."""
    headers = json.loads(row.headers)
    attributes = {name[3:]: text for name, text in headers if name.startswith("ce_")}
    attributes["datacontenttype"] = next(text for name, text in headers if name == "content-type")
    attributes |= {NUMBER: str(row.number), PARTITION: str(row.partition), OFFSET: str(row.offset)}
    return b'%b,"data":%b}' % (json.dumps(attributes, ensure_ascii=False).encode()[:-1], bytes(row.payload))


_OF_PLACE = """
    AND published.partition = :partition AND ("offset" >= :offset OR "offset" < 0)
    AND number > coalesce((
        SELECT number FROM publication AS before
        WHERE before.topic = :topic AND before.partition = :partition
          AND before."offset" >= 0 AND before."offset" < :offset
        ORDER BY before."offset" DESC LIMIT 1
    ), 0)
"""


def _page(*, key: bool, partition: bool) -> sa.TextClause:
    """One more than asked for is looked at, to know whether there is more.

    Within a partition offsets grow with numbers, so everything after the last smaller offset is looked at, by number;
    what has no offset (the broker did not say it) lies where its number says.
    """
    of_key = "AND said.topic = :topic AND said.key = :key" if key else ""
    of_place = _OF_PLACE if partition else ""
    return sa.text(f"""
        WITH page AS (
            SELECT number, partition, "offset", headers::text AS headers, payload
            FROM publication AS published JOIN event_log AS said USING (pos)
            WHERE published.topic = :topic AND number > :after {of_key} {of_place}
            ORDER BY number LIMIT :limit + 1
        ), measured AS (
            SELECT *, sum(octet_length(payload)) OVER before AS bytes, row_number() OVER before AS place,
                   count(*) OVER () AS found
            FROM page WINDOW before AS (ORDER BY number)
        )
        SELECT number, partition, "offset", headers, payload, found FROM measured
        WHERE place <= :limit AND (place = 1 OR bytes <= :bytes) ORDER BY number
    """)  # noqa: S608  # two conditions of our own


_PAGE = {(key, partition): _page(key=key, partition=partition) for key in (True, False) for partition in (True, False)}
