"""The reference: pages and blocks of service READMEs made from what the services say about themselves."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from chassis.http.problems import OF_THE_MECHANISM, TROUBLES, Problem
from chassis.metrics import INSTRUMENTS
from chassis.service import ServiceSettings
from chassis.transitions import Table, as_matrix, as_mermaid
from contracts.codes import Service
from contracts.events import Event, TopicKind
from contracts.registry import EVENTS
from docs import services

MADE = "Made from the code by `python -m docs.generate`; do not edit."
WHERE = {TopicKind.OWN: "at home", TopicKind.CHANNEL: "on the channel", TopicKind.CATALOGUE: "in the catalogue"}


# --- blocks of a service's README -------------------------------------------------------------------------------------


def diagram(service: Service) -> str:
    """Every table of the service as a picture of what changes its state."""
    return "\n\n".join(
        f"**{_title(name)}**\n\n```mermaid\n{as_mermaid(table)}```" for name, table in services.tables(service).items()
    )


def hears(service: Service) -> str:
    """What the service hears from whom, and what it tells."""
    heard = [
        f"| `{_short(hear.event.type)}` | {hear.event.owner}, {WHERE[hear.event.topic]} | {services.said(hear.do)} |"
        for hear in services.hears(service)
    ]
    told = [
        f"| `{_short(event.type)}` | {WHERE[event.topic]} | {services.said(event)} |"
        for event in EVENTS.values()
        if event.owner is service
    ]
    return "\n".join(
        ["| hears | from | and then |", "|---|---|---|", *heard, "", "| tells | where | when |", "|---|---|---|", *told]
    )


def problems(service: Service) -> str:
    """How the service says no."""
    return _problems(service, services.problems(service))


# --- pages ------------------------------------------------------------------------------------------------------------


def problems_page() -> str:
    """Every problem document there is."""
    chapters = [f"## {service}\n\n{problems(service)}" for service in Service]
    everywhere = f"## in every service\n\n{_problems(OF_THE_MECHANISM, TROUBLES)}"
    return _page(
        "Problems",
        "Every answer that is a no is an RFC 9457 document with one of these types. Title and status of a type never "
        "vary; beside them stand ids, states and codes, never a word of what was sent.",
        *chapters,
        everywhere,
    )


def events_page() -> str:
    """Who tells each event, and who hears it."""
    lines = [
        f"| `{event.type}` | {event.owner}, {WHERE[event.topic]} | {', '.join(_hearers(event)) or '–'} |"
        for event in EVENTS.values()
    ]
    table = "\n".join(["| event | told by | heard by |", "|---|---|---|", *lines])
    return _page(
        "Events",
        "Who tells what, and who hears it. At home the services of the same agency hear it, on a channel the same "
        "service of the other agency. Bodies and meanings stand in the "
        "[event catalogue](../../contracts/generated/catalogue.md). `–`: nobody of ours hears it yet; the agency's own "
        "systems may.",
        table,
    )


def settings_page() -> str:
    """What the environment may say to each service."""
    everywhere = ServiceSettings.model_fields
    chapters = [f"## every service\n\n{_settings(everywhere)}"]
    for service in Service:
        own = {name: field for name, field in services.settings(service).items() if name not in everywhere}
        chapters.append(f"## {service}\n\n{_settings(own)}")
    return _page(
        "Settings",
        "Read from the environment. A service that misses one does not start and says which. Nothing secret has a "
        "default.",
        *chapters,
    )


def matrices_page() -> str:
    """Every state against every command, for every table."""
    chapters = [
        f"## {service}: {name}\n\n{_matrix(table)}"
        for service in Service
        for name, table in services.tables(service).items()
    ]
    return _page(
        "State machines",
        "Every state against everything that can be asked or heard. A cell says where it leads; *stays* is a row that "
        "changes no state; an empty cell is refused (and an event that is refused is parked, so that a human looks at "
        "it). Conditions stand in the tables themselves, in `services/*/domain`.",
        *chapters,
    )


def metrics_page() -> str:
    """What is measured."""
    lines = [
        f"| `{each.name}` | {each.kind} | {each.unit} | {', '.join(f'`{name}`' for name in each.attributes) or '–'} "
        f"| {each.meaning} | {each.alarm or '–'} |"
        for each in INSTRUMENTS
    ]
    return _page(
        "Metrics",
        "What every service measures and sends to the collector named in `STAFFEL_OTLP_ENDPOINT`; without one nothing "
        "is measured. Alarms look at ages: what to do when one rings stands in "
        "[how to answer an alarm](../how-to/answer-an-alarm.md). No attribute names a subject.",
        "\n".join(
            ["| metric | kind | unit | attributes | meaning | alarm from |", "|---|---|---|---|---|---|", *lines]
        ),
    )


# --- parts ------------------------------------------------------------------------------------------------------------


def _page(title: str, opening: str, *chapters: str) -> str:
    return "\n\n".join([f"# {title}", MADE, opening, *(chapter.strip() for chapter in chapters)]) + "\n"


def _problems(owner: str, rows: Mapping[Any, Problem]) -> str:
    lines = [f"| `/problems/{owner}/{reason}` | {int(row.status)} | {row.title} |" for reason, row in rows.items()]
    return "\n".join(["| type | status | title |", "|---|---|---|", *lines])


def _settings(fields: Mapping[str, FieldInfo]) -> str:
    lines = [
        f"| `STAFFEL_{name.upper()}` | {_default(field)} | {field.description or ''} |"
        for name, field in fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *lines])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    default = field.get_default(call_default_factory=True, validated_data={})
    return "–" if default is None else f"`{default}`"


def _matrix(table: Table[Any]) -> str:
    states = services.states(table)
    return as_matrix(table, states, services.german(states))


def _hearers(event: type[Event]) -> Iterable[str]:
    return (str(service) for service in Service if any(hear.event is event for hear in services.hears(service)))


def _short(type_: str) -> str:
    return type_.removeprefix("staffel.")


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
