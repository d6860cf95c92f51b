"""An invented service for the tests of HTTP: a thing that can be painted, with an executor that remembers answers."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from time import monotonic
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
from joserfc import jwt
from pydantic import BaseModel, Field, JsonValue, RootModel

from chassis.auth import Gate, issue_bearer, new_key, sign_internal, sign_party
from chassis.executor import Answer, Asked, Step, Work
from chassis.executor import Trouble as ExecutorTrouble
from chassis.http import (
    Body,
    Call,
    Day,
    Instant,
    Name,
    Problem,
    Routes,
    StreamingAnswer,
    Text,
    anyone,
    build,
    parties,
    people,
    services,
)
from chassis.transitions import Refused

THING = UUID("01930000-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ISSUER = "https://issuer.example"
AUDIENCE = "north.things"
STREAM_SECONDS = 0.3


class Reason(StrEnum):
    """Why the invented service says no."""

    DRY = "dry"
    UNKNOWN_THING = "unknown-thing"


PROBLEMS = {
    Reason.DRY: Problem(HTTPStatus.CONFLICT, "The paint has dried."),
    Reason.UNKNOWN_THING: Problem(HTTPStatus.NOT_FOUND, "There is no such thing."),
}


class Part(Body):
    """One part of a thing."""

    size: int = Field(ge=0, le=100)


class Paint(Body):
    """The body of the invented command."""

    colour: Text
    name: Name | None = None
    at: Instant | None = None
    on: Day | None = None
    coats: int = 1
    share: float = 0.5
    by: UUID | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class PaintIt:
    """The invented command."""

    colour: str
    by: str


class ThingView(BaseModel):
    """The invented view."""

    id: UUID
    version: int
    colour: str


class Found(RootModel[list[str]]):
    """What a search shows."""


routes = Routes()
held: list[Answer] = []


async def hold(_: Call, __: Any, answer: Answer) -> None:
    held.append(answer)


async def intend(_: Call, resources: Any, path: Mapping[str, Any], __: Any) -> Refused | None:
    resources.append(path["thing"])
    return Refused(Reason.DRY) if len(resources) > 5 else None


@routes.command("POST", "/things/{thing}/paint", allow=people("painter"), status=200)
def paint(call: Call, thing: UUID, body: Paint) -> Step:
    """Paint it.

    In the colour named.
    """
    return Step("thing", thing, PaintIt(body.colour, call.caller.name))


@routes.command("POST", "/things/{thing}/wash", allow=people("painter"), before=intend, after=hold)
def wash(call: Call, thing: UUID) -> Step:
    """Wash it."""
    return Step("thing", thing, PaintIt("none", call.caller.name))


@routes.command("POST", "/things/{thing}/drop", allow=people("painter"), unconditional=True, before=intend)
def drop(_: Call, thing: UUID, body: Part) -> Step:
    """Drop it, whatever is known of it."""
    return Step("thing", thing, body)


@routes.command("POST", "/things/{thing}/break", allow=people("painter") | services("stores"))
def smash(_: Call, thing: UUID) -> Step:
    """A bug."""
    raise RuntimeError(f"secret content {thing}")


@routes.view("/things/{thing}", allow=people("painter") | services("stores"))
async def show(call: Call, tx: Any, thing: UUID) -> ThingView | Refused:
    """Show it."""
    assert tx is not None
    if thing != THING:
        return Refused(Reason.UNKNOWN_THING, unknown=thing)
    return ThingView(id=thing, version=3, colour=call.caller.kind)


@routes.view("/things", allow=anyone())
async def search(_: Call, tx: Any, colour: Text, size: tuple[int, ...] = (), limit: int = 10) -> Found:
    """Find things."""
    assert tx is not None
    return Found([colour, *map(str, size), str(limit)])


@routes.stream("POST", "/things/{thing}/pieces", allow=parties("yard"), body=Paint)
async def pieces(call: Call, resources: Any, thing: UUID, body: Paint) -> StreamingAnswer | Refused:
    """The thing in pieces."""
    if body.colour == "none":
        return Refused(Reason.DRY)
    if body.colour == "late":
        await asyncio.sleep(STREAM_SECONDS / 2)

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield f"{call.caller.name} {thing} ".encode()
        for _ in range(200 if body.colour == "large" else 0):
            yield b"x" * 65_536
        if body.colour == "broken":
            raise RuntimeError(body.colour)
        if body.colour == "slow":
            await asyncio.sleep(5)
        if body.colour == "brief":
            await asyncio.sleep(STREAM_SECONDS / 2)
        yield b"end"

    async def closed(complete: bool) -> None:  # the shape of the callback
        resources.append(complete)

    return StreamingAnswer(chunks(), monotonic() + STREAM_SECONDS, closed)


@dataclass
class RemembersAnswers:
    """An executor as HTTP sees it: decides by `decide`, keeps answers under their keys."""

    decide: Callable[[Step], Mapping[str, JsonValue] | Refused]
    answers: dict[tuple[str, str], tuple[bytes, Answer]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    raises: Exception | None = None
    runs: int = 0

    async def run(self, work: Work) -> Answer | None:
        """One command, as the real one would answer it."""
        self.runs += 1
        if self.raises is not None:
            raise self.raises
        cause = work.cause
        assert isinstance(cause, Asked)
        known = self.answers.get((cause.principal, cause.key))
        if known is not None:
            same = known[0] == cause.fingerprint
            return replace(known[1], replayed=True) if same else cause.render(Refused(ExecutorTrouble.KEY_REUSED))
        (step,) = work.steps
        self.steps.append(step)
        answer = cause.render(self.decide(step))
        if answer.kept:
            self.answers[cause.principal, cause.key] = (cause.fingerprint, answer)
        return answer


class NoDatabase:
    """Views of the invented service need no rows."""

    def connect(self) -> Self:
        """Nothing to connect to."""
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...

    async def execution_options(self, **_: Any) -> Self:
        """Nothing to set."""
        return self


class OneKey:
    """A key set of one."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def find(self, kid: str) -> Any:
        """The one key, under its name only."""
        return self.key if kid == self.key.kid else None


ISSUER_KEY = new_key("issuer#1")
SERVICE_KEY = new_key("north.stores")
PARTY_KEY = new_key("south#1")


def painted(step: Step) -> Mapping[str, JsonValue] | Refused:
    if step.expected_version not in {None, 2}:
        return Refused(ExecutorTrouble.STALE_VERSION, "wet")
    return {"id": str(step.subject), "state": "wet", "version": 3, "allowed": ["PaintIt"]}


def a_gate() -> Gate:
    return Gate(
        audience=AUDIENCE,
        issuer=ISSUER,
        issuer_keys=OneKey(ISSUER_KEY),
        service_keys=OneKey(SERVICE_KEY),
        party_keys=lambda party, kid, _: PARTY_KEY if (party, kid) == ("south", "south#1") else None,
    )


def bearer(*roles: str, now: datetime = NOW, **more: Any) -> str:
    said: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "subject": "u1", "client": "c1", **more}
    return f"Bearer {issue_bearer(ISSUER_KEY, roles=roles or ('painter',), now=now, **said)}"


def issue_bearer_with(claims: Mapping[str, Any]) -> str:
    at = int(NOW.timestamp())
    said = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "client_id": "c1", "jti": "j1", "iat": at, "exp": at + 60,
        "roles": ["painter"], **claims,
    }
    header = {"alg": "Ed25519", "typ": "at+jwt", "kid": ISSUER_KEY.kid}
    return jwt.encode(header, said, ISSUER_KEY, algorithms=["Ed25519"])


def as_service() -> str:
    return f"Bearer {sign_internal(SERVICE_KEY, issuer='north.stores', audience=AUDIENCE, now=NOW)}"


def as_party(role: str = "yard") -> str:
    return f"Bearer {sign_party(PARTY_KEY, party='south', role=role, audience=AUDIENCE, now=NOW)}"


@dataclass
class Site:
    """The invented service, built, and a client that speaks to it in process."""

    executor: RemembersAnswers
    resources: list[Any]
    app: Any
    client: httpx.AsyncClient

    def post(self, path: str, content: Any, **headers: str) -> Awaitable[httpx.Response]:
        """Post as a painter; a header said to be empty is left out."""
        said = {"content-type": "application/json", "authorization": bearer(), "idempotency-key": "k1"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=content, headers={n: v for n, v in said.items() if v})

    def get(self, path: str, **headers: str) -> Awaitable[httpx.Response]:
        """Get as a painter; a header said to be empty is left out."""
        said = {"authorization": bearer()} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers={n: v for n, v in said.items() if v})


def a_site(
    *, requests_per_second: float = 1000.0, decide: Callable[[Step], Any] = painted, of: Routes = routes
) -> Site:
    executor = RemembersAnswers(decide)
    resources: list[Any] = []
    app = build(
        of,
        service="things",
        problems=PROBLEMS,
        gate=a_gate(),
        executor=executor,
        views=NoDatabase(),  # type: ignore[arg-type]  # no view of the invented service reads rows
        resources=resources,
        fingerprint_key=b"0" * 32,
        version="1.2.3",
        ready=_ready,
        new_id=lambda: THING,
        clock=lambda: NOW,
        requests_per_second=requests_per_second,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return Site(executor, resources, app, httpx.AsyncClient(transport=transport, base_url="http://things.example"))


async def _ready() -> bool:
    return True
