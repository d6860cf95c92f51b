"""The mechanism of the yardstick: asyncpg, aiokafka, set-based SQL, group commit, and nothing that could be left out.

It keeps what the product keeps (the same rows in the same tables, the same records, the same durability, TLS and
tokens) and knows one flow only: no table of laws, no models, no validation beyond what the flow needs, no telemetry.
What it cannot do is written nowhere because it need not be said to anybody: it is the limit, not a design.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import signal
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # ships no types
import httptools
from aiokafka import (  # type: ignore[import-untyped]  # ships no types
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
)
from aiokafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]  # ships no types

from chassis.auth import Gate, read_keys
from contracts.new_ids import new_id
from contracts.topics import heard_by
from deploy.installation import read_alliance

BATCH_MAX = 200
ROUND_MAX = 500
GATHER_SECONDS = 0.01
BUSY = 16
COMMIT_SECONDS = 1.0


@dataclass(slots=True)
class Asked:
    """A command over HTTP."""

    subject: UUID
    name: str
    principal: str
    key: str
    fingerprint: bytes
    answer: Callable[[int, bytes], None]
    trace: str


@dataclass(slots=True)
class Event:
    """A heard record."""

    topic: str
    partition: int
    offset: int
    id: UUID
    type: str
    key: UUID
    seq: int
    said: datetime
    trace: str
    value: bytes
    _body: Any = None

    @property
    def body(self) -> Any:
        """What it says."""
        if self._body is None:
            self._body = json.loads(self.value)
        return self._body


@dataclass(slots=True)
class Back:
    """An errand that has come back with what was asked."""

    id: UUID
    subject: UUID
    about: Mapping[str, str]
    found: Any
    trace: str


@dataclass(slots=True)
class Said:
    """A fact to be told."""

    topic: str
    kind: str
    type: str
    key: UUID
    body: bytes
    cause: UUID | None
    trace: str
    scope: bool = False


def headers_of(said: Said, event: UUID, seq: int, source: str, moment: str) -> list[list[str]]:
    """How a fact goes onto the wire."""
    headers = [
        ["ce_specversion", "1.0"],
        ["ce_id", str(event)],
        ["ce_type", said.type],
        ["ce_source", source],
        ["ce_subject", f"{said.kind}/{said.key}"],
        ["ce_time", moment],
        ["ce_dataschema", f"urn:staffel:schema:{said.type}"],
        ["ce_subjectseq", str(seq)],
        ["content-type", "application/json"],
        ["ce_correlationid", str(said.key)],
    ]
    if said.scope:
        headers += [["ce_alliance", "musterland"], ["ce_allianceversion", "1"]]
    if said.cause is not None:
        headers.append(["ce_causationid", str(said.cause)])
    return [*headers, ["ce_traceparent", said.trace], ["traceparent", said.trace]]


@dataclass(slots=True)
class Written:
    """What a service's meaning wants written beside its own rows."""

    said: list[Said] = field(default_factory=list)
    answers: list[tuple[Asked, int, bytes, bytes]] = field(default_factory=list)
    heard_by: dict[int, UUID] = field(default_factory=dict)
    """By position in the list of events: the subject it was about, where that is not its key; None: passed by."""
    deadlines: dict[tuple[str, UUID], datetime | None] = field(default_factory=dict)
    reservations: list[tuple[str, str, UUID]] = field(default_factory=list)
    errands: list[tuple[str, UUID, str, str, str]] = field(default_factory=list)
    done: list[UUID] = field(default_factory=list)


Fetch = Callable[[Any, Sequence[Mapping[str, str]]], Awaitable[Sequence[Any]]]
"""(engine, what several errands are about) -> what each of them wants to know."""

View = Callable[[Any, bytes], Awaitable[bytes]]
"""(connection, body) -> the answer to another service."""


class Meaning(Protocol):
    """What one service does with a batch; pure SQL and dictionaries. `views` by path."""

    hears: frozenset[str]
    errands: Mapping[str, Fetch]
    views: Mapping[bytes, View]

    async def run(
        self, tx: Any, now: datetime, asked: Sequence[Asked], heard: Sequence[Event], back: Sequence[Back]
    ) -> Written:
        """Load, decide, write the service's own rows."""
        ...


def child(trace: str) -> str:
    """A span below that one."""
    return f"{trace[:36]}{secrets.token_hex(8)}-00"


def fresh_trace() -> str:
    """A trace that begins here."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


class Engine:
    """One service process."""

    def __init__(self, agency: str, service: str, settings: Mapping[str, str], meaning: Meaning) -> None:
        self.agency, self.service, self.settings, self.meaning = agency, service, settings, meaning
        self.principal = f"{agency}.{service}"
        self._source = f"urn:staffel:{agency}:{service}"
        self._asked: list[Asked] = []
        self._heard: list[tuple[Sequence[Event], Mapping[tuple[str, int], int], asyncio.Future[None]]] = []
        self._back: list[Back] = []
        self._something, self._told, self._sent = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.ready = False
        self.pool: Any = None
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings["STAFFEL_KAFKA_CA"])
        context.load_cert_chain(settings["STAFFEL_KAFKA_CERTIFICATE"], settings["STAFFEL_KAFKA_KEY"])
        self._kafka = {
            "bootstrap_servers": settings["STAFFEL_KAFKA"],
            "security_protocol": "SSL",
            "ssl_context": context,
        }
        self.secret = b""

    async def run(self) -> None:
        """Until cancelled."""
        dsn = self.settings["STAFFEL_DATABASE"].replace("+asyncpg", "")
        self.pool = await asyncpg.create_pool(dsn, min_size=3, max_size=5)
        async with self.pool.acquire() as connection:
            await connection.execute(
                "INSERT INTO service_secret (name, value) VALUES ('fingerprint', $1) ON CONFLICT DO NOTHING",
                secrets.token_bytes(32),
            )
            self.secret = await connection.fetchval("SELECT value FROM service_secret WHERE name = 'fingerprint'")
        await asyncio.gather(self._consume(), self._work(), self._relay(), self._fetch())

    def ask(self, asked: Asked) -> None:
        """Take a command."""
        self._asked.append(asked)
        self._something.set()

    # --- in -----------------------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        files = [read_alliance(Path(file)) for file in json.loads(self.settings["STAFFEL_ALLIANCES"])]
        topics = heard_by(self.agency, self.service, *files)  # type: ignore[arg-type]  # names are names
        consumer = AIOKafkaConsumer(
            **self._kafka,
            group_id=self.principal,
            group_instance_id=f"{self.principal}.0",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            max_poll_records=BATCH_MAX,
            session_timeout_ms=45_000,
            max_poll_interval_ms=600_000,
        )
        await consumer.start()
        seen: asyncio.Event = asyncio.Event()
        consumer.subscribe(topics, listener=Assigned(seen))
        committed, offsets = 0.0, {}
        loop = asyncio.get_running_loop()
        while True:
            found = await consumer.getmany(timeout_ms=30, max_records=BATCH_MAX)
            self.ready = seen.is_set()
            events, ends = [], {}
            for partition, records in found.items():
                ends[partition.topic, partition.partition] = records[-1].offset + 1
                offsets[partition] = records[-1].offset + 1
                events += [_event(record) for record in records]
            if events:
                done: asyncio.Future[None] = loop.create_future()
                self._heard.append((events, ends, done))
                self._something.set()
                await done
                if BUSY <= len(events) < BATCH_MAX:
                    await asyncio.sleep(GATHER_SECONDS)
            if offsets and (not events or loop.time() > committed + COMMIT_SECONDS):
                await consumer.commit(offsets)
                committed, offsets = loop.time(), {}

    # --- the one transaction ------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while self._asked or self._heard or self._back:
                asked, self._asked = self._asked[:BATCH_MAX], self._asked[BATCH_MAX:]
                heard, self._heard = self._heard, []
                back, self._back = self._back, []
                await self._batch(asked, heard, back)

    async def _batch(
        self,
        asked: Sequence[Asked],
        heard: Sequence[tuple[Sequence[Event], Mapping[tuple[str, int], int], asyncio.Future[None]]],
        back: Sequence[Back],
    ) -> None:
        events = [event for several, _, _ in heard for event in several]
        async with self.pool.acquire() as connection, connection.transaction():
            new = await self._new(connection, events)
            apply = [event for event in events if event.id in new and event.type in self.meaning.hears]
            now = await connection.fetchval("SELECT clock_timestamp()")
            if asked:
                known = await self._known(connection, asked)
                asked = [one for one in asked if (one.principal, one.key) not in known]
            written = await self.meaning.run(connection, now, asked, apply, back)
            await self._write(connection, now, written, apply)
            for _, ends, _ in heard:
                await connection.execute(
                    _POSITION, self.principal, [t for t, _ in ends], [p for _, p in ends], list(ends.values())
                )
        if written.said:
            self._told.set()
        if written.errands:
            self._sent.set()
        for one, version, body, _ in written.answers:
            one.answer(version, body)
        for _, _, done in heard:
            done.set_result(None)

    async def _new(self, tx: Any, events: Sequence[Event]) -> set[UUID]:
        """Lock the lanes and advance them; events that are not the next of their lane are no news."""
        if not events:
            return set()
        lanes: dict[tuple[str, UUID], list[Event]] = {}
        for event in events:
            lanes.setdefault((event.topic, event.key), []).append(event)
        keys = sorted(lanes)
        rows = await tx.fetch(
            _ADVANCE,
            self.principal,
            [t for t, _ in keys],
            [k for _, k in keys],
            [lanes[key][0].seq for key in keys],
            [lanes[key][-1].seq for key in keys],
            [lanes[key][-1].id for key in keys],
        )
        if len(rows) != len(keys):
            raise RuntimeError("a gap or a repeat: the yardstick knows only the straight way")
        return {event.id for event in events}

    async def _known(self, tx: Any, asked: Sequence[Asked]) -> set[tuple[str, str]]:
        rows = await tx.fetch(_KNOWN, [one.principal for one in asked], [one.key for one in asked])
        return {(row["principal"], row["key"]) for row in rows}

    async def _write(self, tx: Any, now: datetime, what: Written, heard: Sequence[Event]) -> None:
        if heard:
            subjects = [what.heard_by.get(n, event.key) for n, event in enumerate(heard)]
            await tx.execute(
                _REMEMBER,
                self.principal,
                [e.id for e in heard],
                subjects,
                [e.topic for e in heard],
                [e.key for e in heard],
                [e.seq for e in heard],
                [e.type for e in heard],
                [e.trace for e in heard],
                [e.said for e in heard],
                now,
            )
        if what.reservations:
            await tx.execute(_RESERVE, *map(list, zip(*what.reservations, strict=True)))
        await self._say(tx, now, what.said)
        gone = [key for key, due in what.deadlines.items() if due is None]
        if gone:
            await tx.execute(_DISARM, [kind for kind, _ in gone], [subject for _, subject in gone])
        armed = sorted((key, due) for key, due in what.deadlines.items() if due is not None)
        if armed:
            await tx.execute(
                _ARM,
                [kind for (kind, _), _ in armed],
                [subject for (_, subject), _ in armed],
                [new_id() for _ in armed],
                [due for _, due in armed],
            )
        if what.done:
            await tx.execute("DELETE FROM errand WHERE id = ANY($1)", what.done)
        if what.errands:
            columns = list(map(list, zip(*what.errands, strict=True)))
            await tx.execute(_SEND, *columns, [new_id() for _ in what.errands])
        if what.answers:
            await tx.execute(
                _ANSWER,
                [one.principal for one, *_ in what.answers],
                [one.key for one, *_ in what.answers],
                [one.fingerprint for one, *_ in what.answers],
                [headers for *_, headers in what.answers],
                [body for _, _, body, _ in what.answers],
            )

    async def _say(self, tx: Any, now: datetime, said: Sequence[Said]) -> None:
        if not said:
            return
        counts: dict[tuple[str, UUID], int] = {}
        for one in said:
            counts[one.topic, one.key] = counts.get((one.topic, one.key), 0) + 1
        keys = sorted(counts)
        rows = await tx.fetch(_COUNT, [t for t, _ in keys], [k for _, k in keys], [counts[key] for key in keys])
        last = {(row["topic"], row["key"]): row["last"] for row in rows}
        following = {key: last[key] - count for key, count in counts.items()}
        moment = now.isoformat().replace("+00:00", "Z")
        columns: list[tuple[UUID, str, UUID, int, str, str, bytes]] = []
        for one in said:
            key = (one.topic, one.key)
            following[key] += 1
            event = new_id()
            headers = headers_of(one, event, following[key], self._source, moment)
            columns.append((event, one.topic, one.key, following[key], one.type, json.dumps(headers), one.body))
        await tx.execute(_SAY, *map(list, zip(*columns, strict=True)))

    # --- out ----------------------------------------------------------------------------------------------------------

    async def _relay(self) -> None:
        producer = AIOKafkaProducer(
            **self._kafka,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=60 * 1024,
            compression_type="lz4",
        )
        await producer.start()
        partitions: dict[str, list[int]] = {}
        choose = DefaultPartitioner()
        async with self.pool.acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock(8751735898823356280)"):
                raise RuntimeError("somebody else leads")
            while True:
                self._told.clear()
                rows = await connection.fetch(_READ, ROUND_MAX)
                if not rows:
                    await self._told.wait()
                    continue
                groups: dict[tuple[str, int], list[Any]] = {}
                for row in rows:
                    if row["topic"] not in partitions:
                        partitions[row["topic"]] = sorted(await producer.partitions_for(row["topic"]))
                    key, of = str(row["key"]).encode(), partitions[row["topic"]]
                    groups.setdefault((row["topic"], choose(key, of, of)), []).append((row, key))
                sent = []
                for (topic, partition), group in groups.items():
                    for batch, builder in _batches(producer, group):
                        sent.append(
                            (batch, topic, partition, await producer.send_batch(builder, topic, partition=partition))
                        )
                columns: list[tuple[str, int, int, int]] = []
                for batch, topic, partition, future in sent:
                    base = (await future).offset
                    columns += [(topic, pos, partition, base + n) for n, pos in enumerate(batch)]
                columns.sort(key=lambda column: column[1])
                await connection.execute(_PUBLISHED, *map(list, zip(*columns, strict=True)))
                if BUSY <= len(rows) < ROUND_MAX:
                    await asyncio.sleep(GATHER_SECONDS)

    async def _fetch(self) -> None:
        """Run the errands that wait, all at once."""
        while True:
            await self._sent.wait()
            self._sent.clear()
            for name, fetch in self.meaning.errands.items():
                while rows := await self.pool.fetch(_TAKE, name, BATCH_MAX):
                    abouts = [json.loads(row["about"]) for row in rows]
                    found = await fetch(self, abouts)
                    self._back += [
                        Back(row["id"], row["subject"], about, one, child(row["traceparent"]))
                        for row, about, one in zip(rows, abouts, found, strict=True)
                    ]
                    self._something.set()


def _batches(producer: Any, group: Sequence[tuple[Any, bytes]]) -> Iterable[tuple[list[int], Any]]:
    builder: Any = producer.create_batch()
    batch: list[int] = []
    for row, key in group:
        headers = [(name, value.encode()) for name, value in json.loads(row["headers"])]
        while builder.append(timestamp=None, key=key, value=row["payload"], headers=headers) is None:
            yield batch, builder
            builder, batch = producer.create_batch(), []
        batch.append(row["pos"])
    yield batch, builder


def _event(record: Any) -> Event:
    headers = dict(record.headers)
    return Event(
        record.topic,
        record.partition,
        record.offset,
        UUID(headers["ce_id"].decode()),
        headers["ce_type"].decode(),
        UUID(record.key.decode()),
        int(headers["ce_subjectseq"]),
        datetime.fromisoformat(headers["ce_time"].decode()),
        headers["traceparent"].decode(),
        record.value,
    )


class Assigned(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Notes when the group has given out its partitions."""

    def __init__(self, seen: asyncio.Event) -> None:
        self._seen = seen

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Nothing to give back: a run has one process per service."""

    def on_partitions_assigned(self, assigned: Any) -> None:
        """The group has given out its partitions."""
        self._seen.set()


# --- HTTP -------------------------------------------------------------------------------------------------------------


class Http(asyncio.Protocol):
    """A command per request: token, key, body; an answer when its transaction is durable."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine, self._gate = engine, gate
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._url, self._body = b"", b""

    def connection_made(self, transport: Any) -> None:
        """A line is open."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The address."""
        self._url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The request is there."""
        url, headers, body = self._url, self._headers, self._body
        self._url, self._headers, self._body = b"", {}, b""
        if url == b"/ready":
            self.answer(200 if self._engine.ready else 503, b"{}")
            return
        caller = self._gate.caller(headers.get(b"authorization"), datetime.now(UTC))
        if url.startswith(b"/internal/"):
            if "consent" not in caller.roles:
                raise PermissionError
            asyncio.ensure_future(self._view(url, body))  # noqa: RUF006  # the line lives as long as its answer is awaited
            return
        if "caseworker" not in caller.roles:
            raise PermissionError
        json.loads(body or b"{}")
        _, _, subject, name = url.decode().split("/")
        said = hmac.digest(self._engine.secret, b"\n".join((b"POST", url, body)), "sha256")
        self._engine.ask(
            Asked(
                UUID(subject),
                name,
                caller.principal,
                headers[b"idempotency-key"].decode(),
                said,
                self._answered,
                fresh_trace(),
            )
        )

    async def _view(self, url: bytes, body: bytes) -> None:
        async with self._engine.pool.acquire() as connection:
            self.answer(200, await self._engine.meaning.views[url](connection, body))

    def _answered(self, version: int, body: bytes) -> None:
        self.answer(200, body, b'etag: "%d"\r\n' % version)

    def answer(self, status: int, body: bytes, more: bytes = b"") -> None:
        """Write the answer."""
        self._transport.write(
            b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n%s"
            % (status, more, len(body), body)
        )


async def serve(agency: str, service: str, data: str, meaning: Meaning) -> None:
    """Run one service until SIGTERM."""
    lines = (Path(data) / "nodes" / agency / f"{service}.env").read_text("utf-8").splitlines()
    settings = {name: value for name, _, value in (line.partition("=") for line in lines)}
    engine = Engine(agency, service, settings, meaning)
    gate = Gate(
        issuer=settings["STAFFEL_ISSUER"],
        issuer_keys=read_keys(Path(settings["STAFFEL_ISSUER_KEYS"])),
        audience=engine.principal,
        service_keys=read_keys(Path(settings["STAFFEL_SERVICE_KEYS"])),
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Http(engine, gate), "127.0.0.1", int(settings["STAFFEL_PORT"]), backlog=512
    )
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    running, stopping = asyncio.ensure_future(engine.run()), asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    server.close()
    os._exit(0)  # nothing to give back


_ADVANCE = """
    INSERT INTO lane (consumer, topic, key, last_seq, last_id)
    SELECT $1, topic, key, last, id FROM unnest($2::text[], $3::uuid[], $4::int[], $5::int[], $6::uuid[])
        AS new (topic, key, first, last, id)
    ON CONFLICT (consumer, topic, key) DO UPDATE
    SET last_seq = excluded.last_seq, last_id = excluded.last_id, updated_at = clock_timestamp()
    WHERE lane.last_seq < excluded.last_seq
    RETURNING topic, key
"""
_KNOWN = "SELECT principal, key FROM answer WHERE (principal, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
_REMEMBER = """
    INSERT INTO inbox (consumer, event_id, subject, topic, key, seq, type, traceparent, said_at, heard_at)
    SELECT $1, id, subject, topic, key, seq, type, trace, said, $10
    FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::int[], $7::text[], $8::text[], $9::timestamptz[])
        AS new (id, subject, topic, key, seq, type, trace, said)
"""
_POSITION = """
    INSERT INTO heard_up_to (consumer, topic, partition, next_offset)
    SELECT $1, topic, partition, next FROM unnest($2::text[], $3::int[], $4::bigint[]) AS new (topic, partition, next)
    ON CONFLICT (consumer, topic, partition) DO UPDATE
    SET next_offset = excluded.next_offset, written_at = clock_timestamp()
"""
_RESERVE = """
    INSERT INTO reservation (name, key, holder)
    SELECT name, key, holder FROM unnest($1::text[], $2::text[], $3::uuid[]) AS new (name, key, holder)
"""
_DISARM = """
    DELETE FROM deadline USING unnest($1::text[], $2::uuid[]) AS gone (kind, subject)
    WHERE deadline.kind = gone.kind AND deadline.subject = gone.subject
"""
_ARM = """
    INSERT INTO deadline (kind, subject, id, due_at)
    SELECT kind, subject, id, due FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::timestamptz[])
        AS new (kind, subject, id, due)
    ON CONFLICT (kind, subject) DO UPDATE SET id = excluded.id, due_at = excluded.due_at
"""
_SEND = """
    INSERT INTO errand (name, subject, key, about, traceparent, id)
    SELECT name, subject, key, about::jsonb, trace, id
    FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[])
        AS new (name, subject, key, about, trace, id)
"""
_TAKE = """
    UPDATE errand SET attempts = attempts + 1, taken_by = '0', next_at = clock_timestamp() + interval '30 s'
    WHERE id IN (SELECT id FROM errand WHERE next_at <= clock_timestamp() AND name = $1 ORDER BY next_at LIMIT $2)
    RETURNING id, subject, about, traceparent
"""
_ANSWER = """
    INSERT INTO answer (principal, key, fingerprint, status, headers, body)
    SELECT principal, key, print, 200, headers::jsonb, body
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[])
        AS new (principal, key, print, headers, body)
"""
_COUNT = """
    INSERT INTO stream_head AS head (topic, key, last)
    SELECT topic, key, n FROM unnest($1::text[], $2::uuid[], $3::int[]) AS new (topic, key, n)
    ON CONFLICT (topic, key) DO UPDATE SET last = head.last + excluded.last RETURNING topic, key, last
"""
_SAY = """
    WITH said AS (
        INSERT INTO event_log (event_id, topic, key, seq, type, headers, payload)
        SELECT id, topic, key, seq, type, headers::jsonb, payload
        FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::bytea[])
            WITH ORDINALITY AS new (id, topic, key, seq, type, headers, payload, place) ORDER BY place
        RETURNING pos, topic, key
    ) INSERT INTO outbox (pos, topic, key) SELECT pos, topic, key FROM said
"""
_READ = """
    SELECT waiting.pos, waiting.topic, waiting.key, said.headers, said.payload
    FROM (SELECT pos, topic, key FROM outbox ORDER BY pos LIMIT $1) AS waiting CROSS JOIN LATERAL (
        SELECT headers::text, payload FROM event_log WHERE event_log.pos = waiting.pos OFFSET 0
    ) AS said ORDER BY waiting.pos
"""
_PUBLISHED = """
    WITH sent AS (
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::int[], $4::bigint[])
            WITH ORDINALITY AS sent (topic, pos, partition, "offset", place)
    ), gone AS (DELETE FROM outbox WHERE pos = ANY ($2)), heads AS (
        SELECT topic, coalesce((SELECT max(number) FROM publication WHERE publication.topic = topics.topic), 0) AS last
        FROM (SELECT DISTINCT topic FROM sent) AS topics
    )
    INSERT INTO publication (topic, number, pos, partition, "offset")
    SELECT sent.topic, heads.last + row_number() OVER (PARTITION BY sent.topic ORDER BY sent.place), sent.pos,
           sent.partition, sent."offset" FROM sent JOIN heads ON heads.topic = sent.topic
"""
Run = Callable[[], Awaitable[None]]
