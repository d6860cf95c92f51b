"""The addresses of a service as plain data: commands, views, streams, and who may ask."""
from __future__ import annotations

import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from starlette.routing import compile_path

from chassis.auth import Caller
from chassis.executor import Answer
from chassis.transitions import Refused

F = TypeVar("F", bound=Callable[..., Any])
Method = Literal["POST", "PUT", "PATCH", "DELETE"]
PAGE = "text/html"
PLACES = frozenset({"body", "tx", "resources"})  # parameters that do not come from the address; the first is the call


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler knows of a request beside its parameters and body.

    `now` is the service's clock (the database's decides); `if_match` is the version the caller has seen; `address` is
    where somebody asks from of whom nothing else is known.
    """

    caller: Caller
    now: datetime
    new_id: Callable[[], UUID]
    if_match: int | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class Allow:
    """Who may ask: any of these. Made by `people`, `services`, `parties`, `anyone`, joined by `|`."""

    roles: frozenset[str] = frozenset()
    service_names: frozenset[str] = frozenset()
    party_roles: frozenset[str] | None = None
    everyone: bool = False

    def __or__(self, other: Allow) -> Allow:
        party_roles = self.party_roles if other.party_roles is None else other.party_roles | (self.party_roles or set())
        return Allow(
            self.roles | other.roles,
            self.service_names | other.service_names,
            party_roles,
            self.everyone or other.everyone,
        )

    def admits(self, caller: Caller) -> bool:
        """Whether this caller is one of those named."""
        match caller.kind:
            case "person":
                return self.everyone or not self.roles.isdisjoint(caller.roles)
            case "service":
                return self.everyone or not self.service_names.isdisjoint(caller.roles)
            case "party":
                wanted = self.party_roles
                return self.everyone or (wanted is not None and (not wanted or not wanted.isdisjoint(caller.roles)))
            case "anyone":
                return self.everyone

    @property
    def said(self) -> str:
        """As a sentence for the description of the route."""
        if self.everyone:
            return "Anyone may ask, without a token."
        parts = []
        if self.roles:
            parts.append(f"people with a role of {', '.join(sorted(self.roles))}")
        if self.service_names:
            parts.append(f"the node's own services {', '.join(sorted(self.service_names))}")
        if self.party_roles is not None:
            only = f" (their {', '.join(sorted(self.party_roles))})" if self.party_roles else ""
            parts.append(f"other parties{only}")
        return f"May ask: {'; '.join(parts)}."


def people(*roles: str) -> Allow:
    """People with an access token of the node's issuer who have one of these roles."""
    if not roles:
        raise ValueError("name the roles: deny is the default")
    return Allow(roles=frozenset(map(str, roles)))


def services(*names: str) -> Allow:
    """These services of the same node, each proved by its own key."""
    if not names:
        raise ValueError("name the services: deny is the default")
    return Allow(service_names=frozenset(map(str, names)))


def parties(*roles: str) -> Allow:
    """Other parties, proved by their keys; with `roles` only those of their services."""
    return Allow(party_roles=frozenset(map(str, roles)))


def anyone() -> Allow:
    """Whoever asks, known or not: public information only."""
    return Allow(everyone=True)


class CommandAnswer(BaseModel):
    """What every command answers: which subject, its state and version now, and what is possible next."""

    id: UUID
    state: str
    version: int
    allowed: list[str]


@dataclass(frozen=True, slots=True)
class StreamingAnswer:
    """An answer written piece by piece until `deadline` (time.monotonic()); then the connection is aborted, not closed.

    `closed` is awaited at the end, whatever the end was: True when every byte had left this process in time.
    """

    chunks: AsyncGenerator[bytes, None]
    deadline: float
    closed: Callable[[bool], Awaitable[None]]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/octet-stream"),)


Before = Callable[[Call, Any, Mapping[str, Any], Any], Awaitable[Refused | None]]
"""(call, resources, path parameters, body): runs before the command in a transaction of its own; may refuse."""

After = Callable[[Call, Any, Answer], Awaitable[None]]
"""(call, resources, answer): runs before an answer is given, a repeated one too, and may hold it back."""


Shown = Callable[[int, str], Answer]
"""(status, type of the problem) -> the page that says so to people; it must be able to say all of them."""


@dataclass(frozen=True, slots=True)
class Route:
    """One address with what its function's signature says about it."""

    method: str
    path: str
    handler: Callable[..., Any]
    allow: Allow
    status: int
    answer: Any
    body: type[BaseModel] | None
    path_adapters: Mapping[str, TypeAdapter[Any] | None]
    query: Mapping[str, inspect.Parameter]
    types: Mapping[str, Any]
    before: Before | None = None
    after: After | None = None
    unconditional: bool = False
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    shown: Shown | None = None
    """How a no is shown to a browser; without it, and to programs, as a problem document."""
    unheeding: bool = False
    """Whether what it answers does not depend on what the service has heard."""

    @property
    def places(self) -> frozenset[str]:
        """Which of `body`, `tx` and `resources` the handler takes."""
        return PLACES & self.types.keys()

    @property
    def description(self) -> str:
        """The handler's docstring and who may ask."""
        return f"{inspect.getdoc(self.handler) or ''}\n\n{self.allow.said}".strip()


@dataclass(frozen=True, slots=True)
class Command(Route):
    """A request that becomes one command."""


@dataclass(frozen=True, slots=True)
class View(Route):
    """A GET that reads."""


@dataclass(frozen=True, slots=True)
class Stream(Route):
    """A request whose answer is written piece by piece and never stored."""


@dataclass(frozen=True, slots=True)
class Form(Route):
    """What a page's form is sent to; `fields` are its fields, `reads`: nothing is changed by it."""

    fields: type[BaseModel] = BaseModel
    reads: bool = False


@dataclass
class Routes:
    """A service's addresses in the order in which they are matched; filled by decorators, read by `build`."""

    listed: list[Route] = field(default_factory=list)

    def command(  # what a route says about itself, by name
        self,
        method: Method,
        path: str,
        *,
        allow: Allow,
        status: int = 200,
        answer: type[BaseModel] = CommandAnswer,
        before: Before | None = None,
        after: After | None = None,
        unconditional: bool = False,
    ) -> Callable[[F], F]:
        """`def handler(call, <path parameters>, body: Model) -> Step`; without `body` none may be sent.

        `unconditional`: refused neither for a version, If-Match is not read, nor for a key that was used for something
        else: it stands for this body only. For what is never to be refused, and does no harm twice.
        """
        if allow.everyone:
            raise ValueError(f"{method} {path}: who commands must be known, an Idempotency-Key is theirs")

        def add(handler: F) -> F:
            types, body, adapters, query = _read_signature(path, handler)
            if inspect.iscoroutinefunction(handler):
                raise ValueError(f"{method} {path}: a command's handler waits for nothing; see `before`")
            if query:
                raise ValueError(f"{method} {path}: a command has no query parameters, found {sorted(query)}")
            said = (method, path, handler, allow, status, answer, body, adapters, query, types)
            self.listed.append(Command(*said, before, after, unconditional))
            return handler

        return add

    def view(
        self,
        path: str,
        *,
        allow: Allow,
        answer: type[BaseModel] | None = None,
        media_type: str = "application/json",
        headers: Mapping[str, str] = MappingProxyType({}),
        unheeding: bool = False,
    ) -> Callable[[F], F]:
        """`async def handler(call, tx, <path, query parameters>) -> Model | Refused`; a `version` becomes an ETag.

        A handler that makes the Answer itself says with `answer`, `media_type` and `headers` what it is.
        """

        def add(handler: F) -> F:
            types, body, adapters, query = _read_signature(path, handler)
            if body is not None or "tx" not in types:
                raise ValueError(f"GET {path}: a view takes call, tx and parameters, and no body")
            model = answer or _model_of(types.get("return"))
            if model is None:
                raise ValueError(f"GET {path}: say in the annotation which model is returned")
            said = ("GET", path, handler, allow, 200, model, None, adapters, query, types)
            self.listed.append(View(*said, media_type=media_type, headers=headers, unheeding=unheeding))
            return handler

        return add

    def page(self, path: str, *, allow: Allow, shown: Shown | None = None) -> Callable[[F], F]:
        """`async def handler(call, tx, <path, query parameters>) -> Answer | Refused`: a view as people see it.

        The Answer is made with `html_page`.
        """

        def add(handler: F) -> F:
            types, body, adapters, query = _read_signature(path, handler)
            if body is not None or "tx" not in types:
                raise ValueError(f"GET {path}: a page takes call, tx and parameters, and no body")
            said = ("GET", path, handler, allow, 200, None, None, adapters, query, types)
            self.listed.append(View(*said, media_type=PAGE, shown=shown))
            return handler

        return add

    def form(
        self, path: str, *, allow: Allow, fields: type[BaseModel], shown: Shown, reads: bool = False
    ) -> Callable[[F], F]:
        """`async def handler(call, resources, <path parameters>, body: <fields>) -> Answer | Refused`; a POST.

        For people, whose browser sends what they fill in (application/x-www-form-urlencoded) and shows what comes back:
        every no is a page, too. There is no Idempotency-Key and nothing is stored: what is sent twice must do no harm.
        Whoever may ask without a token proves it by what they fill in; nothing a browser sends by itself is looked at.
        """

        def add(handler: F) -> F:
            types, body, adapters, query = _read_signature(path, handler)
            if body is not fields or query or "tx" in types:
                raise ValueError(f"POST {path}: a form takes call, resources, path parameters and its fields as body")
            said = ("POST", path, handler, allow, 200, None, None, adapters, query, types)
            self.listed.append(Form(*said, media_type=PAGE, shown=shown, fields=fields, reads=reads))
            return handler

        return add

    def stream(  # what a route says about itself, by name
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        allow: Allow,
        body: type[BaseModel] | None = None,
        answer: type[BaseModel] | None = None,
        media_type: str = "application/json",
        unheeding: bool = False,
    ) -> Callable[[F], F]:
        """`async def handler(call, resources, <path parameters>, body) -> StreamingAnswer | Answer | Refused`.

        Nothing is stored, there is no Idempotency-Key. `answer` describes what comes back where it is JSON;
        `media_type` is that of pages where it is one.
        """

        def add(handler: F) -> F:
            types, annotated, adapters, query = _read_signature(path, handler)
            if annotated is not body or query:
                raise ValueError(f"{method} {path}: a stream takes call, resources, path parameters and its body")
            said = (method, path, handler, allow, 200, answer, body, adapters, query, types)
            self.listed.append(Stream(*said, media_type=media_type, unheeding=unheeding))
            return handler

        return add


def check_unambiguous(routes: Sequence[Route]) -> None:
    """ValueError where a route would never be reached or two would share a name in the OpenAPI document."""
    names: set[str] = set()
    earlier: list[tuple[Route, re.Pattern[str]]] = []
    for route in routes:
        if route.handler.__name__ in names:
            raise ValueError(f"two routes are called {route.handler.__name__}")
        example = re.sub(r"\{[^}]*\}", "-", route.path)
        for other, pattern in earlier:
            if other.method == route.method and pattern.match(example):
                raise ValueError(f"{route.method} {route.path} is never reached: {other.path} stands before it")
        names.add(route.handler.__name__)
        earlier.append((route, compile_path(route.path)[0]))


def _read_signature(
    path: str, handler: Callable[..., Any]
) -> tuple[dict[str, Any], type[BaseModel] | None, dict[str, TypeAdapter[Any] | None], dict[str, inspect.Parameter]]:
    types = get_type_hints(handler, include_extras=True)
    parameters = dict(list(inspect.signature(handler).parameters.items())[1:])
    in_path = compile_path(path)[2]
    if missing := in_path.keys() - parameters.keys():
        raise ValueError(f"{path}: {handler.__name__} does not take {sorted(missing)}")
    adapters = {name: None if _is_uuid(types[name]) else TypeAdapter(types[name]) for name in in_path}
    query = {name: each for name, each in parameters.items() if name not in in_path and name not in PLACES}
    body = types.get("body")
    if body is not None and not (isinstance(body, type) and issubclass(body, BaseModel)):
        raise ValueError(f"{path}: body must be one pydantic model")
    return types, body, adapters, query


def _is_uuid(annotation: Any) -> bool:
    return annotation is UUID or getattr(annotation, "__supertype__", None) is UUID


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model among what a view may return (a view may also return Refused)."""
    options: Sequence[Any] = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    models = [each for each in options if isinstance(each, type) and issubclass(each, BaseModel)]
    others = [each for each in options if each not in models and each not in (Refused, NoneType)]
    return models[0] if len(models) == 1 and not others else None


