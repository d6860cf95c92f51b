"""The client of feeds: pages of records as if they had come from the broker, or a word why there are none.

What comes back is judged like what lies on a topic: by the tolerant parser, against the topic's own reader list at the
other end, and by the same lanes. The connection is what proves who answers; use https between parties.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import httpx

from chassis.envelope import Envelope, Record, from_record, key_of
from chassis.feed.serving import MEDIA_TYPE, NUMBER, OFFSET, PARTITION

PAGE_EVENTS = 200
ANSWER_BYTES_MAX = 4 * 1024 * 1024  # of a page: four times what an honest one can have
ANSWER_SECONDS = 10.0  # for a whole page: a feed that drips must hold up its reader no longer than one that is silent
TOKEN_SECONDS = 30.0  # half the life of a token
OF_THE_FEED = frozenset((NUMBER, PARTITION, OFFSET))


class NotHad(Exception):
    """A feed does not give what was asked for, now. Carries a reason code, no content."""


class Page(NamedTuple):
    """Some records of a topic in the order of publication, the number of the last one, and whether more follow."""

    records: tuple[Record, ...]
    last: int
    more: bool


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """Whose feeds a service has and reads: data of the service.

    `readers`: topic it writes -> principals that may read it. `sisters`: names of the services of its node. `urls`:
    principal of another party's service -> its base URL. `signer`: which sister signs for the party.
    """

    readers: Mapping[str, Collection[str]] = field(default_factory=dict)
    sisters: Collection[str] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    signer: str | None = None


class Feeds:
    """The feeds of the topics one service hears. `sisters`: base URLs of the node's services, by name."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        party: str,
        writers: Mapping[str, str],
        plan: FeedPlan,
        sisters: Mapping[str, str],
        signed_for: Callable[[str], str],
    ) -> None:
        self._client, self._party, self._writers, self._plan = client, party, writers, plan
        self._sisters, self._signed_for = sisters, signed_for
        self._tokens: dict[str, tuple[float, str]] = {}

    async def page(self, topic: str, *, after: int = 0, **narrow: UUID | int) -> Page:
        """One page behind that number; `narrow` by `key`, or by `partition` and `offset`. Raises NotHad."""
        writer = self._writers[topic]
        party, _, name = writer.rpartition(".")
        base = self._sisters.get(name) if party == self._party else self._plan.urls.get(writer)
        if base is None:
            raise NotHad("no-address")
        url = f"{base}/feeds/{quote(topic, safe='')}/events"
        query = {"after": str(after), "limit": str(PAGE_EVENTS)} | {name: str(value) for name, value in narrow.items()}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                headers = {"authorization": f"Bearer {await self._token(writer, party)}", "accept-encoding": "identity"}
                body, more = await self._asked(url, query, headers)
        except TimeoutError as error:
            raise NotHad("too-slow") from error
        return _page(topic, after, body, more=more)

    async def _token(self, writer: str, party: str) -> str:
        """Our own word is good in our own node; for another party the sister that holds the party's key vouches."""
        if party == self._party:
            return self._signed_for(writer)
        until, token = self._tokens.get(writer, (0.0, ""))
        if monotonic() > until:
            token = await self._vouched(party)
            self._tokens[writer] = (monotonic() + TOKEN_SECONDS, token)
        return token

    async def _vouched(self, party: str) -> str:
        signer = self._plan.signer
        base = None if signer is None else self._sisters.get(signer)
        if base is None:
            raise NotHad("no-signer")
        headers = {"authorization": f"Bearer {self._signed_for(f'{self._party}.{signer}')}"}
        try:
            answer = await self._client.post(f"{base}/internal/parties/{party}/token", headers=headers)
            if answer.status_code != httpx.codes.OK:
                raise NotHad(f"signer-{answer.status_code}")
            return str(answer.json()["token"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise NotHad("signer-unreachable") from error

    async def _asked(self, url: str, query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[bytes, bool]:
        try:
            async with self._client.stream(
                "GET", url, params=query, headers=headers, timeout=ANSWER_SECONDS, follow_redirects=False
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise NotHad(f"status-{answer.status_code}")
                if not answer.headers.get("content-type", "").startswith(MEDIA_TYPE):
                    raise NotHad("not-a-feed")
                body = b""
                async for piece in answer.aiter_raw():
                    body += piece
                    if len(body) > ANSWER_BYTES_MAX:
                        raise NotHad("too-long")
                return body, 'rel="next"' in answer.headers.get("link", "")
        except httpx.HTTPError as error:
            raise NotHad("unreachable") from error


def _page(topic: str, after: int, body: bytes, *, more: bool) -> Page:
    try:
        events = json.loads(body)
        last, records = after, []
        for event in events:
            number, record = _record(topic, event)
            if number <= last or not isinstance(record.envelope, Envelope):
                raise NotHad("not-a-feed")
            last = number
            records.append(record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotHad("not-a-feed") from error
    return Page(tuple(records), last, more and bool(records))


def _record(topic: str, event: Mapping[str, Any]) -> tuple[int, Record]:
    """The number of an event, and the record it is on its topic: same attributes, same body, same place."""
    attributes = {name: text for name, text in event.items() if name not in OF_THE_FEED and name != "data"}
    headers = [(f"ce_{name}", str(text).encode()) for name, text in attributes.items() if name != "datacontenttype"]
    headers.append(("content-type", str(attributes["datacontenttype"]).encode()))
    if "traceparent" in attributes:
        headers.append(("traceparent", str(attributes["traceparent"]).encode()))
    value = json.dumps(event["data"], ensure_ascii=False, separators=(",", ":")).encode()
    key = key_of(UUID(str(attributes["subject"]).rpartition("/")[2]))
    partition, offset = int(event[PARTITION]), int(event[OFFSET])
    return int(event[NUMBER]), from_record(topic, partition, offset, key, headers, value)
