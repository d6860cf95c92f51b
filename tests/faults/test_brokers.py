"""Kafka fails under load."""

from __future__ import annotations

import time

import pytest

from tests.faults.town import Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]


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
