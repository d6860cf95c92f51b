"""Whatever no line of the access list says is refused: every principal, every topic, every operation, every group.

The broker itself is asked what it lets a principal do with each topic, as that principal. That it also acts so is tried
by writing and reading in `tests/journeys/test_who_may.py`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from contracts.alliance import Alliance
from contracts.topics import Resource, acls, topics
from deploy.embedded import admin
from deploy.installation import read_alliance
from tests.hostile.target import Target

NOT_AUTHORISED = 29  # TOPIC_AUTHORIZATION_FAILED: not even that there is such a topic
IMPLIED = frozenset({"DESCRIBE"})  # what the broker adds to every line
Allowed = Mapping[str, frozenset[str]]
"""topic -> operations."""


@pytest.fixture
def alliance(target: Target) -> Alliance:
    return read_alliance(target.installation.alliances[0])


def asked(target: Target, principal: str, names: list[str]) -> tuple[Allowed, list[str], dict[str, bool]]:
    """What the broker lets that principal do: with each topic, with the cluster, and in whose groups."""
    client: Any = admin._client(target.addresses.bootstrap, target.addresses.tls(principal))
    try:
        found = client.describe_topics(names)
        with_topics = {each["name"]: operations(each) for each in found if each["error_code"] != NOT_AUTHORISED}
        cluster = list(client.describe_cluster()["authorized_operations"])
        agency, _, service = principal.partition(".")
        groups = (principal, f"{agency}.strange", f"strange.{service}")
        return with_topics, cluster, {group: may_join(client, group) for group in groups}
    finally:
        client.close()


def operations(topic: Mapping[str, Any]) -> frozenset[str]:
    """The operations that the broker names for a topic it shows."""
    assert topic["error_code"] == 0
    return frozenset(topic["authorized_operations"])


def may_join(client: Any, group: str) -> bool:
    """Whether the principal may know anything of that group."""
    try:
        client.describe_groups([group])
    except Exception as error:
        if "GroupAuthorizationFailed" not in type(error).__name__:
            raise
        return False
    return True


async def test_every_triple_that_is_not_listed_is_refused_and_every_listed_one_works(
    target: Target, alliance: Alliance
) -> None:
    rules, names = acls(alliance), [topic.name for topic in topics(alliance)]
    listed: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    for rule in rules:
        if rule.resource is Resource.TOPIC:
            mine = listed[str(rule.principal)]
            mine[rule.name] = mine.get(rule.name, IMPLIED) | {rule.operation.upper()}
    assert len(listed) == len(alliance.agencies) * 4
    for principal, expected in listed.items():
        found, cluster, groups = await asyncio.to_thread(asked, target, principal, names)
        assert found == expected, principal
        assert cluster == []
        assert [group for group, may in groups.items() if may] == [principal]
