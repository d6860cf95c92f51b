"""Kafka fails: one broker of three under load, then all of them for a minute."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.town import Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1200)]
OUT_SECONDS = 60.0


async def test_one_broker_of_three_is_killed_and_no_caller_sees_an_error(town: Town) -> None:
    """Two are enough for a record to count (`min.insync.replicas` 2), and a command does not wait for Kafka at all."""
    async with town.under_load() as load:
        node = 1 + town.seed % 3
        await town.system.embedded.kill_kafka(node)
        without = await load.goes_on(60)
        began = time.monotonic()
        await town.system.embedded.start_kafka(node)
        back = time.monotonic() - began
        await load.goes_on(30)
    broken = await town.judged()
    town.tell("one broker of three killed", load, f"60 commands without it in {without:.1f} s, back in {back:.1f} s")
    assert load.seen.errors == []
    assert broken == []


async def test_all_brokers_are_down_for_a_minute_and_no_caller_sees_an_error(town: Town) -> None:
    """Commands go on: what they say waits in the outbox, in order, and is heard when Kafka is back. Nobody helps."""
    async with town.under_load() as load:
        await town.system.embedded.kill_kafka()
        down_at, before = time.monotonic(), town.acknowledged
        await asyncio.sleep(OUT_SECONDS)  # the length of the fault
        meanwhile = town.acknowledged - before
        await town.system.embedded.start_kafka()
        back_at = time.monotonic()
        heard = await load.goes_on(30)
    broken = await town.judged()
    town.tell(
        "all brokers down", load, f"for {back_at - down_at:.0f} s, {meanwhile} commands meanwhile",
        f"30 more {heard:.1f} s after Kafka answered",
    )
    assert meanwhile > 0, "nobody asked meanwhile: this has shown nothing"
    assert load.seen.errors == []
    assert broken == []
