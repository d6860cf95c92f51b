"""Whatever no line of the access list says is refused: every principal, every topic and group, every operation.

The broker itself is asked what it lets a principal do: with each topic, among them Kafka's own and one that no alliance
knows, with the group of each principal, with the cluster, and with transactions, which nobody here has. That it also
acts so is tried by writing and reading in `tests/journeys/test_who_may.py`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from contracts.alliance import Alliance
from contracts.topics import Resource, acls, topics
from deploy.embedded import admin
from deploy.embedded.admin import TopicSpec
from deploy.installation import SERVICES, read_alliance
from tests.hostile.target import AGENCY, Target

NOT_AUTHORISED = 29  # TOPIC_AUTHORIZATION_FAILED: not even that there is such a topic
IMPLIED = frozenset({"DESCRIBE"})  # what the broker adds to every line
LISTED_BY_NOBODY = ["__consumer_offsets", "jobcenter.strange.events"]
STRANGERS = ("jobcenter.strange", "strange.handover", "strange")
Allowed = Mapping[str, frozenset[str]]
"""topic or group -> operations."""


class Found(NamedTuple):
    """What the broker lets one principal do."""

    topics: Allowed
    groups: Mapping[str, frozenset[str] | None]
    """None: it may know of it, but nobody is in it at the moment."""
    cluster: frozenset[str]
    transactions: bool


@pytest.fixture
def alliance(target: Target) -> Alliance:
    return read_alliance(target.installation.alliances[0])


@pytest.fixture
def an_unlisted_topic(target: Target) -> Iterator[None]:
    name = LISTED_BY_NOBODY[-1]
    with admin.connected(target.addresses.bootstrap, target.addresses.admin) as kafka:
        kafka.create_topics([TopicSpec(name, 1, 1)])
        yield
        kafka.delete_topics([name])


def asked(target: Target, principal: str, topics: list[str], groups: list[str]) -> Found:
    """What the broker says about all of it, to that principal."""
    client: Any = admin._client(target.addresses.bootstrap, target.addresses.tls(principal))
    try:
        return Found(
            {
                each["name"]: operations(each)
                for each in client.describe_topics(topics)
                if each["error_code"] != NOT_AUTHORISED
            },
            {group: with_group(client, group) for group in groups if may_know(client, group)},
            frozenset(client.describe_cluster()["authorized_operations"]),
            may_transact(client, f"{principal}.transaction"),
        )
    finally:
        client.close()


def operations(topic: Mapping[str, Any]) -> frozenset[str]:
    """The operations that the broker names for a topic it shows."""
    assert topic["error_code"] == 0
    return frozenset(topic["authorized_operations"])


def may_know(client: Any, group: str) -> bool:
    """Whether the principal may know anything of that group."""
    try:
        client.describe_groups([group])
    except Exception as error:
        if "GroupAuthorizationFailed" not in type(error).__name__:
            raise
        return False
    return True


def with_group(client: Any, group: str) -> frozenset[str] | None:
    """What the principal may do with a group it may know of."""
    may = client.describe_groups([group])[group]["authorized_operations"]
    return None if may is None else frozenset(may)


def may_transact(client: Any, transactional_id: str) -> bool:
    """Whether the principal may have a transaction of that name."""
    try:
        client.describe_transactions([transactional_id])
    except Exception as error:
        if "TransactionalIdAuthorizationFailed" not in type(error).__name__:
            raise
        return False
    return True


async def test_every_triple_that_is_not_listed_is_refused_and_every_listed_one_works(
    target: Target, alliance: Alliance, an_unlisted_topic: None
) -> None:
    listed: dict[str, dict[Resource, dict[str, frozenset[str]]]] = defaultdict(lambda: defaultdict(dict))
    for rule in acls(alliance):
        mine = listed[str(rule.principal)][rule.resource]
        mine[rule.name] = mine.get(rule.name, IMPLIED) | {rule.operation.upper()}
    assert len(listed) == len(alliance.agencies) * 4
    names = [*(topic.name for topic in topics(alliance)), *LISTED_BY_NOBODY]
    groups, joined = [*listed, *STRANGERS], set[str]()
    for principal, expected in listed.items():
        found = await asyncio.to_thread(asked, target, principal, names, groups)
        assert found.topics == expected[Resource.TOPIC], principal
        assert set(found.groups) == set(expected[Resource.GROUP]), principal
        live = {group: may for group, may in found.groups.items() if may is not None}
        assert live.items() <= expected[Resource.GROUP].items(), principal
        joined |= live.keys()
        assert (found.cluster, found.transactions) == (frozenset(), False), principal
    assert joined == {f"{AGENCY}.{name}" for name in SERVICES}
