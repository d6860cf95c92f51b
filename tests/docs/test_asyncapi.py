"""What every service publishes about what it sends and hears: valid AsyncAPI, and true."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker

from contracts.codes import Service
from contracts.events import TopicKind
from contracts.registry import EVENTS
from contracts.topics import topics
from deploy.installation import read_alliance
from docs import services
from docs.asyncapi import ALLIANCE, document
from tests.judges import judge, wrong

every_service = pytest.mark.parametrize("service", Service)
# A consent speaks beside its table, from every place that can change one.
TOLD_BESIDE_A_TABLE = {
    f"staffel.consent.{name}.v1"
    for name in (
        "given", "refused", "withdrawn", "replaced", "invalidated", "cleared", "clearance_ended", "renewal_due",
    )
}


@cache
def _document(service: Service) -> Any:
    return json.loads(document(service))


def messages() -> Iterator[tuple[Service, str]]:
    for service in Service:
        yield from ((service, name) for name in _document(service)["components"]["messages"])


def schema_of(service: Service, part: Any) -> Draft7Validator:
    """A schema of the document, with what it refers to."""
    whole = {**part, "components": _document(service)["components"]}
    return Draft7Validator(whole, format_checker=FormatChecker())


@every_service
def test_the_owner_of_the_format_finds_nothing_wrong(service: Service) -> None:
    assert wrong(judge("asyncapi-3.0.0"), _document(service)) == []


@pytest.mark.parametrize("spoil", ["action", "bindings", "parameters", "headers"])
def test_the_owner_of_the_format_would_say_so(spoil: str) -> None:
    bad = deepcopy(_document(Service.OFFERS))
    channel, operation = next(iter(bad["channels"].values())), next(iter(bad["operations"].values()))
    match spoil:
        case "action":
            operation["action"] = "publish"
        case "bindings":
            channel["bindings"]["kafka"]["partitions"] = "three"
        case "parameters":
            channel["parameters"]["agency"]["schema"] = {}
        case "headers":
            next(iter(bad["components"]["messages"].values()))["headers"] = []
    assert wrong(judge("asyncapi-3.0.0"), bad)


@every_service
def test_every_reference_leads_somewhere(service: Service) -> None:
    whole = _document(service)
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', document(service)):
        place = whole
        for step in reference.split("/"):
            place = place[step]


@every_service
def test_everything_the_service_says_and_hears_stands_there_once(service: Service) -> None:
    found: dict[str, list[str]] = {"send": [], "receive": []}
    for operation in _document(service)["operations"].values():
        found[operation["action"]] += [each["$ref"].rsplit("/", 1)[1] for each in operation["messages"]]
    assert sorted(found["send"]) == sorted(name for name, event in EVENTS.items() if event.owner is service)
    assert sorted(found["receive"]) == sorted({hear.event.type for hear in services.hears(service)})


@pytest.mark.parametrize(("service", "name"), list(messages()))
def test_every_example_is_what_its_schemas_say(service: Service, name: str) -> None:
    message = _document(service)["components"]["messages"][name]
    for example in message["examples"]:
        schema_of(service, message["headers"]).validate(example["headers"])
        schema_of(service, message["payload"]).validate(example["payload"])
        schema_of(service, message["bindings"]["kafka"]["key"]).validate(example["headers"]["ce_subject"][-36:])


def test_every_topic_of_an_alliance_is_the_channel_of_the_one_who_writes_it() -> None:
    for topic in topics(read_alliance(ALLIANCE)):
        channels = [
            channel for name, channel in _document(topic.writer.service)["channels"].items() if ".heard" not in name
        ]
        found = [channel for channel in channels if re.fullmatch(_pattern(channel["address"]), topic.name)]
        if not found:
            assert (topic.address.kind, topic.writer.service) == (TopicKind.CHANNEL, Service.OFFERS), "said nowhere yet"
            continue
        (channel,) = found
        kafka = channel["bindings"]["kafka"]
        said = {key: _text(value) for key, value in kafka["topicConfiguration"].items()}
        assert (said, kafka["partitions"]) == (dict(topic.configs), topic.partitions)


def _pattern(address: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[a-z][a-z0-9-]+", re.escape(address))


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def test_every_event_is_told_by_a_row_of_its_owner() -> None:
    assert {name for name, event in EVENTS.items() if not services.told_by(event)} == TOLD_BESIDE_A_TABLE
