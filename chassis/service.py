"""A service as data, and how it starts, is ready, and stops.

A service says what it is (`Service`): kinds of subjects, what it hears, routes, deadlines, errands. `serve` runs it
until it is told to stop. Nothing here happens at import time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa
import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import crashpoints, deadlines, metrics, parking, standing, telemetry
from chassis.auth import Gate, PartyKeys, read_key, read_keys, sign_internal
from chassis.consumer import Consumer
from chassis.crashpoints import reached
from chassis.database import engine, is_weather, secret, transaction
from chassis.deadlines import Deadline, Due, WaitsFor
from chassis.envelope import Record
from chassis.errands import Errands, Functions
from chassis.executor import Bug, Executor, Kind, Overloaded, Unavailable, Work
from chassis.feed import FeedPlan, Feeds, ReadModel, Rebuild, Rebuilt, Refill, feed_routes
from chassis.horizon import Horizon
from chassis.http import Problem, Routes, build
from chassis.http.operations import Live, operations
from chassis.http.pages import NotReady, Ready
from chassis.http.server import LISTEN_BACKLOG, Server
from chassis.inbox import REMEMBERED, Hear, Hearing, Source
from chassis.outbox import Addressing
from chassis.recovery import Guard, Standing
from chassis.recovery.noticing import Topics
from chassis.recovery.recovering import Recollects, Report
from chassis.recovery.recovering import recover as recover_database
from chassis.recovery.remembering import Memory
from chassis.relay import Relay

log = logging.getLogger(__name__)

OUSTED = "instance-taken"  # why a process is not ready that another one has come after, under the same instance
MEASURE_SECONDS_MOST = 10.0  # for one look at the database; what comes later than that is no news
GUARD_SECONDS = 1.0  # between two looks at a database that is not known to be whole
LOOK_SECONDS = 1.0  # how late a replica learns what another one has done, and how late a deadline may fire
LOOK_SECONDS_LEAST = 0.05  # a deadline that is due sooner waits so long
AGAIN_SECONDS = 0.5  # before a background task that the database's absence has broken off begins again
STOP_SECONDS = 12  # a stop is over after this, whatever hangs; the platform kills after 15
LOOK_AT_LANES_SECONDS = 60  # how late a lane goes on whose process died between two commits
FORGET_SECONDS = 60  # 5 000 rows a minute keep up with 80 commands a second
FORGET = (
    """DELETE FROM answer WHERE ctid = ANY(ARRAY(
           SELECT ctid FROM answer WHERE answered_at < clock_timestamp() - interval '7 days' LIMIT 5000))""",
    f"""DELETE FROM inbox WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM inbox WHERE heard_at < clock_timestamp() - interval '{REMEMBERED.days} days' LIMIT 5000))
     """,  # noqa: S608  # a number of ours
)
REST_SECONDS = 75  # a resting connection; pools of callers give theirs up before, or they would ask into a closing one
CALL_SECONDS = 5.0  # for a call to a sister service or another party, connecting included
KEEPS_ITS_WORD = {
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
}  # anything else loses what was acknowledged


class ServiceSettings(BaseSettings):
    """What the environment must say to any service (prefix `STAFFEL_`); nothing secret has a default.

    A service without its settings does not start, and says which are missing.
    """

    model_config = SettingsConfigDict(env_prefix="STAFFEL_", extra="ignore", hide_input_in_errors=True, frozen=True)

    database: str = Field(
        description="DSN of the service's own database, postgresql+asyncpg://…", pattern=r"^postgresql\+asyncpg://"
    )
    kafka: str = Field(description="Bootstrap servers, host:port separated by commas")
    kafka_ca: Path = Field(description="PEM file of the authority that signed the brokers' certificates")
    kafka_certificate: Path = Field(description="PEM file of this service's client certificate")
    kafka_key: Path = Field(description="PEM file of its private key")
    issuer: str = Field(description="`iss` of the access tokens that are accepted (RFC 9068)")
    issuer_keys: Path = Field(description="JWK Set file with the issuer's public keys")
    service_keys: Path = Field(
        description="JWK Set file with the public keys of the services that may call internal routes"
    )
    service_key: Path = Field(description="JWK Set file with this service's own private key")
    sisters: dict[str, str] = Field(
        default_factory=dict,
        description="Base URLs of the node's own services by name, as a JSON object: whose feeds fill gaps at home",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(description="Port to listen on", ge=1, le=65535)
    instance: str = Field(
        default="0",
        description="Which replica this is, a name of its own for each: the broker's static membership, the "
        "telemetry's instance. Of two under one name the later one hears",
    )
    otlp_endpoint: HttpUrl | None = Field(
        default=None, description="OTLP/HTTP endpoint; without one no span is exported"
    )
    otlp_share: float = Field(
        default=0.1, description="Share of the traces that begin here which are exported", ge=0, le=1
    )


@dataclass(frozen=True)
class Tools:
    """What errands, streams and background tasks of a service work with."""

    settings: Any
    engine: AsyncEngine
    executor: Executor
    client: httpx.AsyncClient
    signed_for: Callable[[str], str]
    """A token of at most 60 s with which this service calls another one of its party, by the callee's principal."""


def _the_tools_alone(tools: Tools) -> Tools:
    return tools


@dataclass(frozen=True)
class Service:
    """Everything a service is; put together in its `app.py`."""

    name: str
    principal: str
    settings: ServiceSettings
    version: str
    kinds: Sequence[Kind[Any]]
    hears: Sequence[Hear]
    sources: Mapping[str, Source]
    writes: Sequence[str]
    remembers: Sequence[Memory]
    address: Addressing
    new_id: Callable[[], UUID]
    routes: Routes
    problems: Mapping[StrEnum, Problem]
    scope_attribute: str
    version_attribute: str
    deadlines: Mapping[str, Deadline] = field(default_factory=dict)
    errands: Functions = field(default_factory=dict)
    party_keys: PartyKeys | None = None
    feeds: FeedPlan = field(default_factory=FeedPlan)
    read_models: Sequence[ReadModel] = ()
    resources: Callable[[Tools], Any] = _the_tools_alone
    background: Sequence[Callable[[Any], Awaitable[None]]] = ()
    undone: standing.Undone = field(default_factory=dict)


def hearing_of(service: Service) -> Hearing:
    """How a service reads what it hears."""
    return Hearing(
        service.hears,
        service.sources,
        scope_attribute=service.scope_attribute,
        version_attribute=service.version_attribute,
    )


def executor_of(service: Service, database: AsyncEngine, seal: bytes) -> Executor:
    """The one way in of a service, on that database; `seal` is the key for records that are no events."""
    return Executor(
        database,
        service.kinds,
        consumer=service.principal,
        source=f"urn:staffel:{service.principal.replace('.', ':')}",
        hearing=hearing_of(service),
        address=service.address,
        new_id=service.new_id,
        seal=seal,
    )


def topics_of(service: Service) -> Topics:
    """What a service writes and hears, and as whom."""
    return Topics(service.principal, service.writes, sorted(service.sources))


def resources_of(service: Service, database: AsyncEngine, executor: Executor, client: httpx.AsyncClient) -> Any:
    """What the errands, streams and background tasks of a service work with."""
    tools = Tools(service.settings, database, executor, client, signature_of(service))
    return service.resources(tools)


def signature_of(service: Service) -> Callable[[str], str]:
    """(audience) -> the token with which this service asks another one of its node."""
    own_key = read_key(service.settings.service_key)
    return lambda audience: sign_internal(own_key, issuer=service.principal, audience=audience)


def feeds_of(service: Service, client: httpx.AsyncClient) -> Feeds:
    """The feeds of what a service hears."""
    return Feeds(
        client,
        party=service.principal.rpartition(".")[0],
        writers={topic: source.writer for topic, source in service.sources.items()},
        plan=service.feeds,
        sisters=service.settings.sisters,
        signed_for=signature_of(service),
    )


async def rebuild(service: Service, table: str, *, swap: bool) -> Rebuilt:
    """Make a read model anew, beside the service that may run meanwhile. Raises KeyError, NotHad, NotComparable."""
    model = {model.table: model for model in service.read_models}[table]
    database = engine(service.settings.database, size=1)
    try:
        async with httpx.AsyncClient(timeout=CALL_SECONDS) as client:
            feeds = feeds_of(service, client)
            return await Rebuild(database, service.principal, hearing_of(service), feeds, model).run(swap=swap)
    finally:
        await database.dispose()


def routes_of(service: Service, executor: Executor, live: Callable[[], Live] = Live) -> Routes:
    """All addresses of a service: its own, the operators', and the feed of what it says."""
    feed = feed_routes(service.feeds.readers, service.feeds.sisters).listed if service.feeds.readers else []
    return Routes(
        [*service.routes.listed, *operations(executor, service.principal, live, service.undone).listed, *feed]
    )


def _sound() -> Standing:
    return Standing.SOUND


def app_of(  # the parts of a service, as `Running` has them
    service: Service,
    database: AsyncEngine,
    executor: Executor,
    resources: Any,
    fingerprint_key: bytes,
    ready: Ready,
    live: Callable[[], Live] = Live,
    standing: Callable[[], Standing] = _sound,
) -> FastAPI:
    """The HTTP application of a service; who may ask is proved by the key files its settings name."""
    settings = service.settings
    gate = Gate(
        issuer=settings.issuer,
        issuer_keys=read_keys(settings.issuer_keys),
        audience=service.principal,
        service_keys=read_keys(settings.service_keys),
        party_keys=service.party_keys,
    )
    return build(
        routes_of(service, executor, live),
        service=service.name,
        problems=service.problems,
        gate=gate,
        executor=executor,
        views=database,
        resources=resources,
        fingerprint_key=fingerprint_key,
        version=service.version,
        new_id=service.new_id,
        ready=ready,
        standing=standing,
    )


Loop = Callable[[], Awaitable[None]]


class Running:
    """One service, running: the parts in the order they start; they stop in the opposite order."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tasks: list[asyncio.Task[None]] = []
        self._loops: list[Loop] = []
        self._loops_begun = self._speaks = False
        self._shut_since: float | None = None
        self._restored, self._deadlines_due, self._lanes_due = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stop_by: float | None = None
        """When the stop is over, by the loop's clock; known as soon as somebody has told the service to stop."""

    @contextlib.asynccontextmanager
    async def parts(self) -> AsyncIterator[Any]:
        """Start everything and yield the ASGI app; stop everything at the end."""
        service, settings = self._service, self._service.settings
        self._engine = engine(settings.database)
        keys = await self._secrets()
        self._executor = executor_of(service, self._engine, keys["unreadable"])
        tls = _tls(settings)
        self._horizon = Horizon(group=service.principal, bootstrap=settings.kafka, ssl_context=tls)
        self._guard = Guard(self._engine, self._horizon, topics_of(service))
        self._relay = Relay(
            self._engine,
            bootstrap=settings.kafka,
            ssl_context=tls,
            client_id=service.principal,
            may_speak=self._guard.may_speak,
            made_anew=self._guard.made_anew,
        )
        self._consumer = Consumer(
            take=self._executor.hear,
            standing=self._executor.standing,
            missed=self._missed,
            topics=sorted(service.sources),
            group=service.principal,
            bootstrap=settings.kafka,
            ssl_context=tls,
            instance=settings.instance,
            brake=self._executor.brake,
        )
        async with httpx.AsyncClient(timeout=CALL_SECONDS) as client:
            self._feeds = feeds_of(service, client)
            hear, unheard = self._executor.hear_aside, self._executor.brake.topics_unheard
            self._refill = Refill(self._engine, service.principal, self._feeds, hear, unheard)
            self._executor.after_gap.append(self._refill.wake)
            resources = resources_of(service, self._engine, self._executor, client)
            self._errands = Errands(self._engine, self._executor, service.errands, resources, settings.instance)
            self._executor.after_saying.append(self._relay.wake)
            self._executor.after_sending.append(self._errands.wake)
            app = app_of(
                service,
                self._engine,
                self._executor,
                resources,
                keys["fingerprint"],
                self.ready,
                self.live,
                lambda: self._guard.standing,
            )
            await self._start(resources)
            try:
                yield app
            finally:
                await self._stop()

    async def _secrets(self) -> dict[str, bytes]:
        """The service's random secrets, made at the first start; and a look at whether this database keeps its word."""
        async with transaction(self._engine) as tx:
            for name, wanted in KEEPS_ITS_WORD.items():
                found = (await tx.execute(sa.text("SELECT current_setting(:name)"), {"name": name})).scalar_one()
                if found != wanted:
                    raise RuntimeError(
                        f"PostgreSQL runs with {name}={found}: what is acknowledged could be lost; set it to {wanted}"
                    )
            return {name: await secret(tx, name) for name in ("fingerprint", "unreadable")}

    async def _start(self, resources: Any) -> None:
        """Look first: a database that is older than what it has said begins nothing, and answers people only."""
        self._loops = [
            self._executor.watch,
            self._look_around,
            self._errands.run,
            self._fire_deadlines,
            self._retry_freed_lanes,
            self._retry_due_lanes,
            self._refill.run,
            self._forget_what_is_over,
            *(partial(background, resources) for background in self._service.background),
        ]
        await self._executor.brake.look()
        await self._executor.start()
        await self._guard.look()
        self._tasks.append(asyncio.create_task(self._guarded(self._measure)))  # also where nothing else may begin
        await self._go_on()
        self._tasks.append(asyncio.create_task(self._guarded(self._keep_looking)))

    async def _keep_looking(self) -> None:
        """Look until the broker has answered and nothing is to be caught up; then whether anybody noticed something."""
        while True:
            if self._guard.standing is Standing.SOUND:
                await self._restored.wait()
                self._restored.clear()
            else:
                await asyncio.sleep(GUARD_SECONDS)
            if self._guard.standing in {Standing.UNASKED, Standing.CATCHING_UP}:
                await self._guard.look()
            else:
                await self._guard.refresh()
            await self._go_on()

    async def _go_on(self) -> None:
        """Begin what may begin: everything where all is well, nothing on a restored database.

        Speaking and hearing wait until the broker has been asked. Raises where this process is at work already on a
        database that turned out to be restored under it: it must begin anew.
        """
        standing = self._guard.standing
        self._executor.shut = standing is Standing.RESTORED
        if standing is Standing.RESTORED:
            if self._loops_begun:
                raise RuntimeError("the database was exchanged for an older one")
            return
        if not self._loops_begun:
            self._loops_begun = True
            self._tasks += [asyncio.create_task(self._guarded(loop)) for loop in self._loops]
        if standing.speaks and not self._speaks:
            self._speaks = True
            await self._relay.start()
            await self._consumer.start()

    async def _guarded(self, loop: Loop) -> None:
        """What weather breaks off begins again; what a bug ends, ends the service: half of one is worse than none."""
        while True:
            try:
                return await loop()
            except Exception as error:
                told = {"error_class": type(error).__name__}
                if not (is_weather(error) or isinstance(error, Overloaded | Unavailable)):
                    log.exception("background task failed", extra=told)
                    if not self.failed.done():
                        self.failed.set_exception(error)
                    return None
                log.warning("background task waits for the database", extra=told)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _look_around(self) -> None:
        """One look a second at all that nobody tells this process: what replicas have done, what time makes due."""
        service = self._service
        while True:
            async with self._engine.connect() as connection:
                seen = await standing.glance(connection, service.principal, service.settings.instance)
            for there, tell in (
                (seen.restored, self._restored.set),
                (seen.unsent, self._relay.wake),
                (seen.errands_due, self._errands.wake),
                (seen.lanes_due, self._lanes_due.set),
                (seen.deadlines_due, self._deadlines_due.set),
            ):
                if there:
                    tell()
            if self._executor.brake.outdated(seen.brakes, seen.seat):
                await self._executor.brake.look()
            until = LOOK_SECONDS if seen.next_deadline is None else seen.next_deadline
            await asyncio.sleep(min(LOOK_SECONDS, max(LOOK_SECONDS_LEAST, until)))

    async def _stop(self) -> None:
        stop_by = self.stop_by or asyncio.get_running_loop().time() + STOP_SECONDS
        try:
            async with asyncio.timeout_at(stop_by):
                await self._consumer.stop()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._executor.brake.leave()
                await self._errands.stop()
                await self._executor.stop()
                await self._relay.stop()
                await self._horizon.close()
        finally:
            await self._engine.dispose()
            await asyncio.to_thread(telemetry.shutdown)
            await asyncio.to_thread(metrics.shutdown)

    async def ready(self) -> bool | str:
        """Whether a caller should come here: the database answers and is whole, and the consumer has its topics.

        Where the brake has stopped the consumer on purpose, commands go on: yes, and what has pulled it. Where it has
        stopped what some parties say, the rest is heard: yes, and who they are. Where another process has come under
        the same instance: no, it is that one's part now.
        """
        try:
            async with asyncio.timeout(2.0), self._engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1"))
        except Exception as error:
            if not is_weather(error):
                raise
            return False
        if self._guard.standing is not Standing.SOUND:
            return NotReady(self._guard.standing)
        brake = self._executor.brake
        if brake.ousted:
            return NotReady(OUSTED)
        if brake.pulled is not None:
            return brake.pulled.cause
        unheard = ", ".join(f"{party}: {each.cause}" for party, each in sorted(brake.unheard.items()))
        return (unheard or True) if self._consumer.assigned else False

    def live(self) -> Live:
        """What an operator is told that no table knows."""
        records, seconds = self._consumer.lag() or (None, None)
        return Live(
            leads=self._relay.leading,
            lag_records=records,
            lag_seconds=seconds,
            deaf_seconds=self._consumer.deaf_seconds(),
            queued=self._executor.queued,
        )

    async def _fire_deadlines(self) -> None:
        if not self._service.deadlines:
            return
        while True:
            await self._deadlines_due.wait()
            self._deadlines_due.clear()
            async with self._engine.connect() as connection:
                causes = await deadlines.due(connection)
            if causes:
                reached("deadline.after_claim")
            fired = await self._fire_all([cause for cause in causes if self._waits_for(cause) is None])
            waiting = [cause for cause in causes if self._waits_for(cause) is not None]
            kinds, consumer = self._service.deadlines, self._service.principal
            fair = await deadlines.fair(self._engine, consumer, kinds, waiting, self._horizon)
            if await self._fire_all(fair) and fired and len(causes) == deadlines.AT_ONCE:
                self._deadlines_due.set()  # there may be more; where one had to wait, the next look is soon enough

    def _waits_for(self, cause: Due) -> WaitsFor | None:
        return self._service.deadlines[cause.kind].waits_for

    async def _fire_all(self, causes: Sequence[Due]) -> bool:
        return all(await asyncio.gather(*(self._fire(cause) for cause in causes)))

    async def _fire(self, cause: Due) -> bool:
        """Whether it is no longer due."""
        step = self._service.deadlines[cause.kind].step(cause.subject)
        try:
            await self._executor.run(Work(cause, (step,)))
            reached("deadline.after_commit")
        except (Overloaded, Unavailable):
            log.warning("deadline waits", extra={"deadline": cause.kind})
            return False
        except Bug as bug:
            log.error("deadline failed", extra={"deadline": cause.kind, "error_class": str(bug)})  # noqa: TRY400  # its stack is logged where it happened
            async with transaction(self._engine) as tx:
                await deadlines.postpone(tx, {cause: str(bug)})
        return True

    async def _measure(self) -> None:
        """Ages and what waits: one query now and then, and only where somebody looks.

        Where the database cannot be looked at, its ages are not said again; that they are missing has an age, too.
        """
        looked_at = monotonic()
        while metrics.on():
            self._measure_the_process()
            try:
                async with asyncio.timeout(MEASURE_SECONDS_MOST), self._engine.connect() as connection:
                    found = await standing.look(connection, self._service.principal)
                    standing.set_gauges(found, await standing.ages(connection, self._service.undone))
                looked_at = monotonic()
            except Exception as error:
                if not is_weather(error):
                    raise
                log.warning("nobody can say how this service stands", extra={"error_class": type(error).__name__})
            metrics.measured("standing.age", monotonic() - looked_at)
            await asyncio.sleep(metrics.MEASURE_SECONDS)

    def _measure_the_process(self) -> None:
        """What no table knows."""
        if self._guard.standing is Standing.SOUND and not self._executor.brake.ousted:
            self._shut_since = None
        elif self._shut_since is None:
            self._shut_since = monotonic()
        metrics.measured("service.shut.age", 0.0 if self._shut_since is None else monotonic() - self._shut_since)
        metrics.measured("executor.queue", self._executor.queued)
        metrics.measured("consumer.deaf.age", self._consumer.deaf_seconds())
        if (lag := self._consumer.lag()) is not None:
            metrics.measured("consumer.lag.records", lag[0])
            metrics.measured("consumer.lag.seconds", lag[1])

    async def _missed(self, topic: str, partition: int, offset: int, after: int) -> tuple[Sequence[Record], int, bool]:
        """A page of what the broker no longer has of a partition, from the writer's feed."""
        return await self._feeds.page(topic, after=after, partition=partition, offset=offset)

    async def _forget_what_is_over(self) -> None:
        """Answers and inbox rows that nobody can ask for any more go, a bounded number at a time."""
        while True:
            for statement in FORGET:
                async with transaction(self._engine) as tx:
                    await tx.execute(sa.text(statement))
            await asyncio.sleep(FORGET_SECONDS)

    async def _retry_freed_lanes(self) -> None:
        """What was held because something before it was missing goes on by itself when that has come.

        The executor says which lanes; what was said to a process that died is found again by looking.
        """
        freed = self._executor.freed_lanes
        while True:
            async with self._engine.connect() as connection:
                for lane in await parking.ready_lanes(connection, self._service.principal):
                    self._executor.say_freed(lane)
            try:
                async with asyncio.timeout(LOOK_AT_LANES_SECONDS):
                    while True:
                        await self._executor.retry_lane(*await freed.get())
            except TimeoutError:
                continue

    async def _retry_due_lanes(self) -> None:
        """What may have become possible meanwhile is tried again by itself, less and less often."""
        while True:
            await self._lanes_due.wait()
            self._lanes_due.clear()
            if not self._executor.brake.on:
                async with transaction(self._engine) as tx:
                    lanes = await parking.due_lanes(tx, self._service.principal)
                await self._executor.retry_lanes(lanes)
                if len(lanes) == parking.LANES_AT_ONCE:
                    self._lanes_due.set()


def _tls(settings: ServiceSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(settings.kafka_ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(str(settings.kafka_certificate), str(settings.kafka_key))
    return context


async def serve(service: Service, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set. Raises what made it fail."""
    settings = service.settings
    endpoint = str(settings.otlp_endpoint) if settings.otlp_endpoint else None
    telemetry.configure(service.principal, settings.instance, endpoint, share=settings.otlp_share)
    metrics.configure(service.principal, settings.instance, endpoint)
    running = Running(service)
    with _listening(settings) as listener:
        await _serve(running, listener, stop)


@contextlib.contextmanager
def _listening(settings: ServiceSettings) -> Iterator[socket.socket]:
    """The address, before anything else is started: a taken one is said in words, not in uvicorn's."""
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=LISTEN_BACKLOG)
    except OSError:
        log.error("address cannot be listened on: another process has it", extra={"port": settings.port})  # noqa: TRY400  # that is all there is to say
        raise
    with listener:
        yield listener


async def _serve(running: Running, listener: socket.socket, stop: asyncio.Event) -> None:
    async with running.parts() as app:
        server = Server(
            uvicorn.Config(
                app,
                loop="uvloop",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=REST_SECONDS,
            ),
            listener,
        )
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again and again
        serving = asyncio.create_task(server.serve())
        waiting = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [serving, waiting, running.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        running.stop_by = asyncio.get_running_loop().time() + STOP_SECONDS  # the last answers take their part of it
        server.should_exit = True
        await serving
        if running.failed.done():
            running.failed.result()


async def recover(service: Service, *, by: str, apply: bool) -> Report | None:
    """Make known again what the service said itself and its database does not know; None where it knows everything."""
    settings = service.settings
    database = engine(settings.database)
    horizon = Horizon(group=service.principal, bootstrap=settings.kafka, ssl_context=_tls(settings))
    works_with = Recollects(
        topics_of(service),
        hearing_of(service),
        {kind.name: kind for kind in service.kinds},
        service.remembers,
        service.scope_attribute,
        service.new_id,
    )
    try:
        return await recover_database(database, horizon, works_with, by=by, apply=apply)
    finally:
        await horizon.close()
        await database.dispose()


async def serve_all(services: Sequence[Service], stop: asyncio.Event) -> None:
    """Run these services side by side until `stop` is set, or until one of them ends: half of them is worse than none.

    Each in a task of its own, so that each has its own telemetry. Raises what made the first one fail.
    """

    async def one(service: Service) -> None:
        try:
            await serve(service, stop)
        except Exception as error:
            log.exception("service failed", extra={"service": service.principal, "error_class": type(error).__name__})
            failed.append(error)
        finally:
            stop.set()

    failed: list[Exception] = []
    await asyncio.gather(*(one(service) for service in services))
    if failed:
        raise failed[0]


def run(*services: Service) -> None:
    """Run these services in this process, on one event loop, until SIGTERM or SIGINT."""
    telemetry.log_as_json()
    crashpoints.arm(os.environ)

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve_all(services, stop)

    uvloop.run(main())
