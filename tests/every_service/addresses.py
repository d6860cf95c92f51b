"""Every address of every service, as the tables of routes say; none is named here."""

from importlib import import_module

import pytest

from chassis.http.routes import Command, Route
from docs.openapi import operators
from tests.every_service.anatomy import SERVICES


def addresses(name: str) -> list[Route]:
    """All routes of a service: its own, the operators', and the feed."""
    own: list[Route] = import_module(f"services.{name}.api").routes.listed
    return [*own, *operators()]


ROUTES = [(name, route.handler.__name__) for name in SERVICES for route in addresses(name)]
COMMANDS = [
    (name, route.handler.__name__) for name in SERVICES for route in addresses(name) if isinstance(route, Command)
]
BODIES = [(name, route.handler.__name__) for name in SERVICES for route in addresses(name) if route.body is not None]


def of(name: str, address: str) -> Route:
    """The route of that name."""
    return next(route for route in addresses(name) if route.handler.__name__ == address)


def each(found: list[tuple[str, str]]) -> pytest.MarkDecorator:
    """One test per address."""
    return pytest.mark.parametrize(("name", "address"), found, ids=map("-".join, found))
