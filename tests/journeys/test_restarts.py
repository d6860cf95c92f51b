"""Whatever is killed in the middle of a story: after a restart it finishes, nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import pairwise

import pytest

from tests.journeys.journey import Journey
from tests.journeys.records import Said, disorder
from tests.journeys.town import Town

SEED = random.SystemRandom().randrange(2**32)  # printed when a test fails; put it here to see the same again
VICTIMS = ("jobcenter.handover", "jobcenter.consent", "jugendamt.intake", "jugendamt.handover")
DELAY_SECONDS_MAX = 0.3  # a step takes about this long to go round: the kill falls somewhere in it
QUIET_SECONDS = 1.0  # longer than news travel between two services
MAY_BE_SAID_AGAIN = {"transmission.released"}  # a dossier whose release died is fetched once more

Step = Callable[[], Awaitable[object]]


@pytest.fixture(autouse=True)
async def alone(town: Town) -> AsyncIterator[None]:
    """Nothing else is begun while something is down."""
    async with town.stock.resting():
        yield


def _steps(journey: Journey) -> Sequence[Step]:
    """From the proposal to the end; each is sent again until it is answered, or waits until it is so."""
    return (
        journey.propose,
        lambda: journey.receiver_is("requested"),
        lambda: journey.act(journey.receiver, "acceptance"),
        lambda: journey.both_are("accepted"),
        lambda: journey.dossier_is("stored"),
        journey.first_contact,
        lambda: journey.sender_is("active", lead=False),
        journey.complete,
        lambda: journey.sender_is("completed"),
    )


async def _drafted(town: Town) -> Journey:
    journey = town.journey()
    await journey.register()
    await journey.assign()
    await journey.activate()
    await journey.consent_to()
    await journey.draft()
    return journey


async def test_a_service_that_is_killed_at_any_step_loses_nothing_and_says_nothing_twice(town: Town) -> None:
    chance = random.Random(SEED)  # noqa: S311  # chooses when to kill, guards nothing
    print(f"seed {SEED}")  # noqa: T201  # shown with a failure: the same seed kills at the same steps
    calm = await _drafted(town)
    for step in _steps(calm):
        await step()
    journeys = [await _drafted(town) for _ in VICTIMS]
    for victim, journey in zip(VICTIMS, journeys, strict=True):
        await _with_a_kill(town, journey, victim, chance)
    await _all_is_well(town, calm, journeys)


async def _with_a_kill(town: Town, journey: Journey, victim: str, chance: random.Random) -> None:
    steps = _steps(journey)
    at, delay = chance.randrange(len(steps)), chance.uniform(0.0, DELAY_SECONDS_MAX)
    print(f"{victim} dies {delay * 1000:.0f} ms into step {at + 1}")  # noqa: T201  # shown with a failure

    async def die() -> None:
        await asyncio.sleep(delay)
        town.kill(victim)
        await town.restart(victim)

    for number, step in enumerate(steps):
        if number == at:
            await asyncio.gather(step(), die())
        else:
            await step()


async def test_a_broker_that_is_killed_in_the_middle_of_a_story_delays_it_and_no_more(town: Town) -> None:
    await _two_stories_with_a_crash(town, town.system.embedded.crash_kafka)


async def test_a_database_that_is_killed_in_the_middle_of_a_story_delays_it_and_no_more(town: Town) -> None:
    await _two_stories_with_a_crash(town, town.system.embedded.crash_postgres)


async def _two_stories_with_a_crash(town: Town, crash: Step) -> None:
    """One is about to be requested, the other about to be accepted and fetched."""
    early, late = await _drafted(town), await _drafted(town)
    await late.propose()
    await late.receiver_is("requested")

    async def go_on(journey: Journey, steps: Sequence[Step]) -> None:
        for step in steps:
            await step()

    await asyncio.gather(crash(), go_on(early, _steps(early)), go_on(late, _steps(late)[2:]))
    await _all_is_well(town, early, [late])


async def _all_is_well(town: Town, calm: Journey, journeys: Sequence[Journey]) -> None:
    """Nothing waits for a human, every lane counts 1, 2, 3 …, and each story was told in the words of the calm one."""
    said = await _when_quiet(town)
    expected = _told_of(calm, said)
    assert expected["jobcenter.intake.events case.handed_over"] == 1
    for journey in journeys:
        assert _told_of(journey, said) == expected
        items = (await journey.receiver.get("intake", f"/cases/{journey.handover}/items"))["items"]
        assert sorted(item["source_item"] for item in items) == sorted(journey.items)
        assert await journey.leading() == ["jugendamt"]
        await _somebody_led_all_the_time(town, journey)
    assert disorder(said) == []
    assert await town.parked() == []


async def _when_quiet(town: Town) -> list[Said]:
    """All that was said, once nothing more has come for a while."""
    said, before = await town.said(), -1
    while len(said) > before:
        before = len(said)
        await asyncio.sleep(QUIET_SECONDS)
        said = await town.said()
    return said


def _told_of(journey: Journey, said: Iterable[Said]) -> Counter[str]:
    """How often which fact was told of this story, each record's fact once."""
    about = {id_.encode() for id_ in (journey.handover, journey.case, journey.person, journey.consent)}
    facts = {(each.topic, each.type, each.id) for each in said if each.key in about}
    return Counter(f"{topic} {type_}" for topic, type_, _ in facts if type_ not in MAY_BE_SAID_AGAIN)


async def _somebody_led_all_the_time(town: Town, journey: Journey) -> None:
    """By the database's one clock the receiver took the lead before the sender dropped it, and each did so once."""
    query = """
        SELECT created_at, convert_from(payload, 'UTF8')::jsonb -> 'lead' AS lead FROM event_log
        WHERE key = CAST(:key AS uuid) AND type = 'staffel.handover.changed.v1' ORDER BY pos
    """
    moved = {}
    for principal in ("jobcenter.handover", "jugendamt.handover"):
        rows = await town.rows(principal, query, key=journey.handover)
        moved[principal] = [later.created_at for before, later in pairwise(rows) if before.lead != later.lead]
    (dropped,), (taken,) = moved["jobcenter.handover"], moved["jugendamt.handover"]
    assert taken < dropped
