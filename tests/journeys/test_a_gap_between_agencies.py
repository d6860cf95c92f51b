"""What an agency has not heard from a topic it reads from the other agency's feed, with its own agency's signature."""

from __future__ import annotations

import asyncio
import sys

import sqlalchemy as sa

from tests.chassis.broker import until
from tests.journeys.journey import Journey
from tests.journeys.town import Town

CHANNEL = "musterland.jobcenter.to.jugendamt.handover"
PUBLISHED = """
    SELECT number FROM publication JOIN event_log USING (pos)
    WHERE publication.topic = :topic AND key = CAST(:key AS uuid)
"""
# As if the topic had lost it: hearing stands behind everything that was published.
PASS_OVER = """
    INSERT INTO heard_up_to (consumer, topic, partition, next_offset)
    VALUES ('jugendamt.handover', :topic, :partition, :next)
    ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""
ENDS = """SELECT partition, max("offset") + 1 AS next FROM publication WHERE topic = :topic GROUP BY partition"""


async def published(town: Town, key: str) -> bool:
    return bool(await town.rows("jobcenter.handover", PUBLISHED, topic=CHANNEL, key=key))


async def change(town: Town, principal: str, statement: str, **values: object) -> None:
    async with town.database(principal) as connection:
        await connection.execute(sa.text(statement), values)


async def test_a_request_that_its_channel_has_lost_is_read_from_the_senders_feed(town: Town) -> None:
    journey: Journey = town.journey()
    async with town.stock.resting():
        for step in (journey.register, journey.assign, journey.activate, journey.consent_to, journey.draft):
            await step()
        town.kill("jugendamt.handover")
        await journey.propose()
        await journey.sender_is("requested")
        await until(lambda: published(town, str(journey.handover)))
        for row in await town.rows("jobcenter.handover", ENDS, topic=CHANNEL):
            await change(town, "jugendamt.handover", PASS_OVER, topic=CHANNEL, partition=row.partition, next=row.next)
        await town.restart("jugendamt.handover")
        await journey.act(journey.sender, "withdrawal")
        await journey.receiver_is("withdrawn")
    heard = await town.rows(
        "jugendamt.handover",
        "SELECT seq FROM inbox WHERE topic = :topic AND key = CAST(:key AS uuid) ORDER BY seq",
        topic=CHANNEL,
        key=journey.handover,
    )
    assert [row.seq for row in heard] == list(range(1, len(heard) + 1))
    assert not [line for line in await town.parked() if str(journey.handover) in line]


async def test_a_read_model_is_made_anew_and_compared_while_its_service_runs(town: Town, asked: Journey) -> None:
    command = ("rebuild", "handover", "known_case", "--agency", asked.sender.agency, "--data", str(town.system.data))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode()
    assert (process.returncode, said.splitlines()[-1]) == (0, "equal"), said
    assert "live     0 rows" not in said
