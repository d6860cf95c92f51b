"""Persons come back from the real database as they were saved, and decisions only ever grow."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chassis.database import transaction
from contracts.codes import AgeBand, ConsentForm, DataCategory, Giver, HandoverState, RetentionNorm, Side
from contracts.ids import ConsentId, DutyId, GrantId, HandoverRef, PersonId, ReleaseId, WaiverId
from contracts.new_ids import new_id
from services.consent.domain import commands as c
from services.consent.domain.words import Person
from services.consent.store import metadata
from services.consent.store.persons import PARTS, load_persons, save_persons
from tests.conftest import NewDatabase
from tests.consent.builders import JUGENDAMT, NOW, Story, a_duty_id, a_grant, a_sheet, an_item
from tests.consent.test_domain import moved, owed


async def loaded(tx: AsyncConnection, person: PersonId) -> Person:
    return (await load_persons(tx, {person: ()}))[person]


def full_of_everything() -> Person:
    """A person with every kind of part."""
    story = Story(AgeBand.FROM_15_TO_17)
    consent = story.gives(a_grant(), a_grant(categories=frozenset({DataCategory.HEALTH}), entrusted_included=True))
    handover = story.proposes(an_item(), an_item(DataCategory.HEALTH, entrusted=True, entruster=Giver.GUARDIAN))
    story.do(moved(handover, HandoverState.ACCEPTED))
    story.do(c.NoteStored(JUGENDAMT, handover, ReleaseId(new_id()), (an_item().id,)))
    received, release, duty = HandoverRef(new_id()), ReleaseId(new_id()), DutyId(new_id())
    story.do(moved(received, HandoverState.ACTIVE, side=Side.RECEIVER))
    story.do(c.ConfirmStorage(received, release, (an_item().id,)))
    story.do(replace(owed(received, release, items=(an_item().id,)), duty=duty, answer_by=NOW))
    story.do(c.AnswerRetained(duty, RetentionNorm.GDPR_17_3_B))
    story.do(c.ClearGrants(consent, grants(story, entrusted=True), Giver.GUARDIAN, ConsentForm.ELECTRONIC))
    story.do(c.WithdrawClearance(consent, grants(story, entrusted=True), a_duty_id()))
    story.gives(giver=Giver.GUARDIAN, insight=False)
    story.do(c.NoteInsight(insight=True))
    story.restricts(DataCategory.SCHOOL, DataCategory.HEALTH, recipient=None)
    lifted = story.restricts(DataCategory.SCHOOL)
    story.do(c.LiftRestriction(lifted, Giver.SELF, ConsentForm.WRITTEN))
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    return replace(story.person, version=7)


def grants(story: Story, *, entrusted: bool) -> frozenset[GrantId]:
    return frozenset(each.id for each in story.person.consents[0].grants if each.entrusted_included is entrusted)


async def test_a_person_comes_back_whole(new_database: NewDatabase) -> None:
    engine = create_async_engine(await new_database("consent"))
    saved = full_of_everything()
    async with transaction(engine) as tx:
        await save_persons(tx, [(Person(saved.id), saved)])
    async with transaction(engine) as tx:
        found = await loaded(tx, saved.id)
        kept = (await tx.execute(sa.text("SELECT count(*) FROM decision"))).scalar_one()
    assert found == replace(saved, notices=(), decisions=())
    assert kept == len(saved.decisions) > 1
    await engine.dispose()


async def test_a_release_from_confidentiality_comes_back_where_it_is_asked_about_and_nowhere_else(
    new_database: NewDatabase,
) -> None:
    engine = create_async_engine(await new_database("consent"))
    story, waiver = Story(), WaiverId(new_id())
    before = story.person
    story.do(c.GiveWaiver(waiver, "Dr. Quark-Erfunden", "Jugendamt", Giver.SELF, True, True, ConsentForm.WRITTEN))
    async with transaction(engine) as tx:
        await save_persons(tx, [(before, story.person)])
        withdrawing = c.WithdrawWaiver(waiver)
        asked = (await load_persons(tx, {story.person.id: [withdrawing]}))[story.person.id]
        assert asked.waivers == story.person.waivers
        assert (await loaded(tx, story.person.id)).waivers == ()
        story.person = asked
        story.do(withdrawing)
        await save_persons(tx, [(asked, story.person)])
        asked = (await load_persons(tx, {story.person.id: [withdrawing]}))[story.person.id]
        assert asked.waivers == story.person.waivers
    await engine.dispose()


async def test_only_what_is_different_is_written_and_decisions_are_added(new_database: NewDatabase) -> None:
    """R17, Art. 5(2) GDPR: what was decided stays as it was decided."""
    engine = create_async_engine(await new_database("consent"))
    story = Story()
    consent = story.gives()
    story.proposes(an_item())
    before = replace(story.person, version=1)
    async with transaction(engine) as tx:
        await save_persons(tx, [(Person(before.id), before)])
    story.person = replace(before, decisions=())
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    async with transaction(engine) as tx:
        await save_persons(tx, [(before, story.person)])
        found = await loaded(tx, before.id)
        kept = (await tx.execute(sa.text("SELECT verdict FROM decision_item ORDER BY decision"))).scalars().all()
    assert (str(found.consents[0].state), str(found.transmissions[0].state)) == ("withdrawn", "ended")
    assert kept == ["permit", "deny"]
    await engine.dispose()


async def test_a_grant_that_was_crossed_out_before_signing_is_not_on_record(new_database: NewDatabase) -> None:
    engine = create_async_engine(await new_database("consent"))
    story, consent = Story(), ConsentId(new_id())
    story.do(c.RequestConsent(consent, a_sheet(story.notice.id, a_grant(), a_grant())))
    before = replace(story.person, version=1)
    async with transaction(engine) as tx:
        await save_persons(tx, [(Person(before.id), before)])
    signed = a_grant()
    story.do(c.GiveConsent(consent, a_sheet(story.notice.id, signed)))
    async with transaction(engine) as tx:
        await save_persons(tx, [(before, story.person)])
        found = await loaded(tx, before.id)
    assert [grant.id for grant in found.consents[0].grants] == [signed.id]
    await engine.dispose()


async def test_columns_that_a_newer_version_adds_confuse_no_process_of_this_one(new_database: NewDatabase) -> None:
    dsn = await new_database("consent")
    older, newer = create_async_engine(dsn), create_async_engine(dsn)
    saved = full_of_everything()
    async with transaction(older) as tx:
        await save_persons(tx, [(Person(saved.id), saved)])
        before = await loaded(tx, saved.id)
    async with transaction(newer) as tx:
        for table in PARTS:
            await tx.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN new text"))
    async with transaction(older) as tx:
        assert await loaded(tx, saved.id) == before
    await older.dispose()
    await newer.dispose()


async def test_who_is_not_known_yet_is_blank(new_database: NewDatabase) -> None:
    engine = create_async_engine(await new_database("consent"))
    nobody = PersonId(new_id())
    async with transaction(engine) as tx:
        assert await loaded(tx, nobody) == Person(nobody)
    await engine.dispose()


def columns(found: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    return sorted((each["name"], str(each["type"]), bool(each["nullable"])) for each in found)


async def test_the_migration_makes_the_tables_of_the_store(new_database: NewDatabase) -> None:
    migrated = create_async_engine(await new_database("consent"))
    described = create_async_engine(await new_database(None))
    async with transaction(described) as tx:
        await tx.run_sync(metadata.create_all)

    def read(connection: sa.Connection) -> dict[str, Any]:
        found = sa.inspect(connection)
        return {
            table: (
                columns([dict(column) for column in found.get_columns(table)]),
                found.get_pk_constraint(table)["constrained_columns"],
                sorted((str(i["name"]), tuple(i["column_names"]), i["unique"]) for i in found.get_indexes(table)),
            )
            for table in metadata.tables
        }

    async with migrated.connect() as one, described.connect() as other:
        assert await one.run_sync(read) == await other.run_sync(read)
    await migrated.dispose()
    await described.dispose()
