"""HTTP for services: routes as plain data, one way through for all of them, problem documents, limits."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.auth import Caller, Gate
from chassis.executor import Answer
from chassis.http.limits import REQUESTS_PER_SECOND, Buckets, Tries, Turn
from chassis.http.openapi import AnsweringRoute, Api, described
from chassis.http.pages import (
    Ready,
    health,
    html_page,
    listing,
    openapi_document,
    problem_list,
    problem_page,
    readiness,
)
from chassis.http.problems import Problem, Problems, Trouble, Turned
from chassis.http.routes import (
    Allow,
    Call,
    CommandAnswer,
    Routes,
    StreamingAnswer,
    anyone,
    check_unambiguous,
    parties,
    people,
    services,
)
from chassis.http.serve import Desk, Request, Runs, Serve
from chassis.http.text import Body, Content, Day, Instant, Name, Text
from chassis.recovery import Standing

__all__ = [
    "Allow",
    "Body",
    "Call",
    "Caller",
    "CommandAnswer",
    "Content",
    "Day",
    "Instant",
    "Name",
    "Problem",
    "Routes",
    "StreamingAnswer",
    "Text",
    "Tries",
    "Trouble",
    "Turn",
    "anyone",
    "build",
    "html_page",
    "openapi",
    "parties",
    "people",
    "services",
]


NATIVE_TELEMETRY_OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def _now() -> datetime:
    return datetime.now(UTC)


def build(  # noqa: PLR0913  # the wiring of a service, by name
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
    standing: Callable[[], Standing] = lambda: Standing.SOUND,
    new_id: Callable[[], UUID],
    clock: Callable[[], datetime] = _now,
    requests_per_second: float = REQUESTS_PER_SECOND,
) -> FastAPI:
    """One service's HTTP application. `version` is that of the OpenAPI document, `problems` its reasons and rows."""
    said = Problems(service, problems)
    desk = Desk(
        said,
        gate,
        executor,
        views,
        resources,
        fingerprint_key,
        new_id,
        clock,
        buckets=Buckets(requests_per_second),
        standing=standing,
    )
    check_unambiguous(routes.listed)
    app = _api(service, version, routes, said)
    other = desk.answering("*", _other_method(said, app.router.routes))
    fixed = dict.fromkeys(route.path for route in routes.listed if "{" not in route.path)
    answering = [AnsweringRoute(route.method, route.path, desk.app(route), other) for route in routes.listed]
    app.router.routes += [route for route in answering if route.path in fixed]
    # Else an address with a parameter would take a method that a fixed one does not know for a question to itself.
    app.router.routes += [AnsweringRoute(None, path, other, other) for path in fixed]
    app.router.routes += [route for route in answering if route.path not in fixed]
    app.router.routes += _about(app, desk, ready, other)
    app.router.default = _http_only(desk.answering("*", _nowhere))
    return app


def openapi(routes: Routes, *, service: str, problems: Mapping[Any, Problem], version: str) -> Mapping[str, Any]:
    """The OpenAPI document of a service that does not run, for its reference and for tests."""
    return _api(service, version, routes, Problems(service, problems)).openapi()


def _api(service: str, version: str, routes: Routes, problems: Problems) -> Api:
    return Api(
        lambda: [described(route, problems) for route in routes.listed],
        title=service,
        version=version,
        openapi_url=None,  # all three are served by our own rules
        docs_url=None,  # FastAPI's page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a body sent to a slightly wrong address is not sent a second time
        telemetry=NATIVE_TELEMETRY_OFF,  # chassis.telemetry has an allow-list of what may be seen
    )


def _about(app: Api, desk: Desk, ready: Ready, other: ASGIApp) -> Sequence[BaseRoute]:
    """What every service says about itself. No part of the OpenAPI document: for operators and readers."""
    pages: Mapping[str, Serve] = {
        "/health": health,
        "/ready": readiness(ready),
        "/problems": problem_list(desk.problems),
        "/problems/{service}/{reason}": problem_page(desk.problems),
        "/openapi.json": openapi_document(app.openapi),
        "/docs": listing(app.openapi),
    }
    return [
        AnsweringRoute("GET", path, desk.answering(path, serve), other)
        for path, serve in pages.items()
    ]


async def _nowhere(_: Request) -> Answer:
    raise Turned(Trouble.NOT_FOUND)


def _other_method(problems: Problems, routes: Sequence[BaseRoute]) -> Serve:
    """An address asked with a method it does not know: says which ones it knows."""

    async def serve(request: Request) -> Answer:
        path = request.scope["route"].path
        same = [each for each in routes if isinstance(each, AnsweringRoute) and each.path == path]
        known = ", ".join(sorted({method for each in same for method in each.methods or ()}))
        answer = problems.answer(Trouble.METHOD_NOT_ALLOWED)
        return replace(answer, headers=(*answer.headers, ("allow", known)))

    return serve


def _http_only(app: ASGIApp) -> ASGIApp:
    """Nothing here speaks WebSocket."""

    async def default(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    return default
