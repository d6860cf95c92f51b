"""A read model made anew from the feeds is the one that events have made; a row that is not is found and put right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from chassis.envelope import Record
from chassis.feed import Feeds, NotComparable, Page, Rebuild, Rebuilt, rebuilding
from chassis.service import hearing_of
from contracts import intake, offers
from deploy.installation import Installation
from tests.conftest import NewDatabase
from tests.every_service import scenes
from tests.every_service.running import Running, running
from tests.every_service.scenes import Story


class WhatWasHeard:
    """The feeds of those who wrote what a service has heard: everything, in the order in which it was said."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    async def page(self, topic: str, *, after: int = 0) -> Page:
        """Three to a page."""
        found = [(n, one) for n, one in enumerate(self.records, 1) if n > after and one.topic == topic]
        shown = found[:3]
        return Page(tuple(one for _, one in shown), shown[-1][0] if shown else after, len(found) > 3)


async def rebuilt(there: Running, records: Sequence[Record], *, swap: bool = False) -> Rebuilt:
    (model,) = there.service.read_models
    feeds = cast(Feeds, WhatWasHeard(records))
    return await Rebuild(there.engine, there.service.principal, hearing_of(there.service), feeds, model).run(swap=swap)


async def heard(there: Running, kinds: Sequence[Any], stories: int) -> list[Record]:
    """The records of these events, in several stories, heard by the running service."""
    records = []
    for _ in range(stories):
        story = Story(there)
        records += [story.record(kind) for kind in kinds]
    await there.executor.hear(records)
    return records


CASE = (intake.CaseRegistered, intake.CaseActivated, intake.CaseChanged, intake.CaseClosed)
OFFER = (offers.OfferPublished, offers.OfferSuspended)


INVENTED = """
    INSERT INTO offer (id, version, state, owner, alliance, hands, status, modified_at, content)
    SELECT gen_random_uuid(), version, state, owner, alliance, hands, status, modified_at, content
    FROM offer WHERE owner IS NOT NULL LIMIT 1 RETURNING id
"""
WRONG_STATE = "UPDATE known_case SET state = 'active' WHERE id = (SELECT max(id::text)::uuid FROM known_case)"
ROW_GONE = "DELETE FROM offer WHERE id = (SELECT max(id::text)::uuid FROM offer)"


@pytest.mark.parametrize(("name", "kinds", "wrong"), [("handover", CASE, WRONG_STATE), ("offers", OFFER, ROW_GONE)])
async def test_a_rebuilt_model_equals_the_live_one_and_a_wrong_row_is_found_and_put_right(
    installation: Installation, new_database: NewDatabase, name: str, kinds: Sequence[Any], wrong: str
) -> None:
    async with running(installation, name, await new_database(name)) as there:
        records = await heard(there, kinds, 5)
        first = await rebuilt(there, records)
        assert first.equal
        assert first.rows == 5
        await there.rows(f"{wrong} RETURNING id")
        found = await rebuilt(there, records)
        assert (found.equal, found.swapped, len(found.differing)) == (False, False, 1)
        assert not (await rebuilt(there, records)).equal, "without being asked nothing is changed"
        mended = await rebuilt(there, records, swap=True)
        assert (mended.swapped, mended.differing) == (True, found.differing)
        assert (await rebuilt(there, records)).live_hash == first.hash
        assert await there.rows("SELECT pos FROM outbox") == []
        await heard(there, kinds, 1)


async def test_a_row_that_nothing_heard_explains_goes_and_what_is_our_own_stays(
    installation: Installation, new_database: NewDatabase
) -> None:
    async with running(installation, "offers", await new_database("offers")) as there:
        records = await heard(there, OFFER, 2)
        await Story(there).play(scenes.SUSPENDED)
        own = await there.rows("SELECT to_jsonb(offer) FROM offer WHERE owner IS NULL")
        assert len(own) == 1
        await there.rows(INVENTED)
        assert (await rebuilt(there, records, swap=True)).live_rows == 3
        assert (await rebuilt(there, records)).equal
        assert await there.rows("SELECT to_jsonb(offer) FROM offer WHERE owner IS NULL") == own


async def test_what_is_held_or_not_heard_yet_is_left_out_and_what_no_feed_has_is_said(
    installation: Installation, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "LOOKS_MAX", 3)
    async with running(installation, "handover", await new_database("handover")) as there:
        story = Story(there)
        records = [story.record(kind) for kind in CASE]
        await there.executor.hear([*records[:2], records[3]])
        assert (await rebuilt(there, records)).equal, "the third is not heard yet, and the fourth waits for it"
        await there.executor.hear([records[2]])
        with pytest.raises(NotComparable):
            await rebuilt(there, records[:2])
