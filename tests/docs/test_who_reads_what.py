"""The page for data-protection officers says exactly what broker and services enforce."""

import re
from collections.abc import Iterator

import pytest

from chassis.http.routes import Route
from contracts.codes import Service
from contracts.topics import Operation, Resource, acls
from deploy.installation import read_alliance
from docs.generate import ROOT
from docs.openapi import operators, routes
from docs.who_reads_what import EXAMPLE, PEOPLE, main, page

PAGE = page()


def rows(chapter: str) -> Iterator[list[str]]:
    """The cells of the tables under that heading, heads included."""
    text = PAGE.split(f"\n{chapter}\n", 1)[1]
    text = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def named(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_chapter_3_is_the_access_list_of_the_cluster_no_more_and_no_less() -> None:
    said = set()
    for principal, writes, reads, groups in list(rows("## 3 Services: what each may do on the cluster"))[1:]:
        said |= {(principal, Operation.WRITE, Resource.TOPIC, name) for name in named(writes)}
        said |= {(principal, Operation.READ, Resource.TOPIC, name) for name in named(reads) | named(writes)}
        said |= {(principal, Operation.READ, Resource.GROUP, name.rstrip("*")) for name in named(groups)}
    rules = acls(read_alliance(EXAMPLE))
    assert said == {(str(rule.principal), rule.operation, rule.resource, rule.name) for rule in rules}


def test_chapter_2_says_the_same_topic_by_topic() -> None:
    said = set()
    for agency in read_alliance(EXAMPLE).agencies:
        for topic, writer, readers in list(rows(f"### written by {agency.id}"))[1:]:
            (name,) = named(topic)
            said |= {(reader, name) for reader in [writer, *filter(None, readers.split(", "))]}
    rules = [rule for rule in acls(read_alliance(EXAMPLE)) if rule.operation is Operation.READ]
    assert said == {(str(rule.principal), rule.name) for rule in rules if rule.resource is Resource.TOPIC}


def asked(heads: list[str], cells: list[str]) -> set[str]:
    """Which people's columns have a mark."""
    return {head.replace(" ", "_") for head, cell in zip(heads, cells, strict=True) if cell in {"R", "C"}}


@pytest.mark.parametrize("service", [*Service, "in every service"])
def test_every_address_says_who_may_ask_as_the_route_itself_does(service: str) -> None:
    heads, *lines = rows(f"### {service}")
    listed: list[Route] = operators() if service == "in every service" else routes(Service(service))
    assert [cells[0] for cells in lines] == [f"`{route.method} {route.path}`" for route in listed]
    for route, cells in zip(listed, lines, strict=True):
        everybody = {head.replace(" ", "_") for head in heads[2:-2]}
        assert asked(heads, cells) == (everybody if route.allow.everyone else route.allow.roles), route.path
        assert set(route.allow.roles) <= set(PEOPLE)
        assert all(name in cells[-2] for name in route.allow.service_names)
        assert bool(cells[-2]) == bool(route.allow.service_names or route.allow.everyone)
        assert bool(cells[-1]) == (route.allow.party_roles is not None or route.allow.everyone)


def test_the_door_is_the_only_address_where_another_agency_may_ask_for_more_than_offers() -> None:
    found = [
        (service, route.path) for service in Service for route in routes(service) if route.allow.party_roles is not None
    ]
    assert found == [(Service.CONSENT, "/releases")]


def test_an_alliance_of_ones_own_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main([str(EXAMPLE)]) == 0
    said = capsys.readouterr().out
    assert "## 2 Topics" in said
    assert said.strip() in (ROOT / "docs/reference/who-reads-what.md").read_text("utf-8")
