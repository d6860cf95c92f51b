"""From a request to its answer: who asks, may they, what do they want; the same few steps for every route."""
from __future__ import annotations

import asyncio
import json
import logging
import ssl
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel, create_model
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis import telemetry
from chassis.auth import ANYONE, Caller, Gate, NotProved, UnknownKey
from chassis.crashpoints import reached
from chassis.database import is_weather
from chassis.executor import Answer, Asked, Bug, Overloaded, Restored, Step, Unavailable, Work
from chassis.http.idempotency import etag, expected_version, fingerprint, idempotency_key, refusal, renders
from chassis.http.limits import (
    COMING_IN_BYTES_MAX,
    COMING_IN_BYTES_OF_ONE,
    FORM,
    FORM_BYTES_MAX,
    WORKED_ON_BYTES_MAX,
    WORKED_ON_BYTES_OF_ONE,
    Buckets,
    Room,
    Take,
    Waiters,
    check_headers,
    check_media_type,
    read_body,
)
from chassis.http.parse import names_of, parse_body, parse_form, path_parameters, query_parameters
from chassis.http.problems import MEDIA_TYPE, Problems, Trouble, Turned
from chassis.http.routes import Call, Command, Form, Route, Shown, Stream, StreamingAnswer, View
from chassis.http.send import send_answer, send_stream
from chassis.recovery import Standing
from chassis.transitions import Refused

log = logging.getLogger(__name__)

NEWS_WAIT_SECONDS = 2.0  # how long a command waits for news of its subject: twice what news takes on a busy day
NEWS_PAUSE_SECONDS, NEWS_PAUSE_SECONDS_MAX = 0.05, 0.4
AT_ONCE_BYTES_MAX = 16 * 1024  # a longer body takes milliseconds to read: nobody else is heard meanwhile
DRAINED_BYTES_MAX = 64 * 1024 * 1024  # an unread body up to here is let run out, so that its sender hears the answer

Headers = Mapping[bytes, bytes]
Serve = Callable[["Request"], Awaitable[Answer | StreamingAnswer]]


class Runs(Protocol):
    """The executor, as far as HTTP needs it."""

    async def run(self, work: Work) -> Answer | None:
        """Run one work item; raises Overloaded, Unavailable, Bug."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What comes in, read no further than needed."""

    scope: Scope
    receive: Receive
    headers: Headers
    traceparent: str


@dataclass
class Desk:
    """What all routes of one service share."""

    problems: Problems
    gate: Gate
    executor: Runs
    views: AsyncEngine
    resources: Any
    fingerprint_key: bytes
    new_id: Callable[[], UUID]
    clock: Callable[[], datetime]
    buckets: Buckets
    standing: Callable[[], Standing] = lambda: Standing.SOUND
    waiters: Waiters = field(default_factory=Waiters)
    coming_in: Room = field(default_factory=lambda: Room(COMING_IN_BYTES_MAX, COMING_IN_BYTES_OF_ONE))
    worked_on: Room = field(default_factory=lambda: Room(WORKED_ON_BYTES_MAX, WORKED_ON_BYTES_OF_ONE))
    _reads: asyncio.Lock = field(default_factory=asyncio.Lock)

    def app(self, route: Route) -> ASGIApp:
        """The ASGI callable of one route."""
        match route:
            case Command():
                return self.answering(route.path, _Commanding(self, route))
            case View():
                return self.answering(route.path, _Viewing(self, route), route.shown)
            case Stream():
                return self.answering(route.path, _Streaming(self, route))
            case Form():
                return self.answering(route.path, _Forming(self, route), route.shown)
            case _:
                raise TypeError(type(route).__name__)

    def answering(self, path: str, serve: Serve, shown: Shown | None = None) -> ASGIApp:
        """Answer whatever happens: with what `serve` says, or with the problem it ran into, `shown` to a browser."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = dict(scope["headers"])
            traced = telemetry.request(scope["method"], path, _trace_of(headers))
            with traced:
                request = Request(scope, receive, headers, traced.traceparent)
                answer = _for_people(await self._answer(request, serve, path), request, shown)
                traced.set("http.response.status_code", answer.status)
                if isinstance(answer, StreamingAnswer):
                    await send_stream(answer, scope, send)
                else:
                    await send_answer(answer, send)

        return app

    async def _answer(self, request: Request, serve: Serve, path: str) -> Answer | StreamingAnswer:
        try:
            check_headers(request.headers)
            return await serve(request)
        except Turned as turned:
            return _closing(self.problems.turned(turned), request)
        except Overloaded:
            return self.problems.answer(Trouble.OVERLOADED)
        except Unavailable as error:
            return self.problems.answer(Trouble.RESTORED if isinstance(error, Restored) else Trouble.UNAVAILABLE)
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets a document and the log an id
            if is_weather(error):
                return self.problems.answer(Trouble.UNAVAILABLE)
            return self._bug(error, request, path)

    def _bug(self, error: Exception, request: Request, path: str) -> Answer:
        instance = self.new_id()
        frames = traceback.extract_tb(error.__traceback__)
        log.error(
            "request failed",
            extra={
                "instance": str(instance),
                "error_class": str(error) if isinstance(error, Bug) else type(error).__name__,
                "method": request.scope["method"],
                "route": path,
                "frames": [f"{frame.name}:{frame.lineno}" for frame in frames],
            },
        )
        return self.problems.answer(Trouble.BUG, {"instance": f"urn:uuid:{instance}"})

    def call(self, route: Route, request: Request) -> Call:
        """Who asks and that they may; raises Turned. Before any byte of the body is read."""
        now = self.clock()
        if route.allow.everyone:
            client = request.scope.get("client")
            address = f"address:{client[0] if client else ''}"
            self.buckets.take(address)
            return Call(ANYONE, now, self.new_id, address=address)
        caller = self._caller(request, now)
        self.buckets.take(caller.principal)
        if not route.allow.admits(caller):
            raise Turned(Trouble.FORBIDDEN)
        if caller.kind != "person":
            self._must_be_relied_on(route)
        return Call(caller, now, self.new_id)

    async def body(
        self, call: Call, route: Route, request: Request, names: frozenset[str], take: Take
    ) -> tuple[bytes, BaseModel | None]:
        """The body as sent and as read; without one of its own a route takes none, or the empty object some must send.

        `take`: is asked for room before anything is made of it.
        """
        if route.body is not None:
            check_media_type(request.headers)
        with self.coming_in.held(call.caller.principal) as come:
            raw = await read_body(request.receive, request.headers, come)
        take(len(raw))
        if route.body is not None:
            return raw, await self._read(route.body, raw, names)
        if raw.strip() not in {b"", b"{}"}:
            raise Turned(Trouble.INVALID_INPUT, [{"field": "", "code": "no_body_expected"}])
        return raw, None

    async def _read(self, model: type[BaseModel], raw: bytes, names: frozenset[str]) -> BaseModel:
        """The body read; one large one in a round of the loop, so that those on their way come in and are in time."""
        if len(raw) > AT_ONCE_BYTES_MAX:
            async with self._reads:
                await asyncio.sleep(0)
        return parse_body(model, raw, names)

    def _must_be_relied_on(self, route: Route) -> None:
        """Programs act on our word, and give data out by it: they get none from a database that may be too old.

        What does not depend on what was heard is theirs while that is heard again: two may wait for each other's.

        People are shown what there is; whoever commands is turned away by the executor.
        """
        match self.standing():
            case Standing.RESTORED:
                raise Turned(Trouble.RESTORED)
            case Standing.UNASKED:
                raise Turned(Trouble.UNCHECKED)
            case Standing.CATCHING_UP if not route.unheeding:
                raise Turned(Trouble.CATCHING_UP)

    def _caller(self, request: Request, now: datetime) -> Caller:
        try:
            return self.gate.caller(request.headers.get(b"authorization"), now, _certificate(request.scope))
        except UnknownKey:
            raise Turned(Trouble.UNKNOWN_KEY) from None
        except NotProved:
            raise Turned(Trouble.UNAUTHENTICATED) from None


class _Commanding:
    """A command: authenticated, keyed, read, handed to the executor, answered."""

    def __init__(self, desk: Desk, route: Command) -> None:
        self._desk, self._route = desk, route
        self._names = names_of(route.body)
        self._render = renders(desk.problems, route.status, desk.clock)
        self._not_yet = desk.problems.answer(Trouble.NOT_HEARD_OF_YET).body

    async def __call__(self, request: Request) -> Answer:
        desk, route, headers = self._desk, self._route, request.headers
        call = desk.call(route, request)  # first of all: who may not ask hears nothing about how
        if not route.unconditional:
            call = replace(call, if_match=expected_version(headers))
        key = idempotency_key(headers)
        path = path_parameters(request.scope["path_params"], route.path_adapters)
        with desk.worked_on.held(call.caller.principal) as take:
            raw, body = await desk.body(call, route, request, self._names, take)
            answer = await self._done(call, request, key, path, raw, body)
        if route.after is not None:
            await route.after(call, desk.resources, answer)
        if answer.replayed:
            answer = replace(answer, headers=(*answer.headers, ("idempotency-replayed", "true")))
        return answer

    async def _done(
        self, call: Call, request: Request, key: str, path: Mapping[str, Any], raw: bytes, body: BaseModel | None
    ) -> Answer:
        desk, route = self._desk, self._route
        if route.before is not None:
            refused = await route.before(call, desk.resources, path, body)
            if refused is not None:
                return refusal(desk.problems, refused, None)
        step = _step(route, call, path, body, desk.resources)
        said = fingerprint(desk.fingerprint_key, route.method, request.scope["path"], raw)
        if route.unconditional:
            key = f"{key}:{said.hex()}"
        reached("http.before_queue")
        return await self._run(Asked(call.caller.principal, key, said, self._render), step, request.traceparent)

    async def _run(self, cause: Asked, step: Step, traceparent: str) -> Answer:
        """Run the command; where its subject may only not be known yet, again for a while, if there is room to wait."""
        answer = await self._once(cause, step, traceparent)
        if answer.body != self._not_yet:
            return answer
        with self._desk.waiters.wait(cause.principal) as room:
            until, pause = monotonic() + NEWS_WAIT_SECONDS, NEWS_PAUSE_SECONDS
            while room and answer.body == self._not_yet and monotonic() + pause < until:
                await asyncio.sleep(pause)
                answer = await self._once(cause, step, traceparent)
                pause = min(pause * 2, NEWS_PAUSE_SECONDS_MAX)
        return answer

    async def _once(self, cause: Asked, step: Step, traceparent: str) -> Answer:
        answer = await self._desk.executor.run(Work(cause, (step,), traceparent))
        if answer is None:
            raise Bug("no answer")
        return answer


class _Viewing:
    """A view: authenticated, read in a transaction that may only read, answered."""

    def __init__(self, desk: Desk, route: View) -> None:
        self._desk, self._route = desk, route
        fields: dict[str, Any] = {
            name: (route.types[name], ... if each.default is each.empty else each.default)
            for name, each in route.query.items()
        }
        self._query: type[BaseModel] = create_model("Query", **fields)
        self._lists = frozenset(
            name for name, each in self._query.model_json_schema().get("properties", {}).items() if _is_list(each)
        )
        self._names = frozenset(fields)

    async def __call__(self, request: Request) -> Answer:
        desk, route = self._desk, self._route
        call = desk.call(route, request)
        given = path_parameters(request.scope["path_params"], route.path_adapters)
        given |= query_parameters(request.scope["query_string"], self._query, self._lists, self._names)
        if "resources" in route.places:
            given["resources"] = desk.resources
        async with desk.views.connect() as connection:
            tx = await connection.execution_options(postgresql_readonly=True)
            found = await route.handler(call, tx=tx, **given)
        if isinstance(found, Refused):
            return refusal(desk.problems, found, None)
        if isinstance(found, Answer):
            return found
        headers = [("content-type", "application/json")]
        if isinstance(version := getattr(found, "version", None), int):
            headers.append(("etag", etag(version)))
        return Answer(200, found.model_dump_json(by_alias=True).encode(), tuple(headers))


class _Streaming:
    """A stream: authenticated, read; the answer is written by `send_stream`."""

    def __init__(self, desk: Desk, route: Stream) -> None:
        self._desk, self._route = desk, route
        self._names = names_of(route.body)

    async def __call__(self, request: Request) -> Answer | StreamingAnswer:
        desk, route = self._desk, self._route
        call = desk.call(route, request)
        given = path_parameters(request.scope["path_params"], route.path_adapters)
        if "resources" in route.places:
            given["resources"] = desk.resources
        with desk.worked_on.held(call.caller.principal) as take:
            if route.body is not None:
                _, given["body"] = await desk.body(call, route, request, self._names, take)
            found = await route.handler(call, **given)
        if isinstance(found, Refused):
            return refusal(desk.problems, found, None)
        answer: Answer | StreamingAnswer = found
        return answer


class _Forming:
    """A page's form: read, strictly; the answer is a page."""

    def __init__(self, desk: Desk, route: Form) -> None:
        self._desk, self._route = desk, route
        self._names = names_of(route.fields)

    async def __call__(self, request: Request) -> Answer:
        desk, route = self._desk, self._route
        call = desk.call(route, request)
        given = path_parameters(request.scope["path_params"], route.path_adapters)
        if "resources" in route.places:
            given["resources"] = desk.resources
        check_media_type(request.headers, FORM)
        with desk.coming_in.held(call.address or call.caller.principal) as come:
            raw = await read_body(request.receive, request.headers, come, FORM_BYTES_MAX)
        given["body"] = parse_form(route.fields, raw, self._names)
        found: Answer | Refused = await route.handler(call, **given)
        return refusal(desk.problems, found, None) if isinstance(found, Refused) else found


def _for_people(
    answer: Answer | StreamingAnswer, request: Request, shown: Shown | None
) -> Answer | StreamingAnswer:
    """A no as a page where somebody is going to look at it; what else it says in its headers stays."""
    if shown is None or isinstance(answer, StreamingAnswer) or not wants_page(request):
        return answer
    headers = dict(answer.headers)
    if headers.pop("content-type", "") != MEDIA_TYPE:
        return answer
    page = shown(answer.status, json.loads(answer.body)["type"])
    return replace(page, status=answer.status, headers=(*page.headers, *headers.items()))


def wants_page(request: Request) -> bool:
    """Whether a browser asks."""
    return b"text/html" in request.headers.get(b"accept", b"")


def _step(route: Command, call: Call, path: Mapping[str, Any], body: BaseModel | None, resources: Any) -> Step:
    given = dict(path)
    if body is not None:
        given["body"] = body
    if "resources" in route.places:
        given["resources"] = resources
    step: Step = route.handler(call, **given)
    if call.if_match is not None:
        step = replace(step, expected_version=call.if_match)
    return step


def _is_list(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "array" or any(option.get("type") == "array" for option in schema.get("anyOf", ()))


def _trace_of(headers: Headers) -> Mapping[str, str]:
    given = headers.get(b"traceparent")
    return {} if given is None else {"traceparent": given.decode("latin-1")}


def _certificate(scope: Scope) -> bytes | None:
    """The client's certificate in DER, where the server has the TLS extension of ASGI."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain")
    return ssl.PEM_cert_to_DER_cert(next(iter(chain))) if chain else None


def _closing(answer: Answer, request: Request) -> Answer:
    """Hang up where the rest of a body would have to be read to its end, and it has none or a far one."""
    length = request.headers.get(b"content-length", b"")
    endless = b"transfer-encoding" in request.headers
    if endless or (length and (not length.isdigit() or int(length[:20]) > DRAINED_BYTES_MAX)):
        return replace(answer, headers=(*answer.headers, ("connection", "close")))
    return answer
