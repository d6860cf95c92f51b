"""A transaction is whole whatever happens in it, and what a database says is weather or somebody's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import InterfaceError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import TEXTS, UUIDS, Statement, engine, is_weather, secret, sqlstate, transaction
from tests.conftest import NewDatabase, NewEngine

WRITE = Statement(
    "INSERT INTO service_secret (name, value) SELECT name, '' FROM unnest(:names) AS new (name)", names=TEXTS
)
SLEEP = Statement("SELECT pg_sleep(60)")
NAMES = "SELECT name FROM service_secret ORDER BY name"


@pytest.fixture
async def database(new_engine: NewEngine) -> AsyncEngine:
    return await new_engine(None)


async def names(database: AsyncEngine) -> list[str]:
    async with database.connect() as tx:
        return list((await tx.execute(sa.text(NAMES))).scalars())


async def both(tx: AsyncConnection, name: str) -> None:
    """One row through SQLAlchemy, one through the driver, in this order and then the other way round."""
    through = sa.text("INSERT INTO service_secret (name, value) VALUES (:name, '')")
    await tx.execute(through, {"name": f"{name} 1"})
    await WRITE(tx, {"names": [f"{name} 2", f"{name} 3"]})
    await tx.execute(through, {"name": f"{name} 4"})


async def test_what_goes_through_sqlalchemy_and_what_does_not_is_one_transaction(database: AsyncEngine) -> None:
    async with transaction(database) as tx:
        await both(tx, "kept")
        assert await names(database) == []


    async def undone() -> None:
        async with transaction(database) as tx:
            await both(tx, "undone")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await undone()
    assert await names(database) == ["kept 1", "kept 2", "kept 3", "kept 4"]


async def test_a_statement_outside_a_transaction_is_refused(database: AsyncEngine) -> None:
    async with database.connect() as connection:
        with pytest.raises(RuntimeError):
            await WRITE(connection, {"names": ["alone"]})
    assert await names(database) == []


def wrapped(error: Exception) -> Exception:
    """As SQLAlchemy gives it on."""
    return InterfaceError("SELECT", {}, AsyncAdapt_asyncpg_dbapi.InterfaceError(str(error), error))  # type: ignore[no-untyped-call]  # ships none here


async def run(tx: AsyncConnection, statement: Statement | sa.TextClause) -> None:
    """Straight to the driver, or through SQLAlchemy."""
    await (statement(tx, {}) if isinstance(statement, Statement) else tx.execute(statement))


async def alone(database: AsyncEngine, statement: Statement | sa.TextClause) -> None:
    async with transaction(database) as tx:
        await run(tx, statement)


@pytest.mark.parametrize("statement", [SLEEP, SLEEP.written])
async def test_a_transaction_that_is_broken_off_leaves_nothing_behind(
    new_database: NewDatabase, statement: Statement | sa.TextClause
) -> None:
    """And the next one finds a connection that is in none."""
    database = engine(await new_database(None), size=1, overflow=0)

    async def for_long() -> None:
        async with transaction(database) as tx:
            await both(tx, "undone")
            await run(tx, statement)

    for _ in range(3):
        task = asyncio.create_task(for_long())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with transaction(database) as tx:
            await both(tx, "kept")
            await tx.execute(sa.text("DELETE FROM service_secret WHERE name LIKE 'kept%'"))
        assert await names(database) == []
    await database.dispose()


@pytest.mark.parametrize("word", ["start", "commit", "rollback"])
async def test_a_transaction_that_is_broken_off_at_its_ends_leaves_its_connection_to_nobody(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """The server may have done what it was told, and the driver does not know: who came next would be inside it."""
    database = engine(await new_database(None), size=1, overflow=0)
    whole = getattr(asyncpg.transaction.Transaction, word)

    async def cut(of: Any) -> None:
        asyncio.get_running_loop().call_soon(task.cancel)
        await whole(of)

    async def mine() -> None:
        async with transaction(database) as tx:
            await both(tx, "mine")
            if word == "rollback":
                raise ZeroDivisionError

    async with transaction(database):
        pass
    monkeypatch.setattr(asyncpg.transaction.Transaction, word, cut)
    task = asyncio.create_task(mine())
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    async with transaction(database) as tx:
        await tx.execute(sa.text("DELETE FROM service_secret"))
        await both(tx, "kept")
    other = engine(database.url.render_as_string(hide_password=False))
    assert await names(other) == ["kept 1", "kept 2", "kept 3", "kept 4"]
    await other.dispose()
    await database.dispose()


@pytest.mark.parametrize("statement", [SLEEP, SLEEP.written])
async def test_a_connection_that_is_cut_is_weather_and_nobody_gets_it_again(
    new_database: NewDatabase, statement: Statement | sa.TextClause
) -> None:
    """Those that rested beside it are dead, too, and are noticed before they are used."""
    database = engine(await new_database(None), size=3, overflow=0)
    others = [await database.connect() for _ in range(2)]
    for other in others:
        await other.execute(sa.text("SELECT 1"))
    mine = [(await other.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one() for other in others]
    for other in others:
        await other.close()

    async def for_long() -> None:
        async with transaction(database) as tx:
            mine.append((await tx.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one())
            await both(tx, "undone")
            await run(tx, statement)

    task = asyncio.create_task(for_long())
    await asyncio.sleep(0.3)
    hand = engine(database.url.render_as_string(hide_password=False))
    async with hand.connect() as tx:
        cut = sa.text("SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS int[])) AS pid")
        await tx.execute(cut, {"pids": mine})
    await hand.dispose()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError, SQLAlchemyError)) as said:
        await task
    assert is_weather(said.value)
    for _ in range(3):
        async with transaction(database) as tx:
            await WRITE(tx, {"names": []})
    assert await names(database) == []
    await database.dispose()


@pytest.mark.parametrize("statement", [SLEEP, SLEEP.written])
async def test_a_connection_that_was_cut_between_two_statements_is_weather(
    database: AsyncEngine, statement: Statement | sa.TextClause
) -> None:
    async def cut_first() -> None:
        async with transaction(database) as tx:
            await both(tx, "undone")
            pid = (await tx.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
            async with database.connect() as hand:
                await hand.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            await asyncio.sleep(0.2)  # the driver knows by now
            await run(tx, statement)

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError, SQLAlchemyError)) as said:
        await cut_first()
    assert is_weather(said.value)
    assert await names(database) == []


async def test_what_is_no_value_of_its_type_is_nobodys_weather(database: AsyncEngine) -> None:
    asked: Mapping[str, Any] = {"ids": ["Mia Muster"]}
    async with transaction(database) as tx:
        with pytest.raises(asyncpg.PostgresError) as said:
            await Statement("SELECT * FROM unnest(:ids)", ids=UUIDS)(tx, asked)
    assert not is_weather(said.value)


async def test_a_lock_that_is_not_to_be_had_is_known_by_its_code_whoever_has_asked(database: AsyncEngine) -> None:
    lock = sa.text("LOCK TABLE service_secret NOWAIT")
    async with transaction(database) as tx:
        await tx.execute(lock)
        for statement in (Statement(lock), lock):
            with pytest.raises((asyncpg.PostgresError, SQLAlchemyError)) as said:
                await alone(database, statement)
            assert sqlstate(said.value) == "55P03"


@pytest.mark.parametrize(
    ("error", "weather"),
    [
        (asyncpg.exceptions.CannotConnectNowError("starting up"), True),
        (asyncpg.exceptions.TooManyConnectionsError("full"), True),
        (asyncpg.exceptions.ObjectNotInPrerequisiteStateError("nobody is let in now"), True),
        (asyncpg.exceptions.InterfaceError("connection is closed"), True),
        (asyncpg.exceptions.InterfaceError("another operation is in progress"), False),
        (asyncpg.exceptions.InternalClientError("cannot switch to state 12"), True),
        (wrapped(asyncpg.exceptions.InternalClientError("cannot switch to state 12")), True),
        (asyncpg.exceptions.InvalidCachedStatementError("a migration has passed"), True),
        (wrapped(asyncpg.exceptions.InterfaceError("connection is closed")), True),
        (wrapped(asyncpg.exceptions.InterfaceError("another operation is in progress")), False),
        (asyncpg.exceptions.InvalidPasswordError("not like this"), False),
        (asyncpg.exceptions.UniqueViolationError("not like this"), False),
        (ValueError("a bug"), False),
    ],
)
def test_what_the_driver_raises_is_judged_by_its_code(error: Exception, weather: bool) -> None:
    assert is_weather(error) is weather


async def test_a_secret_is_made_once_whoever_asks_first_and_each_name_has_its_own(database: AsyncEngine) -> None:
    async def asked(name: str) -> bytes:
        async with transaction(database) as tx:
            return await secret(tx, name)

    found = set(await asyncio.gather(*(asked("one") for _ in range(4))))
    assert [len(value) for value in found] == [32]
    assert await asked("one") in found
    assert await asked("other") not in found
