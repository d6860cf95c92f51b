"""What a service has published can be read over HTTP by whoever may read the topic, and by nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from jsonschema import Draft202012Validator

from chassis.auth import Parties, key_from, read_key, sign_party
from chassis.envelope import Envelope, Record
from chassis.feed import MEDIA_TYPE, FeedPlan, Feeds, NotHad, reading
from deploy.embedded.keys import SIGNING
from tests.every_service import scenes
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import HOME, OTHER, THIRD, Running
from tests.every_service.scenes import Story

TO_OTHER, AT_HOME = "musterland.jobcenter.to.jugendamt.handover", "jobcenter.handover.events"

# What the relay does when the broker has acknowledged everything that waits.
PUBLISH = """
    WITH gone AS (DELETE FROM outbox RETURNING pos, topic)
    INSERT INTO publication (topic, number, pos, partition, "offset")
    SELECT topic, (SELECT count(*) FROM publication AS p WHERE p.topic = gone.topic)
                  + row_number() OVER (PARTITION BY topic ORDER BY pos), pos,
           (row_number() OVER (PARTITION BY topic ORDER BY pos) % 2)::int,
           (SELECT count(*) FROM publication AS p WHERE p.topic = gone.topic)
           + row_number() OVER (PARTITION BY topic ORDER BY pos)
    FROM gone RETURNING number
"""


@pytest.fixture
async def told(services: Mapping[str, Running]) -> Running:
    """The handover service, after it has asked the Youth Office for something four times."""
    running = services["handover"]
    for _ in range(4):
        await Story(running).play(scenes.INQUIRED)
    await running.rows(PUBLISH)
    return running


def of_other(running: Running, name: str = "handover", party: str = OTHER) -> dict[str, str]:
    """The header of a service of the Youth Office."""
    key = read_key(running.other_keys.file(SIGNING))
    return {"Authorization": f"Bearer {sign_party(key, party=party, role=name, audience=running.service.principal)}"}


async def asked(running: Running, topic: str, headers: Mapping[str, str], **query: Any) -> httpx.Response:
    return await running.client.get(f"/feeds/{topic}/events", headers=headers, params=query)


async def published(running: Running, topic: str) -> list[Any]:
    """What was published on a topic, by number, as the database has it."""
    return await running.rows(
        """SELECT number, partition, "offset", event_id, key, seq, headers::text AS headers, payload
           FROM publication JOIN event_log USING (pos) WHERE publication.topic = :topic ORDER BY number""",
        topic=topic,
    )


async def test_a_feed_tells_everything_published_with_all_attributes_page_by_page(told: Running) -> None:
    wanted, found = await published(told, TO_OTHER), []
    assert len(wanted) >= 4
    link: str | None = f"/feeds/{TO_OTHER}/events?limit=3"
    while link:
        page = await told.client.get(link, headers=of_other(told))
        assert (page.status_code, page.headers["content-type"]) == (200, MEDIA_TYPE)
        assert 0 < len(page.json()) <= 3
        found += page.json()
        link = page.links.get("next", {}).get("url")
    assert [int(event["feednumber"]) for event in found] == [row.number for row in wanted]
    for event, row in zip(found, wanted, strict=True):
        said = {name[3:]: text for name, text in json.loads(row.headers) if name.startswith("ce_")}
        assert said.items() <= event.items()
        assert (int(event["feedpartition"]), int(event["feedoffset"])) == (row.partition, row.offset)
        assert event["data"] == json.loads(row.payload)
        judged = JSONFormat().read(CloudEvent, json.dumps(event))
        assert (judged.get_id(), judged.get_data()) == (str(row.event_id), event["data"])
    empty = await asked(told, TO_OTHER, of_other(told), after=wanted[-1].number)
    assert (empty.json(), empty.links) == ([], {})


async def test_a_feed_is_narrowed_to_a_subject_or_to_what_lies_behind_a_place(told: Running) -> None:
    wanted = await published(told, TO_OTHER)
    key = wanted[0].key
    of_key = await asked(told, TO_OTHER, of_other(told), key=str(key))
    assert [event["subjectseq"] for event in of_key.json()] == [str(row.seq) for row in wanted if row.key == key]
    first = wanted[2].offset
    behind = await asked(told, TO_OTHER, of_other(told), partition=1, offset=first, limit=500)
    numbers = [row.number for row in wanted if row.partition == 1 and row.offset >= first]
    assert [int(event["feednumber"]) for event in behind.json()] == numbers


async def test_what_was_not_published_is_not_in_the_feed(told: Running) -> None:
    before = len(await published(told, TO_OTHER))
    await Story(told).play(scenes.INQUIRED)
    page = await asked(told, TO_OTHER, of_other(told), limit=500)
    assert len(page.json()) == before


async def test_a_feed_is_there_for_the_topics_readers_alone(told: Running) -> None:
    mine = told.sister("handover")
    for topic, headers, status in (
        (TO_OTHER, of_other(told), 200),
        (TO_OTHER, mine, 200),
        (AT_HOME, told.sister("intake"), 200),
        (TO_OTHER, of_other(told, "intake"), 404),
        (TO_OTHER, of_other(told, "consent"), 404),
        (TO_OTHER, told.sister("consent"), 404),
        (AT_HOME, of_other(told), 404),
        (AT_HOME, told.sister("offers"), 200),
        (f"musterland.jobcenter.to.{THIRD}.handover", of_other(told), 404),
        ("musterland.jugendamt.to.jobcenter.handover", mine, 404),
        ("jobcenter.intake.events", mine, 404),
        ("nothing", mine, 404),
        (TO_OTHER, told.person("operator"), 403),
        (TO_OTHER, {}, 401),
    ):
        answer = await asked(told, topic, headers)
        assert answer.status_code == status, (topic, answer.text)


async def test_what_the_client_reads_is_what_lies_on_the_topic(told: Running) -> None:
    wanted = await published(told, AT_HOME)
    feeds = a_reader(told, {AT_HOME: told.service.principal}, told.sister("intake")["Authorization"])
    found: list[Record] = []
    after, more = 0, True
    while more:
        page = await feeds.page(AT_HOME, after=after)
        found += page.records
        after, more = page.last, page.more
    assert len(found) == len(wanted)
    for record, row in zip(found, wanted, strict=True):
        assert isinstance(record.envelope, Envelope)
        assert (record.topic, record.partition, record.offset) == (AT_HOME, row.partition, row.offset)
        assert dict(record.headers) == {name: text.encode() for name, text in json.loads(row.headers)}
        assert (record.key, record.value) == (str(row.key).encode(), bytes(row.payload))


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (404, {}, b""),
        (200, {"content-type": "application/json"}, b"[]"),
        (200, {"content-type": MEDIA_TYPE}, b"{}x"),
        (200, {"content-type": MEDIA_TYPE}, b'[{"feednumber": "1"}]'),
        (200, {"content-type": MEDIA_TYPE}, b"[" * 100_000),
        (200, {"content-type": MEDIA_TYPE}, b" " * (5 * 1024 * 1024)),
        (302, {"location": "http://elsewhere/"}, b""),
    ],
)
async def test_an_answer_that_is_no_feed_is_not_believed(status: int, headers: dict[str, str], body: bytes) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        feeds = Feeds(
            client, party="a", writers={"t": "a.x"}, plan=FeedPlan(), sisters={"x": "http://x"},
            signed_for=lambda audience: audience,
        )  # fmt: skip
        with pytest.raises(NotHad):
            await feeds.page("t")


async def test_a_feed_that_comes_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 0.2)

    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": MEDIA_TYPE}, stream=Dripping())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        feeds = Feeds(
            client, party="a", writers={"t": "a.x"}, plan=FeedPlan(), sisters={"x": "http://x"},
            signed_for=lambda audience: audience,
        )  # fmt: skip
        with pytest.raises(NotHad, match="too-slow"):
            await feeds.page("t")


async def test_intake_signs_for_a_service_that_asks_its_counterpart_and_for_nothing_else(
    services: Mapping[str, Running],
) -> None:
    intake = services["intake"]
    answer = await intake.client.post(f"/internal/parties/{OTHER}/token", headers=intake.sister("handover"))
    key = key_from(intake.keys.public(SIGNING)[0])
    for audience, good in ((f"{OTHER}.handover", True), (f"{OTHER}.consent", False)):
        reader = Parties(audience, lambda *_: key)
        if good:
            caller = reader.read(answer.json()["token"].encode(), "", _now()).caller
            assert f"{caller.name} {sorted(caller.roles)}" == f"{HOME} ['handover']"
        else:
            with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it is, it is no proof
                reader.read(answer.json()["token"].encode(), "", _now())
    for party in (HOME, "nobody"):
        refused = await intake.client.post(f"/internal/parties/{party}/token", headers=intake.sister("handover"))
        assert refused.status_code == 404


@pytest.mark.parametrize("name", SERVICES)
def test_every_openapi_document_shows_the_feed(services: Mapping[str, Running], name: str) -> None:
    document = services[name].app.openapi()
    operation = document["paths"]["/feeds/{topic}/events"]["get"]
    assert {one["name"] for one in operation["parameters"]} >= {"topic", "after", "limit", "key"}
    good = operation["responses"]["200"]
    assert "Link" in good["headers"]
    (media_type,) = good["content"]
    assert media_type == MEDIA_TYPE
    Draft202012Validator.check_schema(good["content"][media_type]["schema"])


def a_reader(running: Running, writers: Mapping[str, str], authorization: str) -> Feeds:
    """A client of that service's feeds, under that name."""
    return Feeds(
        running.client,
        party=HOME,
        writers=writers,
        plan=FeedPlan(),
        sisters={running.name: "http://service"},
        signed_for=lambda _: authorization.removeprefix("Bearer "),
    )


def _now() -> datetime:
    return datetime.now(UTC)
