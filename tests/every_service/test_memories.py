"""Whatever a service says, it can make its own again when its database is older than its words."""

from importlib import import_module

import pytest

from contracts.codes import Service
from contracts.registry import EVENTS
from tests.every_service.anatomy import SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_every_fact_a_service_says_is_remembered(service: str) -> None:
    remembered = {memory.event for memory in import_module(f"services.{service}.events").REMEMBERS}
    said = {event.__name__ for event in EVENTS.values() if event.owner is Service(service)}
    assert {event.__name__ for event in remembered} == said
