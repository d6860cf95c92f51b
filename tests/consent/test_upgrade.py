"""A filled database of the version before: upgraded, read by the service of today, and minded by it.

And the other way round: what a process of the version before can read while it runs beside those of today.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis import deadlines
from chassis.database import transaction
from chassis.transitions import Arm, Disarm
from contracts.codes import AgeBand, Completeness, ConsentForm, DataCategory, DutyAnswer, Giver, Side
from contracts.consent import ConsentWithdrawalNotified
from contracts.ids import DutyId, HandoverRef
from contracts.new_ids import new_id
from deploy.embedded.cluster import Addresses
from deploy.migrations import migrate
from services.consent.domain import LOOK_AGAIN
from services.consent.domain import commands as c
from services.consent.domain.decision import decide_all, question
from services.consent.domain.words import Duty, DutyState, ItemDecision, Person
from services.consent.door import sweeper
from services.consent.store import leases
from services.consent.store.persons import load_persons, save_persons
from services.consent.store.rows import (
    bases_kept,
    consent_row,
    duty_of,
    duty_row,
    grant_row,
    reception_row,
    stated_rows,
    transmission_row,
)
from tests.consent.builders import (
    AGENTUR,
    JOBCENTER,
    JUGENDAMT,
    LAW,
    MUSTER,
    NOW,
    PURPOSE,
    Story,
    a_duty_id,
    a_grant,
    an_item,
    context,
    done,
    told,
)
from tests.consent.conftest import Consenting
from tests.consent.test_passing_on import Chain, received_and_passed_on

BEFORE = "0011a"
KNOWN_BEFORE = {"awaits", "owes", "erasing", "answered", "lapsed"}
"""The states of a duty that a process of the version before can read."""


# --- a database of the version before ---------------------------------------------------------------------------------


def of_a_sender() -> Person:
    """Consents in several states, something that may go, something that left, and an answer that is awaited."""
    story = Story(AgeBand.FROM_15_TO_17)
    story.do(c.WithdrawConsent(story.gives(), a_duty_id()))
    story.gives(giver=Giver.GUARDIAN, insight=False, form=ConsentForm.ORAL_DOCUMENTED)
    story.gives(a_grant(categories=frozenset({DataCategory.HEALTH})), a_grant(entrusted_included=True))
    handover = story.proposes(an_item(), an_item(DataCategory.HEALTH), an_item(DataCategory.OFFENCES))
    return replace(story.person, duties=(a_duty(Side.SENDER, DutyState.AWAITS, handover),))


def of_a_receiver(state: DutyState) -> Chain:
    """What came from the employment agency was passed on; then its basis ended there, and nobody was told in turn."""
    chain = Chain()
    chain.passes_on(*chain.items)
    demanded = replace(
        a_duty(Side.RECEIVER, state, chain.came), counterpart=AGENTUR, releases=(chain.release,)
    )
    chain.person = replace(chain.person, duties=(demanded,))
    return chain


def a_duty(side: Side, state: DutyState, handover: HandoverRef) -> Duty:
    """It is open for ten days more."""
    answer_by = datetime.now(UTC) + timedelta(days=10)
    return Duty(
        a_duty_id(), version=1, state=state, side=side, handover=handover, counterpart=JUGENDAMT, alliance=MUSTER,
        releases=(new_id(),), answer_by=answer_by,  # type: ignore[arg-type]  # an id as any other
    )


class Older:
    """The database, in the shape it had."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.engine: AsyncEngine = create_async_engine(dsn)

    async def make(self) -> None:
        """Bring it to what it was."""
        async with self.engine.begin() as tx:
            await tx.run_sync(_upgrade)

    async def keep(self, *persons: Person) -> None:
        """As a process of the version before has written them."""
        tables = sa.MetaData()
        async with self.engine.begin() as tx:
            await tx.run_sync(tables.reflect)
            for of in persons:
                for name, row in _rows(of):
                    table = tables.tables[name]
                    known = {column: value for column, value in row.items() if column in table.c}
                    await tx.execute(sa.insert(table).values(known))


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "services.consent:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, BEFORE)


def _rows(of: Person) -> list[tuple[str, Mapping[str, Any]]]:
    found: list[tuple[str, Mapping[str, Any]]] = [
        ("person", {"id": of.id, "version": 1, "state": of.state, "age_band": of.age_band}),
        *(("consent", consent_row(of.id, each)) for each in of.consents),
        *(("consent_grant", grant_row(of.id, each, grant)) for each in of.consents for grant in each.grants),
        *(("transmission", _without_source(transmission_row(of.id, each))) for each in of.transmissions),
        *(("statutory_basis", row) for each in of.transmissions for row in stated_rows(of.id, None, each)),
        *(("reception", reception_row(of.id, each)) for each in of.receptions),
        *(("duty", duty_row(of.id, each)) for each in of.duties),
    ]
    for line in of.ledger:
        (transmission,) = (each for each in of.transmissions if each.handover == line.handover)
        found.append(("ledger", {
            "release": line.release, "item": line.item, "person": of.id, "category": "master_data", "hash": "0" * 64,
            "bases": bases_kept(line.bases), "received_by": line.received_by,
        }))
        release = {
            "id": line.release, "person": of.id, "handover": line.handover, "transmission": transmission.id,
            "alliance": MUSTER, "alliance_version": 1, "recipient": JUGENDAMT, "purpose": PURPOSE, "items": 2,
            "completeness": Completeness.COMPLETE, "opened_at": NOW, "closed_at": NOW, "told": True, "version": 1,
        }
        if ("release", release) not in found:
            found.append(("release", release))
    return found


def _without_source(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The version before did not keep which item it had been where it came from."""
    items = [{name: value for name, value in item.items() if name != "source_item"} for item in row["items"]]
    return {**row, "items": items}


@pytest.fixture
async def older(embedded: Addresses) -> AsyncIterator[Older]:
    administrator = create_async_engine(embedded.postgres.administrator(), isolation_level="AUTOCOMMIT")
    name = f"older_{new_id().hex}"
    async with administrator.connect() as tx:
        await tx.execute(sa.text(f'CREATE DATABASE "{name}"'))
    url = make_url(embedded.postgres.administrator()).set(database=name)
    made = Older(url.render_as_string(hide_password=False))
    await made.make()
    yield made
    await made.engine.dispose()
    async with administrator.connect() as tx:
        await tx.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await administrator.dispose()


# --- what becomes of it -----------------------------------------------------------------------------------------------


def _decisions(of: Person) -> list[tuple[ItemDecision, ...]]:
    return [
        decide_all(each.asked, each.items, question(of, each, LAW.alliances[MUSTER], JOBCENTER, NOW))
        for each in of.transmissions
    ]


def _as_kept(of: Person) -> Person:
    """Without what is not loaded, and without what was not kept."""
    transmissions = tuple(
        replace(each, items=tuple(replace(item, source_item=None) for item in each.items))
        for each in of.transmissions
    )
    return replace(of, version=1, notices=(), ledger=(), decisions=(), transmissions=transmissions)


async def test_whoever_was_in_it_is_read_and_decided_as_before(older: Older) -> None:
    persons = [of_a_sender(), *(of_a_receiver(state).person for state in (DutyState.OWES, DutyState.ERASING))]
    await older.keep(*persons)
    await migrate(older.dsn, "consent")
    async with transaction(older.engine) as tx:
        found = await load_persons(tx, {of.id: () for of in persons})
    for of in persons:
        assert found[of.id] == _as_kept(of)
        assert _decisions(found[of.id]) == _decisions(of)
        assert any(verdict.permitted for verdicts in _decisions(of) for verdict in verdicts) is (of is persons[0])


@pytest.mark.parametrize("state", [DutyState.OWES, DutyState.ERASING])
async def test_what_was_owed_before_is_passed_on_and_reminded_of(older: Older, state: DutyState) -> None:
    """Art. 19, 12(3) GDPR: at the sweeper's first look, for no clock was set for it."""
    chain, awaiting = of_a_receiver(state), of_a_sender()
    await older.keep(chain.person, awaiting)
    await migrate(older.dsn, "consent")
    async with transaction(older.engine) as tx:
        assert await leases.unminded(tx) == sorted([chain.person.id, awaiting.id])

    for id_, said in ((chain.person.id, ["consent.withdrawal_notified"]), (awaiting.id, [])):
        look = c.LookAgain(DutyId(new_id()))
        async with transaction(older.engine) as tx:
            before = (await load_persons(tx, {id_: [look]}))[id_]
            now = (await tx.execute(sa.text("SELECT clock_timestamp()"))).scalar_one()
            decided = done(LAW.decide(before, look, context(now)))
            await save_persons(tx, [(before, decided.subject)])
            armed: dict[tuple[str, UUID], Arm | Disarm] = {(each.kind, id_): each for each in decided.deadlines}
            await deadlines.change(tx, armed, (), [new_id()])
        notified = [tell for tell in decided.tells if isinstance(tell.fact, ConsentWithdrawalNotified)]
        assert [name for name in told(decided) if name == "consent.withdrawal_notified"] == said
        assert all(tell.to == JUGENDAMT for tell in notified)
        assert [key for key, each in armed.items() if isinstance(each, Arm)] == [(LOOK_AGAIN, id_)]
    async with transaction(older.engine) as tx:
        assert await leases.unminded(tx) == []


# --- beside processes of the version before ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", DutyState)
def test_a_process_of_the_version_before_can_read_every_duty(state: DutyState) -> None:
    answer = DutyAnswer.ERASED if state in {DutyState.WAITS, DutyState.ANSWERED} else None
    duty = replace(a_duty(Side.RECEIVER, state, HandoverRef(new_id())), answer=answer)
    row = dict(duty_row(new_id(), duty))
    assert row["state"] in KNOWN_BEFORE
    assert duty_of(type("Row", (), row)) == duty


async def test_a_clock_that_a_process_of_the_version_before_has_unset_is_set_again(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It minds no answers: what it decides about a person sets the clock without them."""
    came, release, _ = await received_and_passed_on(consenting)
    await consenting.hear("musterland.agentur.to.jobcenter.consent", ConsentWithdrawalNotified(
        handover=came, duty=a_duty_id(), releases=(release,), answer_by=datetime(2026, 12, 20, tzinfo=UTC)
    ))
    clock = "SELECT due_at FROM deadline WHERE kind = 'look_again' ORDER BY due_at"
    set_before = await consenting.rows(clock)
    await consenting.rows("DELETE FROM deadline")
    monkeypatch.setattr(sweeper, "SWEEP_SECONDS", 0.05)
    sweeping = asyncio.create_task(sweeper.sweep(consenting.resources))
    for _ in range(200):
        await asyncio.sleep(0.05)
        if found := await consenting.rows(clock):
            break
    sweeping.cancel()
    assert found == set_before
    said = [name for _, name in await consenting.told()]
    assert said.count("consent.withdrawal_notified") == 1, "who was told is not told again"
