"""The picture of the README: two agencies, their services, what one hears from another, and the door."""

from collections.abc import Iterable, Sequence

from contracts.codes import Service
from contracts.events import Event, TopicKind
from docs.services import hears

LABEL_MAX = 2  # more names on an arrow and nobody reads any
AGENCIES = {"a": "Agency A", "b": "Agency B"}


def picture() -> str:
    """A Mermaid flowchart; every arrow but the door's stands for events that somebody hears."""
    lines = ["```mermaid", "flowchart LR"]
    for agency, name in AGENCIES.items():
        lines += _node(agency, name)
    for service in Service:
        lines += _between(service)
    lines.append('    b_intake == "the door: one signed request,<br/>one sealed answer" ==> a_consent')
    return "\n".join([*lines, "```"])


def _node(agency: str, name: str) -> Iterable[str]:
    yield f'    subgraph {agency}["{name}"]'
    yield "        direction TB"
    for service in Service:
        yield f"        {agency}_{service}[{service}]"
    for hearer in Service:
        for owner in Service:
            if heard := _heard(hearer, owner, TopicKind.OWN):
                yield f'        {agency}_{owner} -- "{_label(heard)}" --> {agency}_{hearer}'
    yield "    end"


def _between(service: Service) -> Iterable[str]:
    for kind in (TopicKind.CHANNEL, TopicKind.CATALOGUE):
        if heard := _heard(service, service, kind):
            yield f'    a_{service} <-- "{_label(heard)}" --> b_{service}'


def _heard(hearer: Service, owner: Service, kind: TopicKind) -> list[type[Event]]:
    events = (hear.event for hear in hears(hearer))
    return [event for event in events if issubclass(event, Event) and (event.owner, event.topic) == (owner, kind)]


def _label(events: Sequence[type[Event]]) -> str:
    """The names themselves where they are few, else their families."""
    names = [event.type.removeprefix("staffel.").rsplit(".", 1)[0] for event in events]
    if len(names) > LABEL_MAX:
        families = dict.fromkeys(name.split(".", 1)[0] for name in names)
        names = [f"{family}.*" for family in families]
    return "<br/>".join(names)
