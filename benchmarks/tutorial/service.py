"""One service as a tutorial builds it: an app, a session per request and per message, a loop that polls the outbox.

It keeps what the others keep: the same rows in the same tables, the same records, `acks=all`, idempotent producers,
mutual TLS, an answer only after its commit. Nothing waits on purpose; it is slow by doing everything one by one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Protocol, cast
from uuid import UUID

import httpx
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from faststream import AckPolicy
from faststream import Depends as Given
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.security import BaseSecurity
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.tutorial.models import (
    Errand,
    EventLog,
    HeardUpTo,
    Inbox,
    Lane,
    Outbox,
    Publication,
    ServiceSecret,
    StreamHead,
)
from benchmarks.yardstick.engine import Assigned, Said, headers_of
from chassis.auth import Caller, Gate, NotProved, read_key, read_keys, sign_internal
from contracts.new_ids import new_id
from contracts.topics import heard_by
from deploy.installation import read_alliance

POLL_SECONDS = 0.1
POLLED_MAX = 100
ERRAND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Event:
    """A heard record."""

    id: UUID
    type: str
    key: UUID
    seq: int
    said: datetime
    trace: str
    body: Mapping[str, Any]


Handler = Callable[[AsyncSession, Event], Awaitable[UUID]]
"""Writes the service's own rows; returns the subject the event was about."""


Run = Callable[[AsyncSession, Errand, httpx.AsyncClient], Awaitable[None]]
"""Runs one errand, asking own intake, and writes what it has found."""


class Meaning(Protocol):
    """What one service does, beside being a service. An errand of another name is kept waiting."""

    router: APIRouter
    handlers: Mapping[str, Handler]
    errands: Mapping[str, Run]


@dataclass(slots=True)
class Place:
    """Where a service runs and what it may use."""

    agency: str
    service: str
    settings: Mapping[str, str]
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def principal(self) -> str:
        """Its name."""
        return f"{self.agency}.{self.service}"

    def tls(self) -> ssl.SSLContext:
        """How it proves its name to the broker."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.settings["STAFFEL_KAFKA_CA"])
        context.load_cert_chain(self.settings["STAFFEL_KAFKA_CERTIFICATE"], self.settings["STAFFEL_KAFKA_KEY"])
        return context


def place(agency: str, service: str, data: str) -> Place:
    """Read the settings that the product's service has."""
    lines = (Path(data) / "nodes" / agency / f"{service}.env").read_text("utf-8").splitlines()
    return Place(agency, service, {name: value for name, _, value in (line.partition("=") for line in lines)})


# --- HTTP -------------------------------------------------------------------------------------------------------------


async def new_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session per request."""
    async with request.app.state.sessions() as session:
        yield session


def caller(request: Request, authorization: Annotated[str, Header()]) -> Caller:
    """Whoever asks, by token."""
    try:
        return cast(Gate, request.app.state.gate).caller(authorization.encode(), datetime.now(UTC))
    except NotProved as error:
        raise HTTPException(401) from error


def caseworker(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """Whoever asks is a caseworker."""
    if "caseworker" not in who.roles:
        raise HTTPException(403)
    return who


def own_consent(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """Whoever asks is the consent service beside this one."""
    if "consent" not in who.roles:
        raise HTTPException(403)
    return who


Session = Annotated[AsyncSession, Depends(new_session)]
Caseworker = Annotated[Caller, Depends(caseworker)]
OwnConsent = Annotated[Caller, Depends(own_consent)]


# --- in and out -------------------------------------------------------------------------------------------------------


async def say(session: AsyncSession, place_of: str, said: Said) -> None:
    """Write a fact into the log and the outbox, in the transaction of what it is about."""
    head = await session.get(StreamHead, (said.topic, said.key), with_for_update=True)
    if head is None:
        head = StreamHead(topic=said.topic, key=said.key, last=0)
        session.add(head)
    head.last += 1
    event, now = new_id(), datetime.now(UTC).isoformat().replace("+00:00", "Z")
    source = "urn:staffel:" + place_of.replace(".", ":")
    logged = EventLog(
        event_id=event,
        topic=said.topic,
        key=said.key,
        seq=head.last,
        type=said.type,
        headers=headers_of(said, event, head.last, source, now),
        payload=said.body,
    )
    session.add(logged)
    await session.flush()
    session.add(Outbox(pos=logged.pos, topic=said.topic, key=said.key))


async def is_news(session: AsyncSession, consumer: str, topic: str, event: Event) -> bool:
    """Whether this is the next event of its subject, and not one that was heard before."""
    lane = await session.get(Lane, (consumer, topic, event.key), with_for_update=True)
    if lane is None:
        lane = Lane(consumer=consumer, topic=topic, key=event.key, last_seq=0)
        session.add(lane)
    if event.seq <= lane.last_seq:
        return False
    if event.seq != lane.last_seq + 1:
        raise RuntimeError("a gap: the tutorial knows only the straight way")
    lane.last_seq, lane.last_id = event.seq, event.id
    return True


def broker(where: Place, sessions: async_sessionmaker[AsyncSession], meaning: Meaning) -> KafkaBroker:
    """Hears one message at a time, in a session of its own, and tells the broker after each."""
    security = BaseSecurity(ssl_context=where.tls())
    made = KafkaBroker(
        where.settings["STAFFEL_KAFKA"], security=security, logger=logging.getLogger("tutorial"), consumer_only=True
    )
    files = [read_alliance(Path(file)) for file in json.loads(where.settings["STAFFEL_ALLIANCES"])]
    topics = heard_by(where.agency, where.service, *files)  # type: ignore[arg-type]  # names are names

    async def session_of_its_own() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    @made.subscriber(
        *topics,
        group_id=where.principal,
        # As the others: whoever ran here before is known by this name for a while, and would keep its partitions.
        group_instance_id=f"{where.principal}.0",
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        listener=Assigned(where.ready),
    )
    async def hear(
        body: dict[str, Any],
        message: KafkaMessage,
        session: AsyncSession = Given(session_of_its_own),  # noqa: B008  # how FastStream is told
    ) -> None:
        record = cast(Any, message.raw_message)
        headers = message.headers
        event = Event(
            UUID(headers["ce_id"]),
            headers["ce_type"],
            UUID(record.key.decode()),
            int(headers["ce_subjectseq"]),
            datetime.fromisoformat(headers["ce_time"]),
            headers["traceparent"],
            body,
        )
        if await is_news(session, where.principal, record.topic, event) and event.type in meaning.handlers:
            subject = await meaning.handlers[event.type](session, event)
            session.add(
                Inbox(
                    consumer=where.principal,
                    event_id=event.id,
                    subject=subject,
                    topic=record.topic,
                    key=event.key,
                    seq=event.seq,
                    type=event.type,
                    traceparent=event.trace,
                    said_at=event.said,
                )
            )
        await session.merge(
            HeardUpTo(
                consumer=where.principal,
                topic=record.topic,
                partition=record.partition,
                next_offset=record.offset + 1,
            )
        )
        await session.commit()

    return made


async def poll_outbox(where: Place, sessions: async_sessionmaker[AsyncSession]) -> None:
    """Look every tenth of a second, publish what is there one by one, each with a commit of its own."""
    producer = AIOKafkaProducer(
        bootstrap_servers=where.settings["STAFFEL_KAFKA"],
        security_protocol="SSL",
        ssl_context=where.tls(),
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
    )
    await producer.start()
    try:
        while True:
            async with sessions() as session:
                waiting = (await session.scalars(select(Outbox).order_by(Outbox.pos).limit(POLLED_MAX))).all()
                for row in waiting:
                    said = await session.get_one(EventLog, row.pos)
                    headers = [(name, value.encode()) for name, value in said.headers]
                    key = str(row.key).encode()
                    record = await producer.send_and_wait(row.topic, said.payload, key=key, headers=headers)
                    last = await session.scalar(
                        select(func.max(Publication.number)).where(Publication.topic == row.topic)
                    )
                    session.add(
                        Publication(
                            topic=row.topic,
                            number=(last or 0) + 1,
                            pos=row.pos,
                            partition=record.partition,
                            offset=record.offset,
                        )
                    )
                    await session.delete(row)
                    await session.commit()
            if not waiting:
                await asyncio.sleep(POLL_SECONDS)
    finally:
        await producer.stop()


async def poll_errands(where: Place, sessions: async_sessionmaker[AsyncSession], meaning: Meaning) -> None:
    """Look every tenth of a second and run what waits, one by one."""
    if not meaning.errands:
        return
    async with httpx.AsyncClient(base_url=where.settings["STAFFEL_INTAKE_URL"]) as intake:
        while True:
            async with sessions() as session:
                errand = await session.scalar(
                    select(Errand)
                    .where(Errand.name.in_(meaning.errands), Errand.next_at <= func.clock_timestamp())
                    .order_by(Errand.next_at)
                    .limit(1)
                )
                if errand is not None:
                    errand.attempts, errand.taken_by = errand.attempts + 1, "0"
                    errand.next_at = datetime.now(UTC) + timedelta(seconds=ERRAND_SECONDS)
                    await session.commit()
                    await meaning.errands[errand.name](session, errand, intake)
                    await session.delete(errand)
                    await session.commit()
            if errand is None:
                await asyncio.sleep(POLL_SECONDS)


def token(where: Place, audience: str) -> str:
    """Proof of this service for the one beside it."""
    key = read_key(Path(where.settings["STAFFEL_SERVICE_KEY"]))
    return sign_internal(key, issuer=where.principal, audience=f"{where.agency}.{audience}")


def app(where: Place, meaning: Meaning) -> FastAPI:
    """The service."""
    engine = create_async_engine(where.settings["STAFFEL_DATABASE"], pool_size=5, max_overflow=5)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(made: FastAPI) -> AsyncIterator[None]:
        async with sessions() as session:
            secret = await session.get(ServiceSecret, "fingerprint")
            if secret is None:
                secret = ServiceSecret(name="fingerprint", value=secrets.token_bytes(32))
                session.add(secret)
                await session.commit()
        made.state.secret, made.state.sessions = secret.value, sessions
        made.state.gate = Gate(
            issuer=where.settings["STAFFEL_ISSUER"],
            issuer_keys=read_keys(Path(where.settings["STAFFEL_ISSUER_KEYS"])),
            audience=where.principal,
            service_keys=read_keys(Path(where.settings["STAFFEL_SERVICE_KEYS"])),
        )
        async with broker(where, sessions, meaning) as hearing:
            await hearing.start()
            loops = [
                asyncio.create_task(poll_outbox(where, sessions)),
                asyncio.create_task(poll_errands(where, sessions, meaning)),
            ]
            yield
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        await engine.dispose()

    made = FastAPI(lifespan=lifespan)
    made.include_router(meaning.router)

    @made.get("/ready")
    async def ready(response: Response) -> dict[str, str]:
        if not where.ready.is_set():
            response.status_code = 503
        return {}

    return made
