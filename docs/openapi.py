"""The OpenAPI document of each service as a file: what a system that calls it is generated from, and a change shows."""

import json
from importlib.metadata import version
from typing import Any, Final, cast

from chassis.feed import feed_routes
from chassis.http import Routes, openapi
from chassis.http.operations import operations
from chassis.http.routes import Route
from contracts.codes import Service
from docs import services

NOBODY: Final = cast(Any, None)  # whom the addresses would ask; here they are only described


def document(service: Service) -> str:
    """The same document that the running service has at `/openapi.json`."""
    found = openapi(
        Routes([*routes(service), *operators()]),
        service=service,
        problems=services.problems(service),
        version=version("staffel"),
    )
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def routes(service: Service) -> list[Route]:
    """The addresses that a service alone has."""
    found: list[Route] = services.room(service, "api").routes.listed
    return found


def operators() -> list[Route]:
    """The addresses that every service has: the operators', and the feed."""
    return [*operations(NOBODY, "").listed, *feed_routes({}, tuple(Service)).listed]
