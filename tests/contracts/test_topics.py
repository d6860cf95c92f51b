"""Topics and access rules follow from the alliance file, and from nothing else."""

from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.alliance import Alliance
from contracts.codes import Service
from contracts.events import TopicKind
from contracts.handover import HandoverChanged, HandoverRequested
from contracts.ids import AgencyId, AllianceId
from contracts.offers import OfferPublished
from contracts.topics import (
    Acl,
    Operation,
    Principal,
    Resource,
    acls,
    address_of,
    catalogue,
    channel,
    group,
    heard_by,
    own,
    parse,
    topics,
)

MUSTERLAND = AllianceId("musterland")
JOBCENTER, JUGENDAMT, BRUECKE = AgencyId("jobcenter"), AgencyId("jugendamt"), AgencyId("bruecke")


@pytest.fixture
def written() -> dict[str, Any]:
    file = Path(__file__).parents[2] / "deploy" / "alliances" / "musterland.yaml"
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


@pytest.fixture
def alliance(written: dict[str, Any]) -> Alliance:
    return Alliance.model_validate(written)


def test_a_channel_exists_in_both_directions_exactly_where_there_is_an_agreement(alliance: Alliance) -> None:
    names = {topic.name for topic in topics(alliance)}
    agreed = {frozenset((agreement.sender, agreement.receiver)) for agreement in alliance.agreements}
    agencies = [agency.id for agency in alliance.agencies]
    for (one, other), service in product(permutations(agencies, 2), ("handover", "consent", "offers")):
        assert (f"musterland.{one}.to.{other}.{service}" in names) == (frozenset((one, other)) in agreed)


def test_every_service_has_its_own_topic_and_every_agency_a_catalogue(alliance: Alliance) -> None:
    names = {topic.name for topic in topics(alliance)}
    for agency in alliance.agencies:
        assert {f"{agency.id}.{service}.events" for service in Service} <= names
        assert f"musterland.{agency.id}.catalogue" in names
    assert len(names) == 5 * 4 + 5 + 10 * 3


def test_intake_has_no_channel_to_anybody(alliance: Alliance) -> None:
    assert not [topic for topic in topics(alliance) if ".to." in topic.name and topic.writer.service is Service.INTAKE]


def test_a_channel_is_read_by_the_same_service_of_the_other_agency_and_by_its_writer(alliance: Alliance) -> None:
    for topic in topics(alliance):
        if topic.address.kind is TopicKind.CHANNEL:
            assert topic.address.to is not None
            assert set(topic.readers) == {topic.writer, Principal(topic.address.to, topic.writer.service)}


def test_nobody_outside_the_agency_reads_what_it_tells_at_home(alliance: Alliance) -> None:
    for topic in topics(alliance):
        if topic.address.kind is TopicKind.OWN:
            assert {reader.agency for reader in topic.readers} == {topic.writer.agency}


def test_the_catalogue_is_read_by_the_whole_alliance_and_kept_by_key(alliance: Alliance) -> None:
    for topic in topics(alliance):
        if topic.address.kind is TopicKind.CATALOGUE:
            assert {reader.agency for reader in topic.readers} == {agency.id for agency in alliance.agencies}
            assert topic.configs["cleanup.policy"] == "compact"


def test_all_but_the_catalogue_is_deleted_after_thirty_days(alliance: Alliance) -> None:
    for topic in topics(alliance):
        if topic.address.kind is not TopicKind.CATALOGUE:
            assert (topic.configs["cleanup.policy"], topic.configs["retention.ms"]) == ("delete", "2592000000")


def test_a_topic_has_one_writer_and_only_that_one_may_write(alliance: Alliance) -> None:
    rules = acls(alliance)
    for topic in topics(alliance):
        writers = [r.principal for r in rules if (r.name, r.operation) == (topic.name, Operation.WRITE)]
        assert writers == [topic.writer]


def test_the_writer_may_read_its_own_topic(alliance: Alliance) -> None:
    assert all(topic.writer in topic.readers for topic in topics(alliance))


def test_no_rule_allows_more_than_the_topics_and_the_own_groups(alliance: Alliance) -> None:
    for principal, operation, resource, name, prefixed in acls(alliance):
        if resource is Resource.GROUP:
            assert (operation, name, prefixed) == (Operation.READ, str(principal), True)
        else:
            topic = next(topic for topic in topics(alliance) if topic.name == name)
            allowed = topic.readers if operation is Operation.READ else (topic.writer,)
            assert principal in allowed
            assert not prefixed


def test_no_group_prefix_of_one_service_covers_that_of_another(alliance: Alliance) -> None:
    groups = {group(agency.id, service) for agency in alliance.agencies for service in Service}
    assert not [(one, other) for one, other in permutations(groups, 2) if other.startswith(one)]


def test_the_rules_of_a_service_are_those_a_reader_expects(alliance: Alliance) -> None:
    me = Principal(BRUECKE, Service.CONSENT)
    expected = {
        ("read", "bruecke.consent"),
        ("read", "bruecke.consent.events"),
        ("write", "bruecke.consent.events"),
        ("read", "bruecke.handover.events"),
        ("read", "bruecke.intake.events"),
        ("read", "musterland.bruecke.to.jugendamt.consent"),
        ("write", "musterland.bruecke.to.jugendamt.consent"),
        ("read", "musterland.jugendamt.to.bruecke.consent"),
    }
    assert {(rule.operation.value, rule.name) for rule in acls(alliance) if rule.principal == me} == expected


def test_a_service_subscribes_to_what_it_may_read_but_its_own(alliance: Alliance) -> None:
    assert heard_by(BRUECKE, Service.CONSENT, alliance) == (
        "bruecke.handover.events",
        "bruecke.intake.events",
        "musterland.jugendamt.to.bruecke.consent",
    )
    assert "musterland.jugendamt.catalogue" in heard_by(BRUECKE, Service.OFFERS, alliance)


def test_the_name_of_a_topic_says_who_writes_it_and_for_whom(alliance: Alliance) -> None:
    assert all(parse(topic.name) == topic.address for topic in topics(alliance))
    heard = parse("musterland.jobcenter.to.jugendamt.handover")
    assert (heard.kind, str(heard.writer), heard.to) == (TopicKind.CHANNEL, "jobcenter.handover", JUGENDAMT)


@pytest.mark.parametrize("name", ["", "jobcenter", "jobcenter.billing.events", "a.b.from.c.handover", "a.b.c"])
def test_a_name_that_is_none_of_ours_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"topic|Service"):
        parse(name)


def test_an_event_class_knows_where_it_is_told() -> None:
    assert address_of(HandoverChanged, JOBCENTER) == own(JOBCENTER, Service.HANDOVER)
    told = address_of(HandoverRequested, JOBCENTER, MUSTERLAND, JUGENDAMT)
    assert told == channel(MUSTERLAND, JOBCENTER, JUGENDAMT, Service.HANDOVER)
    assert address_of(OfferPublished, BRUECKE, MUSTERLAND) == catalogue(MUSTERLAND, BRUECKE)


def test_what_goes_to_others_needs_an_alliance_and_a_counterpart() -> None:
    with pytest.raises(ValueError, match="alliance"):
        address_of(OfferPublished, JOBCENTER)
    with pytest.raises(ValueError, match="channel"):
        address_of(HandoverRequested, JOBCENTER, MUSTERLAND)


def test_an_agency_in_two_alliances_has_its_own_topics_once(written: dict[str, Any], alliance: Alliance) -> None:
    other = Alliance.model_validate({**written, "id": "nachbarland"})
    both = topics(alliance, other)
    assert len({topic.name for topic in both}) == len(both) == 5 * 4 + 2 * (5 + 10 * 3)


def test_two_alliances_that_disagree_on_the_partitions_of_one_topic_are_refused(
    written: dict[str, Any], alliance: Alliance
) -> None:
    other = Alliance.model_validate({**written, "id": "nachbarland", "partitions": {"own": 7}})
    with pytest.raises(ValueError, match="disagree"):
        topics(alliance, other)


def test_rules_are_plain_data_in_a_settled_order(alliance: Alliance) -> None:
    rules = acls(alliance)
    assert list(rules) == sorted(set(rules))
    assert all(isinstance(rule, Acl) for rule in rules)
