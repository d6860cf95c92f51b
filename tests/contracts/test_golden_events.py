"""Every event of every released version, given to everybody who hears it: read, understood, decided on."""

from uuid import UUID

import pytest

from chassis.envelope import Record, key_of
from chassis.inbox import Heard
from chassis.transitions import Context, Decided, Refused
from contracts.codes import Service
from contracts.events import Event, TopicKind
from docs.release import goldens
from tests.contracts.test_cloudevents import HOME, OTHER, SAID, written
from tests.simulation.town import AGENCIES, wiring
from tests.simulation.world import ROOMS

ORIGINS = {TopicKind.OWN: "own", TopicKind.CHANNEL: "channel", TopicKind.CATALOGUE: "common"}
OWN_SUBJECT = UUID("019aa0b2-0000-7000-8000-0000000000cc")  # what a service's query would find
GOLDENS = tuple(goldens())
HEARD = [
    pytest.param(told, body, service, id=f"{version}-{told.type}-{service}")
    for version, told, body in GOLDENS
    for service in Service
    if told in {hear.event for hear in wiring(OTHER, service).hears}
]


def hears(told: type[Event], body: bytes, service: Service) -> Heard:
    """The record of an example as this consumer reads it: on the channel from HOME, at home from OTHER itself."""
    fact, envelope, topic = written(told, body)
    if told.topic is TopicKind.OWN:
        topic = topic.replace(HOME, OTHER, 1)
    heard = wiring(OTHER, service).hearing.read(
        Record(envelope, topic, 0, 1, key_of(fact.key), (), fact.model_dump_json().encode())
    )
    assert heard is not None
    return heard


@pytest.mark.parametrize(("told", "body", "service"), HEARD)
def test_a_golden_event_is_read_and_becomes_commands_that_are_decided(
    told: type[Event], body: bytes, service: Service
) -> None:
    heard = hears(told, body, service)
    assert heard.trouble is None
    assert wiring(OTHER, service).sources[heard.meta.topic].origin == ORIGINS[told.topic]

    rooms = ROOMS[service](OTHER)
    for step in heard.steps(() if heard.query is None else (OWN_SUBJECT,)):
        room = rooms.kinds[step.kind]
        outcome = room.decide(
            room.load(step.subject, step.command), step.command,
            Context(SAID, frozenset(room.reserves(step.subject, step.command))),
        )
        assert isinstance(outcome, Decided | Refused)


def test_every_golden_event_that_another_agency_sends_is_heard_there() -> None:
    sent = {told for _, told, _ in GOLDENS if told.topic is not TopicKind.OWN}
    heard = {hear.event for agency in AGENCIES for service in Service for hear in wiring(agency, service).hears}
    assert not {told.type for told in sent - heard}


def test_there_are_golden_events_of_every_kind_that_is_heard() -> None:
    golden = {told for _, told, _ in GOLDENS}
    heard = {hear.event for service in Service for hear in wiring(OTHER, service).hears}
    assert not {told.type for told in heard - golden}
