"""An agency was away longer than topics keep what was said: it reads in the feeds what it missed, and goes on."""

from __future__ import annotations

from contracts.codes import Service
from contracts.ids import AgencyId
from contracts.topics import heard_by
from deploy.installation import read_alliance
from tests.chassis.broker import until
from tests.journeys.retention import trim
from tests.journeys.test_a_gap_between_agencies import published
from tests.journeys.town import RECEIVER, Town

MISSED = "the broker no longer has what comes next"


def _heard(town: Town) -> set[str]:
    """What that agency's services hear, but for catalogues, which are compacted and keep the last word for ever."""
    files = [read_alliance(file) for file in town.installation.alliances]
    topics = {topic for name in Service for topic in heard_by(AgencyId(RECEIVER), name, *files)}
    return {topic for topic in topics if not topic.endswith(".catalogue")}


async def test_an_agency_that_was_away_longer_than_the_retention_catches_up_and_the_handover_goes_on(
    town: Town,
) -> None:
    """All its services were down; meanwhile it was asked, and its topics have forgotten that and all before it."""
    journey = town.journey()
    away = [principal for principal in town.system.servers if principal.startswith(f"{RECEIVER}.")]
    async with town.stock.resting():
        for step in (journey.register, journey.assign, journey.activate, journey.consent_to, journey.draft):
            await step()
        for principal in away:
            town.kill(principal)
        await journey.propose()
        await until(lambda: published(town, str(journey.handover)), seconds=60.0)
        town.gone += await trim(town.installation, _heard(town))
        for principal in away:
            town.system.start(*principal.split("."))
        await town.system.ready(away)

        await journey.receiver_is("requested")
        await journey.act(journey.receiver, "acceptance")
        await journey.both_are("accepted")
        await journey.dossier_is("stored")
        await journey.first_contact()
        await journey.complete()
        await journey.both_are("completed")
    assert MISSED in (town.system.data / "logs" / f"{RECEIVER}.handover.log").read_text()
    assert [line for line in await town.parked() if str(journey.handover) in line] == []
