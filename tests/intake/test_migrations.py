"""A database that an older version has filled knows, after the update, every duty and every deadline of this one."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis.database import transaction
from chassis.transitions import Context, Decided
from contracts.codes import AgeBand
from contracts.new_ids import new_id
from deploy.embedded.cluster import Addresses
from deploy.migrations import migrate
from services.intake.domain.commands import EraseOutlived
from services.intake.domain.limits import erase_at
from services.intake.store import CASES, guardians, informing
from services.intake.store.limits import arm

OLDER = "0011"  # before anybody was owed information
ALONE, CONSENTED = ["sgb_iii_31a"], ["consent_sgb_x_67b"]
NOW = datetime.now(UTC)
LONG_AGO, A_WHILE_AGO = NOW - timedelta(days=250), NOW - timedelta(days=40)

CASE = """
    INSERT INTO "case" (id, version, state, sphere, person, local_number, handover, sender, alliance, leads, age_band,
        no_needs, target_groups, opened_at, dossier, has_own)
    VALUES (:id, 1, :state, 'SGB_III', :id, :number, :handover, :sender, 'musterland', false, :age_band,
        false, '{}', :opened_at, :dossier, false)
"""
PERSON = """
    INSERT INTO person (id, given_names, family_name, name_key, birth_date, address_protected, interpreter_needed,
        release)
    VALUES (:id, 'Zora', 'Beispiel-Zimt', 'zora beispiel-zimt', :birth_date, false, false, :release)
"""
ITEM = """
    INSERT INTO item (id, "case", category, part, entrusted, special, professional_secret, collected_from, content,
        hash, recorded_at, release, source_item, source_agency, purpose, bases, received_at)
    VALUES (:item, :id, 'master_data', 'identity', false, false, false, 'person', '{}', '00', :at, :release, :source,
        'schule', 'stabilisation', :bases, :at)
"""
RELEASE = """
    INSERT INTO received_release ("case", id, sender, items, stored_at) VALUES (:id, :release, 'schule', 1, :at)
"""
BIRTHDAY = "INSERT INTO deadline (kind, subject, id, due_at) VALUES ('age_band', :id, :deadline, :due_at)"


@pytest.fixture
async def older(embedded: Addresses) -> AsyncIterator[AsyncEngine]:
    """A database as the older version has left it, empty."""
    name = f"test_{uuid.uuid4().hex}"
    administrator = create_async_engine(embedded.postgres.administrator(), isolation_level="AUTOCOMMIT")
    async with administrator.connect() as connection:
        await connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
        engine = create_async_engine(embedded.postgres.administrator(name))
        async with engine.begin() as tx:
            await tx.run_sync(_to_the_older_version)
        yield engine
        await engine.dispose()
        await connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await administrator.dispose()


def _to_the_older_version(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "services.intake:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, OLDER)


async def say(engine: AsyncEngine, *statements: tuple[str, Mapping[str, Any]]) -> None:
    async with engine.begin() as tx:
        for statement, values in statements:
            await tx.execute(sa.text(statement), values)


def born(years: int) -> date:
    """Somebody who has been that old for some months, and still will be for some."""
    return (NOW - timedelta(days=365 * years + 120)).date()


async def came(engine: AsyncEngine, at: datetime, bases: list[str], years: int = 16) -> UUID:
    """A case that came by a handover, with all that is known of the person."""
    case = new_id()
    known: dict[str, Any] = {
        "id": case, "state": "registered", "number": str(case)[-12:], "handover": case, "sender": "schule",
        "dossier": "stored", "age_band": AgeBand.FROM_15_TO_17, "opened_at": at, "birth_date": born(years),
        "release": new_id(), "item": new_id(), "source": new_id(), "at": at, "bases": bases,
    }
    await say(engine, *((statement, known) for statement in (CASE, PERSON, ITEM, RELEASE)))
    return case


async def registered(engine: AsyncEngine, years: int, due_at: datetime | None = None) -> UUID:
    """A case of the agency's own, with its next birthday."""
    case = new_id()
    known: dict[str, Any] = {
        "id": case, "state": "registered", "number": str(case)[-12:], "handover": None, "sender": None,
        "dossier": "none", "age_band": AgeBand.FROM_15_TO_17, "opened_at": A_WHILE_AGO,
        "birth_date": born(years), "release": None, "deadline": new_id(), "due_at": due_at,
    }
    await say(engine, *((statement, known) for statement in (CASE, PERSON, *([BIRTHDAY] if due_at else []))))
    return case


async def updated(engine: AsyncEngine) -> None:
    """The new version is installed: its migrations run, and the service starts and takes its first look."""
    await migrate(engine.url.render_as_string(hide_password=False), "intake")
    async with transaction(engine) as tx:
        await arm(tx)


async def deadlines(engine: AsyncEngine) -> dict[tuple[str, UUID], datetime]:
    async with engine.connect() as tx:
        rows = await tx.execute(sa.text("SELECT kind, subject, due_at FROM deadline"))
        return {(row.kind, row.subject): row.due_at for row in rows}


async def guardians_to_inform(engine: AsyncEngine) -> set[UUID]:
    async with engine.connect() as tx:
        return {row["case"] for row in await guardians.owed(tx, contact_person=None, limit=10)}


async def test_what_an_older_version_has_stored_is_owed_and_limited_like_what_comes_now(older: AsyncEngine) -> None:
    birthday = NOW + timedelta(days=100)
    outlived, limited, kept = [
        await came(older, at, bases)
        for at, bases in ((LONG_AGO, ALONE), (A_WHILE_AGO, ALONE), (LONG_AGO, [*ALONE, *CONSENTED]))
    ]
    minor, adult = await registered(older, 16, birthday), await registered(older, 19)
    await updated(older)

    found = await deadlines(older)
    assert found.pop(("age_band", minor)) == birthday
    assert found.pop(("time_limit", limited)) == erase_at(A_WHILE_AGO)
    assert abs(found.pop(("time_limit", outlived)) - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=5)
    assert found == {}, "what also came on a consent has no end in time"
    async with older.connect() as tx:
        assert {row["case"] for row in await informing.owed(tx, overdue=False, contact_person=None)} == {
            outlived, limited, kept,
        }
    assert await guardians_to_inform(older) == {outlived, limited, kept, minor}
    assert adult not in await guardians_to_inform(older)


async def test_after_the_update_it_is_decided_and_saved_like_what_comes_now(older: AsyncEngine) -> None:
    case, own = await came(older, LONG_AGO, ALONE), await registered(older, 16)
    await updated(older)
    async with transaction(older) as tx:
        before = (await CASES.load(tx, {case: [EraseOutlived()]}))[case]
        decided = CASES.decide(before, EraseOutlived(), Context(datetime.now(UTC)))
        assert isinstance(decided, Decided)
        await CASES.save(tx, [(before, decided.subject)])
    async with older.connect() as tx:
        left = await tx.execute(sa.text("SELECT id FROM item UNION ALL SELECT id FROM person"))
        assert list(left.scalars()) == [own]
        (release,) = await informing.owed(tx, overdue=False, contact_person=None)
        assert release["erased_at"] is not None
    assert await guardians_to_inform(older) == {own}


async def test_an_older_process_that_runs_beside_a_new_one_for_a_while_can_still_write(older: AsyncEngine) -> None:
    """And what it has stored meanwhile is found the next day."""
    await updated(older)
    case = await came(older, A_WHILE_AGO, ALONE)
    async with transaction(older) as tx:
        await arm(tx)
    assert await deadlines(older) == {("time_limit", case): erase_at(A_WHILE_AGO)}
    assert await guardians_to_inform(older) == {case}


async def test_two_processes_may_look_at_once(older: AsyncEngine) -> None:
    case = await came(older, A_WHILE_AGO, ALONE)
    await updated(older)

    async def look() -> None:
        async with transaction(older) as tx:
            await arm(tx)

    await asyncio.gather(*(look() for _ in range(4)))
    assert list(await deadlines(older)) == [("time_limit", case)]
