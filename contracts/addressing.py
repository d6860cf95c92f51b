"""The postmark of a fact: from what a service is and whom it tells, its topic, CloudEvents subject and extensions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from contracts.alliance import Alliance
from contracts.codes import Service
from contracts.events import Event, TopicKind
from contracts.ids import AgencyId, AllianceId
from contracts.topics import address_of, heard_by, parse


class Postmark(NamedTuple):
    """Topic name, CloudEvents subject (`handovers/<id>`), URI of the schema, extension attributes."""

    topic: str
    subject: str
    dataschema: str
    extensions: Mapping[str, str]


def postmarks(agency: AgencyId, alliances: Iterable[Alliance]) -> Callable[[Any, str | None, str | None], Postmark]:
    """A function (fact, to, alliance) -> postmark for the services of one agency.

    Facts about a handover carry its reference as `correlationid`, others their own subject: case and person ids never
    cross a channel. Facts told within an alliance say which version of its agreement they rest on.
    """
    versions = {str(alliance.id): str(alliance.version) for alliance in alliances}

    def postmark(fact: Event, to: str | None, alliance: str | None) -> Postmark:
        address = address_of(
            type(fact),
            agency,
            alliance=None if alliance is None else AllianceId(alliance),
            to=None if to is None else AgencyId(to),
        )
        extensions = {"correlationid": str(getattr(fact, "handover", None) or fact.key)}
        if alliance is not None:
            extensions |= {"alliance": alliance, "allianceversion": versions[alliance]}
        return Postmark(str(address), fact.subject, f"urn:staffel:schema:{fact.type}", extensions)

    return postmark


class Heard(NamedTuple):
    """What a service knows of a topic it reads: its one writer, how it is read, its alliance, how many skip a fact."""

    writer: str
    origin: Literal["own", "channel", "common"]
    alliance: str
    persons_to_skip: int


_PERSONS_TO_SKIP = {Service.CONSENT: 2}  # who lets go of a withdrawal by mistake lets personal data out

_ORIGINS: Mapping[TopicKind, Literal["own", "channel", "common"]] = {
    TopicKind.OWN: "own",
    TopicKind.CHANNEL: "channel",
    TopicKind.CATALOGUE: "common",
}


def heard_topics(agency: AgencyId, service: Service, alliances: Iterable[Alliance]) -> Mapping[str, Heard]:
    """Every topic this service subscribes to, by name."""
    found = {}
    for name in heard_by(agency, service, *alliances):
        address = parse(name)
        persons = _PERSONS_TO_SKIP.get(address.writer.service, 1)
        found[name] = Heard(str(address.writer), _ORIGINS[address.kind], address.alliance or "", persons)
    return found
