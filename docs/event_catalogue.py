"""The event catalogue and the JSON Schema of every event, made from the event classes."""

import json
from collections.abc import Iterable
from inspect import cleandoc

from contracts.codes import Service
from contracts.events import Event, TopicKind
from contracts.registry import EVENTS

_TOPIC = {
    TopicKind.OWN: "`<agency>.{owner}.events`",
    TopicKind.CHANNEL: "`<alliance>.<from>.to.<to>.{owner}`",
    TopicKind.CATALOGUE: "`<alliance>.<agency>.catalogue`",
}
_OPENING = """\
# Event catalogue

Made from the classes in `contracts/` by `python -m docs.generate`; do not edit. `?` marks what may be null. Beside the
body every event carries its envelope (CloudEvents 1.0, binary mode); the schemas are in `schemas/`, one example of each
event in `contracts/examples/`."""


def schema(event: type[Event]) -> str:
    """The JSON Schema (draft 2020-12) of that event's body."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:staffel:schema:{event.type}",
        **event.model_json_schema(),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def catalogue() -> str:
    """All events, service by service and topic by topic, in the order of the files."""
    chapters = [_chapter(service) for service in Service]
    return "\n\n".join([_OPENING, *chapters]) + "\n"


def _chapter(service: Service) -> str:
    sections = [_section(service, kind) for kind in TopicKind]
    return "\n\n".join([f"## {service}", *filter(None, sections)])


def _section(service: Service, kind: TopicKind) -> str:
    events = [event for event in EVENTS.values() if (event.owner, event.topic) == (service, kind)]
    if not events:
        return ""
    lines = [
        f"On {_TOPIC[kind].format(owner=service)}:",
        "",
        "| type | key | body | what happened |",
        "|---|---|---|---|",
        *(_row(event) for event in events),
    ]
    return "\n".join(lines)


def _row(event: type[Event]) -> str:
    told = " ".join(cleandoc(event.__doc__ or "").split())
    return f"| `{event.type}` | `{event.key_field}` | {', '.join(_fields(event))} | {told} |"


def _fields(event: type[Event]) -> Iterable[str]:
    for name, field in event.model_fields.items():
        may_be_null = type(None) in getattr(field.annotation, "__args__", ())
        yield f"{name}?" if may_be_null else name
