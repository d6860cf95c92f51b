"""The young person takes the consent back: at any moment, never refused, and no byte follows the answer."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.desk import Desk
from deploy.proxy import Connection, Proxy
from tests.journeys.journey import Journey
from tests.journeys.town import Town

REPORTS = 4  # 120 KB, sealed 210 KB: longer on the slow line than a lease lasts
SLOW_BYTES_PER_SECOND = 16_000
ON_ITS_WAY_BYTES = 8_000
LISTEN_SECONDS = 2.5  # longer than any lease


async def test_consent_withdrawn_before_the_acceptance_stops_both_and_nothing_is_owed(asked: Journey) -> None:
    await asked.withdraw_consent()
    await asked.both_are("stopped")
    assert (await asked.copy_of(asked.receiver))["preview"] is None
    assert await asked.leading() == ["jobcenter"]
    await asked.has_no_case_at_the_receiver()
    assert await _duties(asked.sender, asked) == []
    assert await _duties(asked.receiver, asked) == []

    await asked.again()  # the case is free again, but there is no basis any more
    found = await asked.sender_is("awaiting_basis")
    assert {item["verdict"] for item in found["items"]} == {"deny"}


async def test_consent_withdrawn_between_confirmation_and_fetch_lets_not_one_byte_through(
    town: Town, asked: Journey
) -> None:
    async with town.held_up("jugendamt.handover", "jugendamt.handover.events", asked.handover):
        await asked.act(asked.receiver, "acceptance")
        await asked.both_are("accepted")  # the receiver's intake has not heard of it yet
        await asked.withdraw_consent()
        await asked.both_are("stopped")
    await asked.is_erased_at_the_receiver()
    assert await _releases(asked) == []
    assert await _duties(asked.sender, asked) == []
    assert await asked.leading() == ["jobcenter"]
    await asked.sender_is("stopped", awaits_word=False)


async def test_consent_withdrawn_during_the_fetch_lets_no_byte_follow_the_answer(town: Town) -> None:
    journey = town.journey()
    journey.reports = REPORTS
    await journey.until_requested()
    town.proxy.bytes_per_second = SLOW_BYTES_PER_SECOND
    try:
        line, _ = await asyncio.gather(_on_its_way(town.proxy), journey.act(journey.receiver, "acceptance"))
        before = line.arrived()
        await journey.withdraw_consent()
        answered, until = line.arrived(), time.monotonic() + LISTEN_SECONDS
    finally:
        town.proxy.bytes_per_second = None
    assert before >= ON_ITS_WAY_BYTES
    await journey.both_are("stopped")
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    assert line.arrived() == answered

    await journey.is_erased_at_the_receiver()
    dossier = await journey.receiver.get("intake", f"/cases/{journey.handover}/dossier")
    assert (dossier["received_items"], dossier["received_bytes"]) == (0, 0)
    assert [release["closed_at"] is not None for release in await _releases(journey)] == [True]
    await _is_told(journey)


async def test_consent_withdrawn_after_storage_stops_both_and_the_receiver_owes_an_answer(asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    await asked.first_contact()
    await asked.sender_is("active")

    await asked.withdraw_consent()
    await asked.both_are("stopped")
    assert await asked.leading() == ["jugendamt"]
    await _is_told(asked)
    case = await asked.receiver.get("intake", f"/cases/{asked.handover}")
    assert case["person"]["given_names"] == asked.given_names  # kept until the answer: erased, or retained on a norm


async def test_consent_withdrawn_after_completion_leaves_the_end_and_is_told_all_the_same(asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    await asked.first_contact()
    await asked.complete()
    await asked.sender_is("completed")

    await asked.withdraw_consent()
    await _is_told(asked)
    await asked.both_are("completed")
    assert await asked.leading() == ["jugendamt"]


async def test_withdrawing_twice_is_the_same_as_once(town: Town, asked: Journey) -> None:
    first = await asked.withdraw_consent()
    second = await asked.withdraw_consent()
    assert (first["id"], first["state"]) == (second["id"], second["state"])
    await asked.both_are("stopped")
    said = await town.rows(
        "jobcenter.consent",
        "SELECT count(*) FROM event_log WHERE type = 'staffel.transmission.ended.v1' AND key = CAST(:key AS uuid)",
        key=asked.handover,
    )
    assert said[0][0] == 1


async def _is_told(journey: Journey) -> None:
    """The same duty on both sides: the receiver owes the answer that the sender awaits, within fourteen days."""
    await journey.receiver.until("consent", "/duties", lambda found: bool(_of(journey, found)))
    (owed,), (awaited,) = await _duties(journey.receiver, journey), await _duties(journey.sender, journey)
    assert (owed["state"], awaited["state"]) == ("owes", "awaits")
    assert (owed["id"], owed["releases"]) == (awaited["id"], awaited["releases"])
    assert owed["releases"] == [release["id"] for release in await _releases(journey)]
    days = datetime.fromisoformat(owed["answer_by"]) - datetime.now(UTC)
    assert timedelta(days=13) < days <= timedelta(days=14)


def _of(journey: Journey, found: dict[str, Any]) -> list[dict[str, Any]]:
    return [duty for duty in found["duties"] if duty["handover"] == journey.handover]


async def _duties(desk: Desk, journey: Journey) -> list[dict[str, Any]]:
    return _of(journey, await desk.get("consent", "/duties"))


async def _releases(journey: Journey) -> list[dict[str, Any]]:
    found = await journey.sender.get("consent", f"/persons/{journey.person}/releases")
    releases: list[dict[str, Any]] = found["releases"]
    return releases


async def _on_its_way(proxy: Proxy) -> Connection:
    """Wait until a good part of an answer has come, on a new connection or on one that was open already."""
    before = {id(line): line.arrived() for line in proxy.connections}
    async with asyncio.timeout(20):
        while True:
            for line in proxy.connections:
                if line.arrived() - before.get(id(line), 0) > ON_ITS_WAY_BYTES:
                    return line
            await asyncio.sleep(0.02)
