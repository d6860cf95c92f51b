"""The sender's clock strikes while the receiver's answer lies on the channel: who answered in time is heard."""

from __future__ import annotations

from tests.chassis.broker import until
from tests.journeys.journey import Journey
from tests.journeys.town import Town

DECLARED = """
    SELECT 1 FROM publication JOIN event_log USING (pos)
    WHERE key = CAST(:key AS uuid) AND type = 'staffel.handover.acceptance_declared.v1'
"""


async def test_an_acceptance_that_lies_unread_wins_over_an_expiry_that_is_due(town: Town, asked: Journey) -> None:
    town.kill("jobcenter.handover")
    await asked.act(asked.receiver, "acceptance")

    async def sent() -> bool:
        return bool(await town.rows("jugendamt.handover", DECLARED, key=asked.handover))

    await until(sent)
    await town.strike("jobcenter.handover", "respond", asked.handover)
    await town.restart("jobcenter.handover")

    await asked.both_are("accepted")
    assert await asked.leading() == ["jobcenter"]
