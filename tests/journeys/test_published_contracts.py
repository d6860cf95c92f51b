"""What lies on the topics is what the published documents say: whatever was told, on its topic, with its headers."""

import json
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft7Validator, FormatChecker

from contracts.codes import Service
from docs.generate import ROOT
from tests.journeys.town import Town

FOLDER = ROOT / "contracts" / "generated" / "asyncapi"
WAYS_OF_EVERY_JOURNEY = {"case.registered", "handover.proposed", "transmission.permitted", "handover.requested"}


def _published() -> Iterator[tuple[re.Pattern[str], str, dict[str, Draft7Validator]]]:
    """Topics as a pattern, a type that is told there, and what its key, headers and body must be."""
    for service in Service:
        whole: dict[str, Any] = json.loads((FOLDER / f"{service}.json").read_text("utf-8"))
        for operation in whole["operations"].values():
            if operation["action"] == "send":
                channel = whole["channels"][operation["channel"]["$ref"].rsplit("/", 1)[1]]
                pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[a-z][a-z0-9-]+", re.escape(channel["address"])))
                for name in channel["messages"]:
                    message = whole["components"]["messages"][name]
                    parts = {**message, "key": message["bindings"]["kafka"]["key"]}
                    yield pattern, name, {part: _judge(whole, parts[part]) for part in ("headers", "payload", "key")}


def _judge(whole: dict[str, Any], schema: dict[str, Any]) -> Draft7Validator:
    return Draft7Validator({**schema, "components": whole["components"]}, format_checker=FormatChecker())


async def test_whatever_was_told_is_told_as_published(town: Town) -> None:
    published = list(_published())
    seen = set()
    for said in await town.said():
        headers = {name: value.decode() for name, value in said.headers.items()}
        found = [
            judges for topic, name, judges in published if topic.fullmatch(said.topic) and name == headers["ce_type"]
        ]
        assert len(found) == 1, f"{said.type} on {said.topic}"
        parts: dict[str, Any] = {"headers": headers, "payload": json.loads(said.body), "key": said.key.decode()}
        for part, judge in found[0].items():
            judge.validate(parts[part])
        seen.add(said.type)
    assert seen >= WAYS_OF_EVERY_JOURNEY
