"""Topics, who may do what on them, and their names: pure data derived from alliance files.

Every topic has exactly one writer, a service of one agency. Nobody reads a topic but those that hear it and its writer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from types import MappingProxyType
from typing import Final, NamedTuple

from contracts.alliance import Alliance
from contracts.codes import Service
from contracts.events import Event, TopicKind
from contracts.ids import AgencyId, AllianceId

DAY_MS: Final = 24 * 60 * 60 * 1000

# Whose events at home each service hears; channels are heard by the same service of the other agency, the catalogues
# of the others by offers.
HEARS_AT_HOME: Final[Mapping[Service, tuple[Service, ...]]] = MappingProxyType(
    {
        Service.INTAKE: (Service.HANDOVER, Service.CONSENT),
        Service.CONSENT: (Service.HANDOVER, Service.INTAKE),
        Service.HANDOVER: (Service.INTAKE, Service.CONSENT, Service.OFFERS),
        Service.OFFERS: (Service.HANDOVER,),
    }
)
CHANNEL_SERVICES: Final = (Service.HANDOVER, Service.CONSENT, Service.OFFERS)

_BOUNDED: Final = {
    "max.message.bytes": str(64 * 1024),  # bodies are ids and codes; what is larger is a mistake
    "compression.type": "lz4",  # as ours comes; what comes otherwise is compressed anew, and judged by its size again
    "segment.ms": str(DAY_MS),  # retention and compaction act on closed segments only
}
CONFIGS: Final[Mapping[TopicKind, Mapping[str, str]]] = MappingProxyType(
    {
        TopicKind.OWN: {**_BOUNDED, "cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)},
        TopicKind.CHANNEL: {**_BOUNDED, "cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)},
        TopicKind.CATALOGUE: {**_BOUNDED, "cleanup.policy": "compact"},
    }
)


class Principal(NamedTuple):
    """A service of one agency; its certificate's subject is `O=<cluster>,CN=<agency>.<service>`."""

    agency: AgencyId
    service: Service

    def __str__(self) -> str:
        return f"{self.agency}.{self.service}"


class Address(NamedTuple):
    """What the name of a topic says: of which kind it is, who writes it, and for whom."""

    kind: TopicKind
    writer: Principal
    alliance: AllianceId | None  # None for an own topic: it belongs to the agency, whatever its alliances
    to: AgencyId | None  # set on a channel only

    def __str__(self) -> str:
        match self.kind:
            case TopicKind.OWN:
                return f"{self.writer}.events"
            case TopicKind.CHANNEL:
                return f"{self.alliance}.{self.writer.agency}.to.{self.to}.{self.writer.service}"
            case TopicKind.CATALOGUE:
                return f"{self.alliance}.{self.writer.agency}.catalogue"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be; the replication factor is the cluster's own default."""

    name: str
    address: Address
    readers: tuple[Principal, ...]
    partitions: int
    configs: Mapping[str, str]

    @property
    def writer(self) -> Principal:
        """The only one that may write it."""
        return self.address.writer


class Resource(StrEnum):
    """What an access rule is about."""

    TOPIC = "topic"
    GROUP = "group"


class Operation(StrEnum):
    """What is allowed; each includes DESCRIBE at the broker, and WRITE includes idempotent writing."""

    READ = "read"
    WRITE = "write"


class Acl(NamedTuple):
    """One rule: the principal may do that with the resource (groups: with every group whose name begins so)."""

    principal: Principal
    operation: Operation
    resource: Resource
    name: str
    prefixed: bool


def own(agency: AgencyId, service: Service) -> Address:
    """`<agency>.<service>.events`."""
    return Address(TopicKind.OWN, Principal(agency, service), None, None)


def channel(alliance: AllianceId, sender: AgencyId, to: AgencyId, service: Service) -> Address:
    """`<alliance>.<from>.to.<to>.<service>`."""
    return Address(TopicKind.CHANNEL, Principal(sender, service), alliance, to)


def catalogue(alliance: AllianceId, agency: AgencyId) -> Address:
    """`<alliance>.<agency>.catalogue`."""
    return Address(TopicKind.CATALOGUE, Principal(agency, Service.OFFERS), alliance, None)


def address_of(
    event: type[Event], agency: AgencyId, alliance: AllianceId | None = None, to: AgencyId | None = None
) -> Address:
    """Where that agency tells such an event; ValueError where alliance or counterpart is missing."""
    match event.topic, alliance, to:
        case TopicKind.OWN, _, _:
            return own(agency, event.owner)
        case TopicKind.CATALOGUE, str(), _:
            return catalogue(AllianceId(alliance), agency)
        case TopicKind.CHANNEL, str(), str():
            return channel(AllianceId(alliance), agency, AgencyId(to), event.owner)
    raise ValueError(f"{event.type} needs an alliance, and on a channel the agency it is told to")


def parse(name: str) -> Address:
    """The address a topic's name says; ValueError for a name that is none of ours."""
    match name.split("."):
        case [agency, service, "events"]:
            return own(AgencyId(agency), Service(service))
        case [alliance, agency, "catalogue"]:
            return catalogue(AllianceId(alliance), AgencyId(agency))
        case [alliance, sender, "to", receiver, service]:
            return channel(AllianceId(alliance), AgencyId(sender), AgencyId(receiver), Service(service))
    raise ValueError("not the name of a topic of ours")


def topics(*alliances: Alliance) -> tuple[Topic, ...]:
    """All topics of these alliances, sorted by name; an agency in several of them has its own topics once.

    ValueError where two alliances on one cluster want different partitions for one topic.
    """
    found: dict[str, Topic] = {}
    for alliance in alliances:
        for topic in _topics_of(alliance):
            if found.setdefault(topic.name, topic).partitions != topic.partitions:
                raise ValueError(f"{topic.name}: alliances disagree on its partitions")
    return tuple(found[name] for name in sorted(found))


def _topics_of(alliance: Alliance) -> Iterable[Topic]:
    agencies = [agency.id for agency in alliance.agencies]
    partitions = alliance.partitions
    for agency, service in product(agencies, Service):
        listeners = (Principal(agency, other) for other in Service if service in HEARS_AT_HOME[other])
        yield _topic(own(agency, service), listeners, partitions.own)
    for (sender, receiver), service in product(alliance.pairs(), CHANNEL_SERVICES):
        address = channel(alliance.id, sender, receiver, service)
        yield _topic(address, [Principal(receiver, service)], partitions.channel)
    for agency in agencies:
        listeners = (Principal(other, Service.OFFERS) for other in agencies)
        yield _topic(catalogue(alliance.id, agency), listeners, partitions.catalogue)


def _topic(address: Address, listeners: Iterable[Principal], partitions: int) -> Topic:
    """The writer reads too: after a restore it must be able to see what it has said."""
    readers = tuple(sorted({*listeners, address.writer}))
    return Topic(str(address), address, readers, partitions, CONFIGS[address.kind])


def heard_by(agency: AgencyId, service: Service, *alliances: Alliance) -> tuple[str, ...]:
    """The names of the topics this service subscribes to, sorted: all it may read but its own."""
    me = Principal(agency, service)
    return tuple(topic.name for topic in topics(*alliances) if me in topic.readers and topic.writer != me)


def written_by(agency: AgencyId, service: Service, *alliances: Alliance) -> tuple[str, ...]:
    """The names of the topics this service alone writes, sorted."""
    me = Principal(agency, service)
    return tuple(topic.name for topic in topics(*alliances) if topic.writer == me)


def group(agency: AgencyId, service: Service) -> str:
    """The consumer group of a service."""
    return str(Principal(agency, service))


def acls(*alliances: Alliance) -> tuple[Acl, ...]:
    """All that is allowed, sorted; whatever is not here the broker must refuse."""
    rules: set[Acl] = set()
    for topic in topics(*alliances):
        rules.add(Acl(topic.writer, Operation.WRITE, Resource.TOPIC, topic.name, prefixed=False))
        for reader in topic.readers:
            rules.add(Acl(reader, Operation.READ, Resource.TOPIC, topic.name, prefixed=False))
            rules.add(Acl(reader, Operation.READ, Resource.GROUP, str(reader), prefixed=True))
    return tuple(sorted(rules))
