"""Relay alone: rows that wait in an outbox are carried to Kafka, by ours and by a library that does the same.

Ours is the product's relay as it is, on the product's tables. The peer is `faststream-outbox` with its own table, once
as its quick start shows it and once tuned. Both carry the same records (key, body, headers) to the same topic, over
mutual TLS, with `acks=all` and an idempotent producer. Ours keeps the order of each subject; the tuned peer does not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import Any, Final

import sqlalchemy as sa
from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]  # ships no types
from faststream.kafka import KafkaBroker, KafkaResponse
from faststream.security import BaseSecurity
from faststream_outbox import OutboxBroker, make_outbox_table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks import machine
from benchmarks.flow import SENDER
from benchmarks.ground import Ground
from chassis.database import engine
from chassis.relay import BATCH_BYTES, Relay

PRINCIPAL: Final = f"{SENDER}.handover"
TOPIC: Final = f"{PRINCIPAL}.events"
SUBJECTS: Final = 1000
BODY_BYTES: Final = 1024
WORKERS, FETCHED, FLUSHED, FETCH_SECONDS = 32, 500, 100, 0.01
LOOK_SECONDS: Final = 0.02
DRAINED_SECONDS_MAX: Final = 300.0
QUIET: Final = logging.getLogger(__name__)  # says what goes wrong; a line per record would be the peer's default
_DIGITS: Final = 36


@dataclass(frozen=True, slots=True)
class Drained:
    """One outbox carried off; costs are microseconds of processor time per record."""

    contestant: str
    rows: int
    seconds: float
    per_second: float
    client_us: float
    postgres_us: float
    kafka_us: float
    foreign: float
    quiet: bool

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Means:
    """What a relay may use."""

    dsn: str
    bootstrap: str
    tls: ssl.SSLContext


async def drained(ground: Ground, contestant: str, rows: int) -> Drained:
    """Fill the outbox, start the relay, stop the clock when the outbox is empty; then look what is in the topic."""
    await ground.fresh(0)
    mine = contestant == "ours"
    waiting = "SELECT EXISTS (SELECT FROM outbox)" if mine else "SELECT EXISTS (SELECT FROM peer_outbox)"
    async with ground.database(PRINCIPAL) as connection:
        await connection.execute(f"DROP TABLE IF EXISTS {PEER.name}")
        if not mine:
            await _make_peer(ground)
        await connection.execute((OURS_ROWS if mine else PEER_ROWS).format(rows=rows))
        await connection.execute("ANALYZE")
        await connection.execute("CHECKPOINT")
        tls = ground.addresses.admin
        context = create_ssl_context(cafile=tls.ca, certfile=tls.certificate, keyfile=tls.key)
        means = Means(ground.addresses.postgres.administrator(PRINCIPAL), ground.addresses.bootstrap, context)
        before = machine.read(ground.server_pids)
        began = perf_counter()
        async with RELAYS[contestant](means), asyncio.timeout(DRAINED_SECONDS_MAX):
            while await connection.fetchval(waiting):  # noqa: ASYNC110  # the same look for all, not an event of one
                await asyncio.sleep(LOOK_SECONDS)
            took = perf_counter() - began
            cost = machine.between(before, machine.read(ground.server_pids))
        await connection.execute(f"DROP TABLE IF EXISTS {PEER.name}")
    found = sum((await ground.ends([TOPIC])).values())
    if found != rows:
        raise RuntimeError(f"{contestant}: {found} records on the topic, not {rows}")
    each = {name: seconds / rows * 1e6 for name, seconds in cost.groups.items()}
    return Drained(
        contestant,
        rows,
        took,
        rows / took,
        each[machine.LOAD],
        each["postgres"],
        each["kafka"],
        cost.foreign,
        cost.quiet,
    )


# --- the two ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _ours(means: Means) -> AsyncIterator[None]:
    made = engine(means.dsn)
    relay = Relay(made, bootstrap=means.bootstrap, ssl_context=means.tls, client_id="bench")
    await relay.start()
    try:
        yield
    finally:
        await relay.stop()
        await made.dispose()


@asynccontextmanager
async def _peer(means: Means, *, tuned: bool) -> AsyncIterator[None]:
    made = _peer_engine(means.dsn)
    more: dict[str, Any] = {"compression_type": "lz4", "max_batch_size": BATCH_BYTES} if tuned else {}
    security = BaseSecurity(ssl_context=means.tls)
    kafka = KafkaBroker(means.bootstrap, security=security, acks="all", enable_idempotence=True, logger=QUIET, **more)
    outbox = OutboxBroker(made, outbox_table=PEER, apply_types=not tuned, logger=QUIET)
    options: dict[str, Any] = {
        "max_workers": WORKERS,
        "fetch_batch_size": FETCHED,
        "terminal_flush_batch_size": FLUSHED,
        "min_fetch_interval": FETCH_SECONDS,
    }

    @kafka.publisher(TOPIC)
    @outbox.subscriber("facts", propagate_inbound_headers=True, **(options if tuned else {}))
    async def relay(body: dict[str, Any]) -> KafkaResponse:
        return KafkaResponse(body, key=body["subject"].encode())

    await kafka.connect()
    await outbox.start()
    try:
        yield
    finally:
        await outbox.stop()
        await kafka.stop()
        await made.dispose()


def _peer_engine(dsn: str) -> AsyncEngine:
    return create_async_engine(dsn, pool_size=WORKERS + 8)  # each worker keeps a connection


async def _make_peer(ground: Ground) -> None:
    made = _peer_engine(ground.addresses.postgres.administrator(PRINCIPAL))
    async with made.begin() as connection:
        await connection.run_sync(PEER.metadata.create_all)
    await made.dispose()


PEER: Final = make_outbox_table(sa.MetaData(), table_name="peer_outbox")
RELAYS: Final[Mapping[str, Callable[[Means], AbstractAsyncContextManager[None]]]] = {
    "ours": _ours,
    "peer": partial(_peer, tuned=False),
    "peer, tuned": partial(_peer, tuned=True),
}

# --- what waits -------------------------------------------------------------------------------------------------------

HEADERS: Final = {
    "ce_specversion": "1.0",
    "ce_id": "0" * _DIGITS,
    "ce_type": "staffel.handover.changed.v1",
    "ce_source": f"urn:staffel:{SENDER}:handover",
    "ce_time": "2026-11-22T00:00:00Z",
    "ce_subjectseq": "1",
    "content-type": "application/json",
    "traceparent": f"00-{'0' * 32}-{'0' * 16}-00",
}
# Hexadecimal digits of hashes: half as compressible as text is, and the same for all.
_BODY: Final = f"""
    convert_to(json_build_object('subject', key, 'text', (
        SELECT string_agg(md5(n || '.' || i), '') FROM generate_series(1, {BODY_BYTES // 32 - 2}) AS i
    ))::text, 'UTF8')
"""
_KEYS: Final = f"""
    (SELECT n, lpad(to_hex(n % {SUBJECTS}), 32, '0')::uuid AS key, n / {SUBJECTS} + 1 AS seq
     FROM generate_series(0, {{rows}} - 1) AS n) AS fact
"""


def _literal(value: object) -> str:
    return "'" + json.dumps(value).replace("{", "{{").replace("}", "}}") + "'::jsonb"


OURS_ROWS: Final = f"""
    WITH said AS (
        INSERT INTO event_log (event_id, topic, key, seq, type, headers, payload)
        SELECT md5(n::text)::uuid, '{TOPIC}', key, seq, 'staffel.handover.changed.v1',
               {_literal(list(HEADERS.items()))}, {_BODY}
        FROM {_KEYS} ORDER BY n RETURNING pos, topic, key
    ) INSERT INTO outbox (pos, topic, key) SELECT pos, topic, key FROM said
"""
PEER_ROWS: Final = f"""
    INSERT INTO peer_outbox (queue, payload, headers)
    SELECT 'facts', {_BODY}, {_literal({**HEADERS, "correlation_id": "0" * _DIGITS})} FROM {_KEYS} ORDER BY n
"""
