"""What each service sends and hears as an AsyncAPI 3.0 document, made from event classes, tables, HEARS and topics.

Not from a running application: what a service says leaves through its outbox, and no framework sees it there.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic.json_schema import models_json_schema

from chassis.envelope import JSON, Envelope, to_headers
from contracts.addressing import postmarks
from contracts.alliance import Alliance, Partitions
from contracts.codes import Service
from contracts.events import Event, TopicKind
from contracts.ids import SLUG_PATTERN, AgencyId, AllianceId
from contracts.registry import EVENTS
from contracts.topics import CONFIGS
from deploy.installation import read_alliance
from docs import services

ROOT: Final = Path(__file__).parent.parent
EXAMPLES: Final = ROOT / "contracts" / "examples"
ALLIANCE: Final = ROOT / "deploy" / "alliances" / "musterland.yaml"
BINDING: Final = "0.5.0"  # of AsyncAPI's Kafka bindings

# Invented, and the same in every example: they are read, never sent.
SAID_BY, SAID_TO, SAID_IN = AgencyId("jobcenter"), AgencyId("jugendamt"), AllianceId("musterland")
SAID_AT: Final = datetime(2026, 3, 11, 9, 30, tzinfo=UTC)
AN_ID, A_CAUSE = UUID("019cdc36-7a40-7000-8000-000000000001"), UUID("019cdc36-7a40-7000-8000-000000000002")
A_TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

UUID_TEXT: Final = {"type": "string", "format": "uuid"}
SLUG: Final = {"type": "string", "pattern": SLUG_PATTERN}
TRACEPARENT: Final = {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"}


PARAMETERS: Final[Mapping[str, tuple[str, str]]] = {
    "agency": ("The agency whose service writes the topic.", SAID_BY),
    "alliance": ("The alliance in whose file the interface agreement stands.", SAID_IN),
    "from": ("The agency that tells.", SAID_BY),
    "to": ("The agency that is told.", SAID_TO),
}
AUDIENCE: Final[Mapping[TopicKind, str]] = {
    TopicKind.OWN: "agency",
    TopicKind.CHANNEL: "counterpart",
    TopicKind.CATALOGUE: "alliance",
}
AUDIENCES: Final[Mapping[str, str]] = {
    "agency": "services of the same agency, and systems it admits",
    "counterpart": "the same service of the one agency that the topic's name says",
    "alliance": "everybody in the alliance",
}
ADDRESS: Final[Mapping[TopicKind, str]] = {
    TopicKind.OWN: "{{agency}}.{service}.events",
    TopicKind.CHANNEL: "{{alliance}}.{{from}}.to.{{to}}.{service}",
    TopicKind.CATALOGUE: "{{alliance}}.{{agency}}.catalogue",
}


def document(service: Service) -> str:
    """The whole document of one service."""
    heard = services.hears(service)
    sent = [event for event in EVENTS.values() if event.owner is service]
    events = list(dict.fromkeys([*sent, *(hear.event for hear in heard)]))
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for kind in TopicKind:
        _add(channels, operations, service, service, kind, [event for event in sent if event.topic is kind], "send")
    for owner in Service:
        for kind in TopicKind:
            found = [hear.event for hear in heard if (hear.event.owner, hear.event.topic) == (owner, kind)]
            _add(channels, operations, service, owner, kind, list(dict.fromkeys(found)), "receive")
    whole = {
        "asyncapi": "3.0.0",
        "id": f"urn:staffel:asyncapi:{service}",
        "info": _info(service),
        "defaultContentType": JSON,
        "servers": {"kafka": _server()},
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {event.type: _message(event) for event in events},
            "schemas": _schemas(events),
            "securitySchemes": {
                "mutualTls": {"type": "X509", "description": "Subject `O=<cluster>,CN=<agency>.<service>`."}
            },
        },
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _info(service: Service) -> dict[str, Any]:
    package = metadata("staffel")
    return {
        "title": f"Staffel: {service}",
        "version": package["Version"],
        "description": (
            f"What the {service} service of an agency tells and hears. Facts are CloudEvents 1.0 in Kafka's binary "
            "mode: the attributes are headers, the value is the bare fact. Delivered at least once, in order per "
            "topic and key; `ce_id` tells repeats, `ce_subjectseq` tells gaps."
        ),
        "license": {"name": package["License-Expression"], "url": "https://eupl.eu/1.2/en/"},
        "x-owner": str(service),
        "x-audiences": dict(AUDIENCES),
    }


def _server() -> dict[str, Any]:
    return {
        "host": "{bootstrap}",
        "protocol": "kafka-secure",
        "description": "The cluster of the alliance: mutual TLS, access by list; no client creates a topic.",
        "variables": {"bootstrap": {"description": "`STAFFEL_KAFKA`: host and port, separated by commas."}},
        "security": [{"$ref": "#/components/securitySchemes/mutualTls"}],
    }


def _add(
    channels: dict[str, Any],
    operations: dict[str, Any],
    service: Service,
    owner: Service,
    kind: TopicKind,
    events: list[type[Event]],
    action: str,
) -> None:
    """One topic pattern as a channel, and what the service does there; what it only may read is not its business."""
    if not events:
        return
    name = f"{owner}.{kind}" if action == "send" else f"{owner}.{kind}.heard"
    refs = {event.type: {"$ref": f"#/components/messages/{event.type}"} for event in events}
    channels[name] = {
        "address": ADDRESS[kind].format(service=owner),
        "title": _title(owner, kind, action),
        "messages": refs,
        "parameters": _parameters(ADDRESS[kind]),
        "bindings": {"kafka": _topic(kind)},
        "x-audience": AUDIENCE[kind],
    }
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "title": f"{'Tell' if action == 'send' else 'Hear'} {_title(owner, kind, action)}",
        "messages": [{"$ref": f"#/channels/{name}/messages/{event.type}"} for event in events],
    }
    if action == "receive":
        group = {"type": "string", "const": f"<agency>.{service}"}
        operation["bindings"] = {"kafka": {"groupId": group, "bindingVersion": BINDING}}
    else:
        # Where no row is named, what a subject says of itself is told beside its table.
        operation["x-told-by"] = {event.type: rows for event in events if (rows := services.told_by(event))}
    operations[f"{'tell' if action == 'send' else 'hear'}.{owner}.{kind}"] = operation


def _title(owner: Service, kind: TopicKind, action: str) -> str:
    match kind:
        case TopicKind.OWN:
            return f"what {owner} says at home"
        case TopicKind.CHANNEL:
            return f"what {owner} says {'to' if action == 'send' else 'at'} the other agency"
        case TopicKind.CATALOGUE:
            return "the catalogue" if action == "send" else "the catalogues of the others"


def _parameters(address: str) -> dict[str, Any]:
    return {
        name: {"description": description, "examples": [example]}
        for name, (description, example) in PARAMETERS.items()
        if f"{{{{{name}}}}}" in address
    }


def _topic(kind: TopicKind) -> dict[str, Any]:
    said = dict(CONFIGS[kind])
    cleanup = said.pop("cleanup.policy").split(",")
    others = {name: int(value) if value.isdigit() else value for name, value in said.items()}
    return {
        "partitions": getattr(Partitions(), kind),
        "topicConfiguration": {"cleanup.policy": cleanup, **others},
        "bindingVersion": BINDING,
        "x-partitions": f"Unless the alliance file says otherwise (`partitions.{kind}`).",
    }


def _message(event: type[Event]) -> dict[str, Any]:
    body = json.loads((EXAMPLES / f"{event.type}.json").read_text("utf-8"))
    return {
        "name": event.type,
        "title": event.__name__,
        "summary": services.said(event),
        "contentType": JSON,
        "headers": _headers(event),
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "correlationId": {
            "description": "The handover reference; where there is none, the subject's own id.",
            "location": "$message.header#/ce_correlationid",
        },
        "bindings": {
            "kafka": {"key": {**UUID_TEXT, "description": _key(event)}, "bindingVersion": BINDING},
        },
        "examples": [{"name": "as on the wire", "headers": _example_headers(event), "payload": body}],
        "x-owner": str(event.owner),
        "x-audience": AUDIENCE[event.topic],
        "x-compatibility": "FULL_TRANSITIVE",
    }


def _key(event: type[Event]) -> str:
    return f"`{event.key_field}` of the body, as text: what concerns the same {event.subject_kind} stays in order."


def _headers(event: type[Event]) -> dict[str, Any]:
    known: dict[str, Any] = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {**UUID_TEXT, "description": "UUIDv7; the same fact sent again has the same."},
        "ce_type": {"const": event.type},
        "ce_source": {
            "type": "string",
            "pattern": f"^urn:staffel:{SLUG_PATTERN.strip('^$')}:{event.owner}$",
            "description": "Agency and service that say it; what counts is who may write the topic.",
        },
        "ce_subject": {"type": "string", "pattern": f"^{event.subject_kind}/[0-9a-f-]{{36}}$"},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it was said, UTC."},
        "ce_dataschema": {"const": f"urn:staffel:schema:{event.type}"},
        "ce_subjectseq": {
            "type": "string",
            "pattern": "^[1-9][0-9]{0,9}$",
            "description": "1, 2, 3 … per topic and key, without gaps.",
        },
        "ce_correlationid": {**UUID_TEXT, "description": "The handover reference once there is one."},
        "ce_causationid": {
            "type": "string",
            "description": "The event, deadline or errand that led to this one; a person's command leaves it out.",
        },
        "ce_traceparent": {**TRACEPARENT, "description": "Where the trace began (W3C trace context)."},
        "traceparent": TRACEPARENT,
        "ce_alliance": {**SLUG, "description": "The alliance within which it is told."},
        "ce_allianceversion": {
            "type": "string",
            "pattern": "^[1-9][0-9]*$",
            "description": "The version of the alliance file it rests on.",
        },
        "content-type": {"const": JSON},
    }
    optional = {"ce_causationid", "ce_traceparent", "traceparent"}
    if event.topic is TopicKind.OWN:
        optional |= {"ce_alliance", "ce_allianceversion"}
    return {
        "type": "object",
        "properties": {name: {"type": "string", **said} for name, said in known.items()},
        "required": [name for name in known if name not in optional],
        "description": "UTF-8. Readers pass by headers they do not know.",
    }


def _example_headers(event: type[Event]) -> dict[str, str]:
    """What the chassis really writes for the example, with invented ids."""
    fact = event.model_validate_json((EXAMPLES / f"{event.type}.json").read_bytes())
    across = event.topic is not TopicKind.OWN
    alliance = SAID_IN if across else None
    to = SAID_TO if event.topic is TopicKind.CHANNEL else None
    postmark = postmarks(SAID_BY, [_alliance()])(fact, to, alliance)
    envelope = Envelope(
        id=AN_ID,
        type=event.type,
        source=f"urn:staffel:{SAID_BY}:{event.owner}",
        subject=postmark.subject,
        time=SAID_AT,
        dataschema=postmark.dataschema,
        subjectseq=1,
        extensions={**postmark.extensions, "causationid": str(A_CAUSE)},
        traceparent=A_TRACE,
    )
    return {name: value.decode() for name, value in to_headers(envelope)}


@cache
def _alliance() -> Alliance:
    return read_alliance(ALLIANCE)


def _schemas(events: Iterable[type[Event]]) -> dict[str, Any]:
    """The bodies and the parts they share, by the names of their classes."""
    models = [(event, "validation") for event in events]
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]  # a literal in a tuple
    found: dict[str, Any] = schemas["$defs"]
    return {name: found[name] for name in sorted(found)}
