"""HTTP for services: routes as plain data, one way through for all of them, problem documents, limits."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.auth import Caller, Gate
from chassis.executor import Answer
from chassis.http.idempotency import NEWS_SECONDS_MAX
from chassis.http.limits import REQUESTS_PER_SECOND, Buckets
from chassis.http.openapi import Api, described
from chassis.http.pages import Ready, health, listing, openapi_document, problem_list, problem_page, readiness
from chassis.http.problems import Problem, Problems, Trouble, Turned
from chassis.http.routes import (
    Allow,
    Call,
    CommandAnswer,
    Routes,
    StreamingAnswer,
    anyone,
    parties,
    people,
    services,
)
from chassis.http.send import SECURITY
from chassis.http.serve import Desk, Request, Runs, Serve
from chassis.http.text import Body, Day, Instant, Name, Text

__all__ = [
    "NEWS_SECONDS_MAX",
    "Allow",
    "Body",
    "Call",
    "Caller",
    "CommandAnswer",
    "Day",
    "Instant",
    "Name",
    "Problem",
    "Routes",
    "StreamingAnswer",
    "Text",
    "Trouble",
    "anyone",
    "build",
    "parties",
    "people",
    "services",
]


NATIVE_TELEMETRY_OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def _now() -> datetime:
    return datetime.now(UTC)


def build(
    routes: Routes,
    *,
    service: str,
    problems: Mapping[Any, Problem],
    gate: Gate,
    executor: Runs,
    views: AsyncEngine,
    resources: Any,
    fingerprint_key: bytes,
    version: str,
    ready: Ready,
    new_id: Callable[[], UUID],
    clock: Callable[[], datetime] = _now,
    requests_per_second: float = REQUESTS_PER_SECOND,
) -> FastAPI:
    """One service's HTTP application. `version` is that of the OpenAPI document, `problems` its reasons and rows."""
    said = Problems(service, problems)
    desk = Desk(
        said, gate, executor, views, resources, fingerprint_key, new_id, clock, buckets=Buckets(requests_per_second)
    )
    app = Api(
        title=service,
        version=version,
        openapi_url=None,  # all three are served below, by our own rules
        docs_url=None,  # FastAPI's page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a body sent to a slightly wrong address is not sent a second time
        telemetry=NATIVE_TELEMETRY_OFF,  # chassis.telemetry has an allow-list of what may be seen
    )
    app.router.routes += [described(route, desk.app(route), said) for route in routes.listed]
    app.router.routes += _about(app, desk, ready)
    app.router.default = _http_only(desk.answering("*", _nowhere))
    app.add_exception_handler(HTTPException, _other_method(said, app.router.routes))
    return app


def _about(app: Api, desk: Desk, ready: Ready) -> Sequence[BaseRoute]:
    """What every service says about itself. No part of the OpenAPI document: for operators and readers."""
    pages: Mapping[str, Serve] = {
        "/health": health,
        "/ready": readiness(ready),
        "/problems": problem_list(desk.problems),
        "/problems/{service}/{reason}": problem_page(desk.problems),
        "/openapi.json": openapi_document(app.openapi),
        "/docs": listing(app.openapi),
    }
    routes = []
    for path, serve in pages.items():
        route = Route(path, _never, methods=["GET"], include_in_schema=False)
        route.app = desk.answering(path, serve)
        routes.append(route)
    return routes


async def _never(_: object) -> Response:
    raise AssertionError("replaced by the route's app")


async def _nowhere(_: Request) -> Answer:
    raise Turned(Trouble.NOT_FOUND)


def _http_only(app: ASGIApp) -> ASGIApp:
    """Nothing here speaks WebSocket."""

    async def default(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    return default


def _other_method(problems: Problems, routes: Sequence[BaseRoute]) -> Callable[..., Response]:
    """An address asked with a method it does not know: the router raises this and nothing else."""

    def answer(request: StarletteRequest, _: Exception) -> Response:
        path = request.scope["route"].path
        same = [each for each in routes if isinstance(each, Route) and each.path == path]
        known = {method for each in same for method in each.methods or ()}
        said = problems.answer(Trouble.METHOD_NOT_ALLOWED)
        headers = {**dict(said.headers), "allow": ", ".join(sorted(known))}
        return Response(said.body, said.status, headers | {name.decode(): value.decode() for name, value in SECURITY})

    return answer
