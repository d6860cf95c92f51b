"""Who may read, write and ask what: the broker refuses what no list allows, the door whoever cannot prove who it is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import (  # type: ignore[import-untyped]  # ships no types
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from chassis.auth import new_key, read_key, sign_party
from contracts.new_ids import new_id
from contracts.topics import Topic, topics
from deploy.embedded import admin
from deploy.embedded.keys import SIGNING
from deploy.installation import read_alliance
from deploy.reading import tls_of
from tests.journeys.journey import Journey
from tests.journeys.town import Town

UNLISTED = "unlisted.handover"  # has a certificate of the same authority, and stands in no alliance file
ANSWER_SECONDS_MAX = 8.0


@pytest.fixture(scope="package")
def agreed(town: Town) -> tuple[Topic, ...]:
    """The topics of the alliance."""
    return topics(*(read_alliance(file) for file in town.installation.alliances))


@pytest.fixture(scope="package")
def unlisted(town: Town) -> str:
    town.addresses.kafka.pki.provide([UNLISTED], datetime.now(UTC))
    return UNLISTED


async def test_every_service_sees_exactly_the_topics_it_hears_or_writes(town: Town, agreed: tuple[Topic, ...]) -> None:
    for principal in town.system.servers:
        mine = {topic.name for topic in agreed if principal in {str(topic.writer), *map(str, topic.readers)}}
        assert await _visible(town, principal) == mine


async def test_one_agency_sees_none_of_the_other_agencys_own_topics(town: Town, agreed: tuple[Topic, ...]) -> None:
    """R1, § 35 SGB I; Art. 4(7) GDPR: each agency is its own controller, and reads nothing of another one."""
    foreign = {topic.name for topic in agreed if topic.name.endswith(".events") and "jobcenter" in topic.name}
    assert len(foreign) == 4
    for principal in town.system.servers:
        if principal.startswith("jugendamt."):
            assert not foreign & await _visible(town, principal)


async def test_a_service_reads_no_channel_of_others(town: Town) -> None:
    for topic in ("musterland.agentur.to.jobcenter.handover", "jobcenter.handover.events", "jobcenter.intake.events"):
        with pytest.raises(TopicAuthorizationFailedError):
            await _read(town, "jugendamt.handover", topic)
    await _read(town, "jugendamt.handover", "musterland.jobcenter.to.jugendamt.handover")


async def test_a_service_writes_no_topic_but_its_own(town: Town, agreed: tuple[Topic, ...]) -> None:
    others = [topic.name for topic in agreed if str(topic.writer) != "jugendamt.handover"]
    async with _producer(town, "jugendamt.handover") as producer:
        for topic in others:
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(topic, b"{}")


async def test_a_service_cannot_take_another_ones_place_in_its_group(town: Town) -> None:
    topic = "musterland.jobcenter.to.jugendamt.handover"
    with pytest.raises(GroupAuthorizationFailedError):
        await _read(town, "jugendamt.handover", topic, group="jobcenter.handover")
    with pytest.raises(GroupAuthorizationFailedError):
        await _read(town, "jugendamt.handover", topic, group="jugendamt.intake")


async def test_a_principal_without_a_list_of_its_own_is_refused_everywhere(
    town: Town, unlisted: str, agreed: tuple[Topic, ...]
) -> None:
    assert await _visible(town, unlisted) == set()
    async with _producer(town, unlisted) as producer:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(agreed[0].name, b"{}")
    with pytest.raises((TopicAuthorizationFailedError, GroupAuthorizationFailedError)):
        await _read(town, unlisted, agreed[0].name)


async def test_no_client_makes_a_topic_of_its_own(town: Town) -> None:
    new = "musterland.jugendamt.to.jobcenter.gossip"
    client = AIOKafkaAdminClient(**_as(town, "jugendamt.handover"))
    await client.start()
    try:
        answer = await client.create_topics([NewTopic(new, 1, 1)])
    finally:
        await client.close()
    assert [error[1] for error in answer.topic_errors] == [TopicAuthorizationFailedError.errno]
    async with _producer(town, "admin") as producer:
        with pytest.raises((KafkaError, TimeoutError)):
            await asyncio.wait_for(producer.send_and_wait(new, b"{}"), 1.0)
    with admin.connected(town.installation.bootstrap, town.addresses.admin) as kafka:
        assert new not in kafka.topics()


async def test_the_door_opens_to_nobody_who_does_not_prove_who_it_is(town: Town, asked: Journey) -> None:
    own = read_key(town.installation.keys("jugendamt").file(SIGNING))
    strange = new_key(own.kid or "")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    door = "jobcenter.consent"
    refused = {
        "no token": None,
        "a caseworker": asked.sender.headers("consent")["authorization"].removeprefix("Bearer "),
        "signed by somebody else": sign_party(strange, party="jugendamt", role="intake", audience=door),
        "an unknown key": sign_party(new_key("nobody"), party="jugendamt", role="intake", audience=door),
        "an unknown party": sign_party(own, party="nobody", role="intake", audience=door),
        "one agency as another": sign_party(own, party="agentur", role="intake", audience=door),
        "for another door": sign_party(own, party="jugendamt", role="intake", audience="agentur.consent"),
        "of yesterday": sign_party(own, party="jugendamt", role="intake", audience=door, now=yesterday),
        "another service": sign_party(own, party="jugendamt", role="offers", audience=door),
    }
    statuses = {name: (await _fetch(town, token, asked.handover)).status_code for name, token in refused.items()}
    expected = dict.fromkeys(refused, 401) | {"a caseworker": 403, "another service": 403}
    assert statuses == expected


async def test_the_door_knows_no_handover_of_somebody_else(town: Town, asked: Journey) -> None:
    """R1, § 35 SGB I: what is handed to one agency is nothing that another one could ask for."""
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    key = read_key(town.installation.keys("agentur").file(SIGNING))
    token = sign_party(key, party="agentur", role="intake", audience="jobcenter.consent")
    assert (await _fetch(town, token, asked.handover)).status_code == 404


async def test_a_claim_is_used_up_when_storage_is_confirmed(town: Town, asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    await asked.sender.until(
        "consent",
        f"/handovers/{asked.handover}/transmission",
        lambda found: all(item["stored"] for item in found["items"]),
    )
    key = read_key(town.installation.keys("jugendamt").file(SIGNING))
    token = sign_party(key, party="jugendamt", role="intake", audience="jobcenter.consent")
    assert (await _fetch(town, token, asked.handover)).status_code == 410


async def test_a_dossier_is_sealed_to_its_recipient(town: Town, asked: Journey) -> None:
    """What the door answers is a JWE; its bytes name nobody (the search for names at the end reads them, too)."""
    async with town.held_up("jugendamt.handover", "jugendamt.handover.events", asked.handover):
        await asked.act(asked.receiver, "acceptance")
        await asked.both_are("accepted")
        key = read_key(town.installation.keys("jugendamt").file(SIGNING))
        token = sign_party(key, party="jugendamt", role="intake", audience="jobcenter.consent")
        answer = await _fetch(town, token, asked.handover)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jose")
    assert answer.content.count(b".") == 4  # RFC 7516, 3.1: five parts
    await asked.dossier_is("stored")


async def _fetch(town: Town, token: str | None, handover: str) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    url = f"{town.installation.url('jobcenter', 'consent')}/releases"
    return await town.client.post(url, json={"handover": handover}, headers=headers)


def _as(town: Town, principal: str) -> dict[str, object]:
    context: ssl.SSLContext = tls_of(town.installation, principal)
    return {"bootstrap_servers": town.installation.bootstrap, "security_protocol": "SSL", "ssl_context": context}


async def _visible(town: Town, principal: str) -> set[str]:
    consumer = AIOKafkaConsumer(**_as(town, principal))
    await consumer.start()
    try:
        return set(await consumer.topics())
    finally:
        await consumer.stop()


async def _read(town: Town, principal: str, topic: str, group: str = "") -> None:
    """Ask for a place in a group (one of its own, where none is named) and for a record."""
    group = group or f"{principal}.of-a-test-{new_id()}"
    consumer = AIOKafkaConsumer(topic, **_as(town, principal), group_id=group, enable_auto_commit=False)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await consumer.start()
            await consumer.getmany(timeout_ms=500)
    finally:
        await consumer.stop()


@asynccontextmanager
async def _producer(town: Town, principal: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**_as(town, principal), acks="all", request_timeout_ms=2000)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
