"""How routes describe themselves in OpenAPI 3.1: bodies, answers, problems, headers, who may ask."""
from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query
from fastapi.openapi.utils import get_openapi
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.http.idempotency import KEY_PATTERN, VERSION_PATTERN
from chassis.http.limits import FORM
from chassis.http.problems import MEDIA_TYPE, Problems
from chassis.http.routes import PAGE, Allow, Command, Form, Route, Stream

SCHEMES: Mapping[str, HTTPBearer] = {
    name: HTTPBearer(bearerFormat="JWT", scheme_name=name, description=said, auto_error=False)
    for name, said in (
        ("person", "Access token of the node's issuer (RFC 9068, typ at+jwt), signed with Ed25519; claim `roles`."),
        ("service", "Token of another service of the node (typ service+jwt), at most 60 s."),
        ("party", "Token of another party (typ party+jwt), at most 60 s; iss = party, sub = <party>.<service>."),
    )
}

IDEMPOTENCY_KEY = (
    "1 to 128 letters, digits and the signs . _ : - chosen by the caller, one per command. The same again gives the "
    "same answer with Idempotency-Replayed: true; with another body 422. Kept for 7 days."
)
KEY_FOR_ONE_BODY = IDEMPOTENCY_KEY.replace("with another body 422", "with another body it counts as another key")
IF_MATCH = 'The version the caller has seen, as in "3"; another one now gives 412.'

PROBLEM_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Ids, states and codes only: nothing that was sent comes back.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Resolves to a page on this service."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "instance": {"type": "string", "format": "uri-reference", "description": "Names the log entry of a bug."},
        "state": {"type": "string", "description": "The present state of the subject."},
        "allowed": {"type": "array", "items": {"type": "string"}, "description": "What is possible in that state."},
        "errors": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "required": ["field", "code"],
                "properties": {
                    "field": {"type": "string", "description": "JSON Pointer, as far as the names are known."},
                    "code": {"type": "string"},
                },
            },
        },
    },
}

# What the mechanism itself may answer, by kind of route; a service's own reasons may come with any command or view.
OF_ALL = frozenset({401, 403, 404, 429, 431, 500, 503})
OF_BODIES = frozenset({400, 408, 413, 415, 422})
OF_COMMANDS = frozenset({409, 412})


class AnsweringRoute(StarletteRoute):
    """An address that answers. FastAPI describes it and does not run it: its way costs more than all of ours."""

    def __init__(self, method: str | None, path: str, app: ASGIApp, other: ASGIApp) -> None:
        """`method`: the one it knows; None for the address itself, whatever the method."""
        super().__init__(path, app, methods=None if method is None else [method])
        self.app, self._other, self._method = app, other, method
        # And not HEAD, which Starlette adds: it would run the whole of a GET.
        self.methods = None if method is None else {method}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; to another method with `other`."""
        scope["route"] = self
        await (self.app if scope["method"] == self._method else self._other)(scope, receive, send)


class Api(FastAPI):
    """FastAPI with the schema of problems among its components; `to_describe` is asked when somebody wants to read."""

    def __init__(self, to_describe: Callable[[], Sequence[APIRoute]], **told: Any) -> None:
        super().__init__(**told)
        self._to_describe = to_describe

    def build_middleware_stack(self) -> ASGIApp:
        """Nothing stands between the server and the routes: each of them answers for its own troubles."""
        return self.router

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = get_openapi(
            title=self.title, version=self.version, openapi_version=self.openapi_version, routes=self._to_describe()
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = dict(PROBLEM_SCHEMA)
        _drop_the_validation_errors_of_fastapi(document, schemas)
        self.openapi_schema = document
        return document


def _drop_the_validation_errors_of_fastapi(document: Mapping[str, Any], schemas: dict[str, Any]) -> None:
    """FastAPI adds them wherever there is a parameter; nothing here ever answers that way."""
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def described(route: Route, problems: Problems) -> APIRoute:
    """A route with everything its signature, its docstring and its kind say about it; nobody ever asks it."""
    return APIRoute(
        route.path,
        _endpoint(route),
        methods=[route.method],
        status_code=route.status,
        response_model=route.answer,
        response_class=_response_class(route.media_type),
        response_description="As asked.",
        summary=_summary(route.handler),
        description=route.description,
        operation_id=route.handler.__name__,
        tags=[problems.service],
        dependencies=_security(route.allow),
        responses=_responses(route, problems),
        openapi_extra=_form(route) if isinstance(route, Form) else None,
    )


def _form(route: Form) -> dict[str, Any]:
    """FastAPI describes forms only where a library reads them that is not needed here."""
    content = {FORM.decode(): {"schema": route.fields.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def _response_class(media_type: str) -> type[Response]:
    """Only its media type is read."""
    return type("Described", (JSONResponse,), {"media_type": media_type})


def _endpoint(route: Route) -> Callable[..., None]:
    """A function with the signature that FastAPI is to describe; it is never called."""

    def endpoint() -> None:
        """Only its signature is read."""

    parameters = [_parameter(name, route.types[name]) for name in route.path_adapters]
    parameters += [
        _parameter(name, Annotated[route.types[name], Query()], each.default) for name, each in route.query.items()
    ]
    if route.body is not None:
        parameters.append(_parameter("body", route.body))
    if isinstance(route, Command):
        meaning = KEY_FOR_ONE_BODY if route.unconditional else IDEMPOTENCY_KEY
        key = Annotated[str, Header(alias="Idempotency-Key", description=meaning, pattern=KEY_PATTERN)]
        version = Annotated[str | None, Header(alias="If-Match", description=IF_MATCH, pattern=VERSION_PATTERN)]
        parameters.append(_parameter("idempotency_key", key))
        if not route.unconditional:
            parameters.append(_parameter("if_match", version, None))
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect.signature reads it
    endpoint.__name__ = route.handler.__name__
    return endpoint


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _summary(handler: Callable[..., Any]) -> str:
    return (inspect.getdoc(handler) or handler.__name__).partition("\n")[0]


def _security(allow: Allow) -> Sequence[Dependency]:
    wanted = {
        "person": bool(allow.roles),
        "service": bool(allow.service_names),
        "party": allow.party_roles is not None,
    }
    return [] if allow.everyone else [Depends(SCHEMES[name]) for name, is_wanted in wanted.items() if is_wanted]


def _responses(route: Route, problems: Problems) -> dict[int | str, dict[str, Any]]:
    mechanism = set(OF_ALL)
    if route.allow.everyone:
        mechanism -= {401, 403}
    if isinstance(route, Command):
        mechanism |= OF_BODIES | (OF_COMMANDS - {412} if route.unconditional else OF_COMMANDS)
    elif route.body is not None or isinstance(route, Form):
        mechanism |= OF_BODIES
    elif route.query:
        mechanism.add(422)
    responses: dict[int | str, dict[str, Any]] = {}
    for status, types in sorted(problems.statuses().items()):
        own = [type_ for type_ in types if type_.startswith(f"/problems/{problems.service}/")]
        if own or status in mechanism:
            responses[status] = _problem(status, types if status in mechanism else own, shown=route.shown is not None)
    responses[route.status] = _good(route)
    return responses


def _problem(status: int, types: Sequence[str], *, shown: bool) -> dict[str, Any]:
    content: dict[str, Any] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if shown:
        content[PAGE] = {"schema": {"type": "string"}}
    return {"description": f"{HTTPStatus(status).phrase}: {', '.join(types)}", "content": content}


def _good(route: Route) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "As asked."}
    if route.headers:
        good["headers"] = {
            name: {"description": said, "schema": {"type": "string"}} for name, said in route.headers.items()
        }
    if route.media_type == PAGE:
        good["content"] = {PAGE: {"schema": {"type": "string"}}}
        return good
    if isinstance(route, Stream) and route.answer is None:
        good["content"] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        return good
    if isinstance(route, Command) or "version" in getattr(route.answer, "model_fields", ()):
        good["headers"] = {"ETag": {"description": "The version.", "schema": {"type": "string"}}}
    if isinstance(route, Command):
        replayed = {"description": "true where the answer is a stored one.", "schema": {"type": "string"}}
        good["headers"]["Idempotency-Replayed"] = replayed
    return good
