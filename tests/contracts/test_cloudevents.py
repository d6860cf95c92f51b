"""Every event as it goes onto a topic, judged by the official CloudEvents SDK: read, written again, read back."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from chassis import outbox
from chassis.envelope import Envelope, from_record, key_of, to_headers
from chassis.outbox import Saying
from contracts.addressing import postmarks
from contracts.events import Event, TopicKind
from docs.release import goldens
from tests.simulation.town import AGENCIES, ALLIANCE

HOME, OTHER = AGENCIES[:2]
SOURCE = f"urn:staffel:{HOME}:service"
SAID = datetime(2026, 11, 3, 9, 30, 0, 123000, tzinfo=UTC)
EVENT = UUID("019aa0b2-0000-7000-8000-0000000000aa")
CAUSE = "019aa0b2-0000-7000-8000-0000000000bb"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GOLDENS = [pytest.param(told, body, id=f"{version}-{told.type}") for version, told, body in goldens()]


def written(told: type[Event], body: bytes) -> tuple[Event, Envelope, str]:
    """The fact of an example, its envelope as a service writes it, and its topic."""
    fact = told.model_validate_json(body)
    to = OTHER if told.topic is TopicKind.CHANNEL else None
    postmark = postmarks(HOME, [ALLIANCE])(fact, to, None if told.topic is TopicKind.OWN else ALLIANCE.id)
    envelope = outbox._envelope(
        Saying(fact, postmark, TRACE, CAUSE), 7, source=SOURCE, now=SAID, event_id=EVENT
    )
    return fact, envelope, postmark.topic


@pytest.mark.parametrize(("told", "body"), GOLDENS)
def test_the_sdk_reads_every_attribute_of_every_event(told: type[Event], body: bytes) -> None:
    fact, envelope, _ = written(told, body)
    payload = fact.model_dump_json().encode()

    event = from_binary(KafkaMessage(dict(to_headers(envelope)), key_of(fact.key), payload), JSONFormat(), CloudEvent)

    assert (event.get_id(), event.get_source(), event.get_type()) == (str(EVENT), SOURCE, told.type)
    assert (event.get_subject(), event.get_time(), event.get_specversion()) == (fact.subject, SAID, "1.0")
    assert event.get_dataschema() == f"urn:staffel:schema:{told.type}"
    assert event.get_datacontenttype() == "application/json"
    assert {name: event.get_extension(name) for name in envelope.extensions} == envelope.extensions
    assert (event.get_extension("subjectseq"), event.get_extension("traceparent")) == ("7", TRACE)
    assert event.get_data() == json.loads(payload)


@pytest.mark.parametrize(("told", "body"), GOLDENS)
def test_what_the_sdk_writes_of_every_event_is_read_as_the_same(told: type[Event], body: bytes) -> None:
    fact, envelope, topic = written(told, body)
    payload = fact.model_dump_json().encode()
    message = KafkaMessage(dict(to_headers(envelope)), key_of(fact.key), payload)

    again = to_binary(from_binary(message, JSONFormat(), CloudEvent), JSONFormat(), lambda _: key_of(fact.key))
    record = from_record(topic, 0, 1, key_of(fact.key), list(again.headers.items()), again.value)

    # The SDK names the record's key as the extension the binding gives it; everything else is word for word the same.
    assert record.envelope == envelope._replace(extensions={**envelope.extensions, "partitionkey": str(fact.key)})
    assert told.model_validate_json(record.value or b"") == fact


@pytest.mark.parametrize(("told", "body"), GOLDENS)
def test_every_event_goes_through_the_json_format_and_back(told: type[Event], body: bytes) -> None:
    fact, envelope, _ = written(told, body)
    message = KafkaMessage(dict(to_headers(envelope)), key_of(fact.key), fact.model_dump_json().encode())
    event = from_binary(message, JSONFormat(), CloudEvent)

    again = JSONFormat().read(CloudEvent, JSONFormat().write(event))

    assert again.get_attributes() == event.get_attributes()
    assert again.get_data() == event.get_data()
