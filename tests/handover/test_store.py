"""Handovers on a real database: what is saved is what is loaded, with what conditions ask about."""

from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import engine, transaction
from contracts.codes import DataCategory, Outcome, Side
from contracts.ids import CaseId
from services.handover.domain import Around, Clock, Handover, KnownCase, State, commands
from services.handover.store import HANDOVER, KNOWN_CASES, handover_kind
from tests.conftest import NewDatabase
from tests.handover.builders import (
    AGENTUR,
    ALLIANCE,
    ITEMS,
    JOBCENTER,
    NOW,
    OUR_CASE,
    REFERENCE,
    a_command,
    a_handover,
    a_known_case,
    denies,
    nothing_yet,
    permits,
)

KIND = handover_kind(JOBCENTER, [ALLIANCE])

FULL: dict[str, Any] = {
    "verdicts": permits(ITEMS[0]) + denies(*ITEMS[1:]),
    "recorded": State.REJECTED,
    "awaits_word": True,
    "asked": (DataCategory.SCHOOL, DataCategory.CONTACT),
    "review_on": date(2026, 4, 1),
    "redirect_to": AGENTUR,
    "reason": "no_capacity",
    "outcome": Outcome.SUPPORT_STARTED,
    "due": {Clock.RESPOND: NOW + timedelta(days=14, microseconds=1)},
    "struck": frozenset({Clock.REMIND, Clock.ESCALATE}),
    "requested_at": NOW,
    "accepted_at": NOW,
    "met_at": NOW,
    "ended_at": NOW,
}


async def reloaded(tx: AsyncConnection, handover: Handover) -> Handover:
    await KIND.save(tx, [(nothing_yet(), handover)])
    return (await KIND.load(tx, {handover.id: ()}))[handover.id]


@pytest.mark.parametrize(
    "handover",
    [a_handover(State.DRAFT, preview=None), a_handover(State.STOPPED, **FULL), a_handover(State.ACTIVE, Side.RECEIVER)],
    ids=["a draft", "everything there is", "a receiver's"],
)
async def test_what_is_saved_is_what_is_loaded(new_database: NewDatabase, handover: Handover) -> None:
    database = engine(await new_database(HANDOVER))
    async with transaction(database) as tx:
        assert await reloaded(tx, handover) == handover
        later = a_handover(State.VOIDED, version=4)
        assert await reloaded(tx, later) == later
    await database.dispose()


async def test_a_handover_that_is_loaded_is_held_until_it_is_saved(new_database: NewDatabase) -> None:
    database = engine(await new_database(HANDOVER))
    async with transaction(database) as tx:
        await KIND.save(tx, [(nothing_yet(), a_handover(State.DRAFT))])
    async with transaction(database) as tx, database.connect() as other:
        await KIND.load(tx, {REFERENCE: ()})
        with pytest.raises(DBAPIError, match="could not obtain lock"):
            await other.execute(sa.text("SELECT FROM handover FOR UPDATE NOWAIT"))
    await database.dispose()


async def test_conditions_find_the_agreements_and_the_case_they_ask_about(new_database: NewDatabase) -> None:
    database = engine(await new_database(HANDOVER))
    case = a_known_case()
    async with transaction(database) as tx:
        await KNOWN_CASES.save(tx, [(KnownCase(OUR_CASE), case)])
        fresh = (await KIND.load(tx, {REFERENCE: [a_command(commands.Draft)]}))[REFERENCE]
        assert fresh.around == Around(JOBCENTER, ALLIANCE, case)
        await KIND.save(tx, [(fresh, a_handover(State.DRAFT))])
        for said, found in (([a_command(commands.Propose)], case), ([commands.Discard()], None)):
            loaded = (await KIND.load(tx, {REFERENCE: said}))[REFERENCE]
            assert loaded.around == Around(JOBCENTER, ALLIANCE, found)
        other = CaseId(REFERENCE)
        assert await KNOWN_CASES.load(tx, {OUR_CASE: (), other: ()}) == {OUR_CASE: case, other: KnownCase(other)}
    await database.dispose()
