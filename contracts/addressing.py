"""The postmark of a fact: from what a service is and whom it tells, its topic, CloudEvents subject and extensions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from contracts.alliance import Alliance
from contracts.codes import Service
from contracts.events import Event, TopicKind
from contracts.ids import AgencyId, AllianceId
from contracts.topics import Principal, address_of, heard_by, parse, topics


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


def told_topics(agency: AgencyId, service: Service, alliances: Iterable[Alliance]) -> Mapping[str, tuple[str, ...]]:
    """Every topic this service writes, with the principals that may read it: whose feeds it has, and for whom."""
    me = Principal(agency, service)
    return {
        topic.name: tuple(map(str, topic.readers)) for topic in topics(*alliances) if topic.writer == me
    }


def feed_urls(alliances: Iterable[Alliance]) -> Mapping[str, str]:
    """Principal of another agency's service -> base URL under which its feeds are read, as far as the files say."""
    return {
        str(Principal(agency.id, service)): url
        for alliance in alliances
        for agency in alliance.agencies
        for service, url in agency.feed_urls.items()
    }


def signing_jwks(alliances: Iterable[Alliance]) -> Callable[[str, str, datetime], Mapping[str, str] | None]:
    """A function (agency, kid, now) -> the public JWK with which that agency signs, if it is valid now."""
    known = tuple(alliances)

    def found(agency: str, kid: str, now: datetime) -> Mapping[str, str] | None:
        keys = (alliance.signing_key(AgencyId(agency), kid, now) for alliance in known)
        key = next((each for each in keys if each is not None), None)
        return None if key is None else {**key.jwk, "kid": key.kid}

    return found
