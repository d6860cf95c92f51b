"""A service answers under the addresses that the page of who can read what names, and under no other."""

import json
from collections.abc import Mapping

import pytest

from contracts.codes import Service
from docs.generate import ROOT
from docs.openapi import operators, routes
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import Running

# About the service itself and nobody else; chapter 6 of the page names them.
WITHOUT_A_TOKEN = {"/health", "/ready", "/docs", "/openapi.json", "/problems"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_running_service_has_no_address_that_the_page_does_not_name(
    services: Mapping[str, Running], name: str
) -> None:
    named = {route.path for route in (*routes(Service(name)), *operators())}
    there = {str(getattr(route, "path", "")) for route in services[name].app.routes}
    rest = {path for path in there - named if not path.startswith("/problems/")}
    assert named <= there
    assert rest <= WITHOUT_A_TOKEN


@pytest.mark.parametrize("name", SERVICES)
def test_a_running_service_describes_itself_as_the_file_does(services: Mapping[str, Running], name: str) -> None:
    written = json.loads((ROOT / f"contracts/generated/openapi/{name}.json").read_text("utf-8"))
    assert json.loads(json.dumps(services[name].app.openapi())) == written
