"""The way to a service's own database: one engine, set-based writes, the chassis' own tables."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID
from weakref import WeakKeyDictionary

import asyncpg  # type: ignore[import-untyped]  # ships no types
import sqlalchemy as sa
from pydantic_core import from_json, to_json
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import asyncpg as dialect_of_driver
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler

from chassis.crashpoints import reached

log = logging.getLogger(__name__)

_DIALECT = cast("Callable[[], Dialect]", dialect_of_driver.dialect)()
_QUOTED = _DIALECT.identifier_preparer
POOL_TIMEOUT_SECONDS = 2.0  # a caller learns quickly that there is no room, instead of piling up behind the pool
ROLLBACK_SECONDS = 2.0  # a connection on which that takes longer is given up, and the server undoes what it began
RESTED_SECONDS = 5.0  # a connection that rested so long is asked whether it still lives; asking costs a transaction
DATABASE_ERRORS = (DBAPIError, asyncpg.PostgresError)  # what a statement raises, through SQLAlchemy or from the driver
# Classes of SQLSTATE that say "not now" rather than "not like this": connection, rolled back by conflict, lock not had,
# resources, operator's intervention (shutdown, terminated backend), system error.
WEATHER = ("08", "40", "53", "55", "57", "58")


def engine(dsn: str, *, size: int = 4, overflow: int = 4) -> AsyncEngine:
    """An engine for one service: small pool, connections that died at rest noticed before use, READ COMMITTED.

    Four kept and four more: three batches, the relay's own one, and room for views, errands and a stream beside them.
    """
    made = create_async_engine(
        dsn,
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_recycle=1800,
        isolation_level="READ COMMITTED",
        json_deserializer=from_json,  # quicker than Python's own
        hide_parameters=True,  # an error's text must not carry what somebody wanted to store; the driver's own may,
        # so that nobody shows more of it than `name_of`
    )
    _look_at_the_rested(made)
    return made


def _look_at_the_rested(made: AsyncEngine) -> None:
    """See whether a connection that has rested still lives, before somebody works with it.

    One that dies under work is weather to whoever works with it, and takes all of its pool with it.
    """
    lives, dialect = made.sync_engine.pool, made.dialect

    @sa.event.listens_for(lives, "checkin")
    def rests(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = monotonic()

    @sa.event.listens_for(lives, "checkout")
    def asked(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        driver = dialect.get_driver_connection(connection)
        if driver.is_closed() or driver.is_in_transaction():
            raise sa.exc.InvalidatePoolError("died, or is not what it should be")
        since = record.info.get("rests_since", monotonic())
        if monotonic() - since < RESTED_SECONDS and since > _DIED_AT.get(made, 0.0):
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise sa.exc.InvalidatePoolError("died at rest") from error


def is_weather(error: BaseException) -> bool:
    """Whether a database error is infrastructure (try again) and not the fault of what was asked."""
    if isinstance(error, OperationalError | sa.exc.TimeoutError | ConnectionError | TimeoutError | OSError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    said = _of_driver(error)
    if isinstance(said, asyncpg.InterfaceError):  # its other words are about whoever asks
        return "connection is closed" in str(said)
    # The driver has lost track of a connection: the server has let go of it and has not closed it yet. Or of a
    # statement: a migration has passed. Either is given up, and put together anew.
    if isinstance(said, asyncpg.InternalClientError | asyncpg.InvalidCachedStatementError):
        return True
    # What the driver raises while it connects nobody wraps: the server starts, stops, is full, or lets nobody in now.
    return (sqlstate(error) or "").startswith(WEATHER)


def sqlstate(error: BaseException) -> str | None:
    """What PostgreSQL calls this error; None where it is not its error."""
    state = getattr(_of_driver(error), "sqlstate", None)
    return state if isinstance(state, str) else None


def name_of(error: BaseException) -> str:
    """What operators read: of a database's error the driver's name for it, whoever has asked."""
    return type(_of_driver(error)).__name__


def _of_driver(error: BaseException) -> BaseException:
    """What the driver has raised; the error itself where it has none."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return error
    return error.driver_exception


# --- transactions -----------------------------------------------------------------------------------------------------


# By engine: when a connection has died last. What rested then is looked at, however short it has rested.
_DIED_AT: WeakKeyDictionary[AsyncEngine, float] = WeakKeyDictionary()
# By engine: the same, its pool included, as `transaction` takes it. Asked for each time it would cost as much as a
# statement.
_WITHOUT_TRANSACTIONS: WeakKeyDictionary[AsyncEngine, AsyncEngine] = WeakKeyDictionary()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that is committed at the end, or rolled back by whatever is raised in it.

    The driver begins and ends it, so that `Statement`s go straight to the driver; all others go through SQLAlchemy,
    whose own transactions are off for this connection, inside the same transaction.
    """
    plain = _WITHOUT_TRANSACTIONS.get(engine)
    if plain is None:
        plain = _WITHOUT_TRANSACTIONS[engine] = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with plain.connect() as tx:
        driver = _driver(tx)
        whole, over = driver.transaction(isolation="read_committed"), False
        try:
            await whole.start()
            try:
                yield tx
            except Exception:
                over = await _undone(whole)
                raise
            await whole.commit()
            over = True
        finally:
            if not over:  # broken off in the middle of a word, or dead: the pool must not have it
                if driver.is_closed():
                    _DIED_AT[engine] = monotonic()
                await tx.invalidate()


async def _undone(whole: Any) -> bool:
    """Whether the transaction is rolled back for sure. What it was rolled back for is what its caller hears."""
    try:
        async with asyncio.timeout(ROLLBACK_SECONDS):
            await whole.rollback()
    except Exception as error:  # noqa: BLE001  # whatever it is: the connection is not used again
        log.info("a transaction was broken off", extra={"error_class": type(error).__name__})
        return False
    return True


def _driver(tx: AsyncConnection) -> Any:
    """The driver's connection."""
    connection = tx.sync_connection
    return None if connection is None else connection.connection.driver_connection


class Row(asyncpg.Record):  # type: ignore[misc]  # ships no types
    """A row with its columns as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def items(self) -> Any:
        """The column of this name; nobody takes a row for a mapping."""
        return self["items"]


UUIDS, TEXTS, BYTES = ARRAY(sa.Uuid), ARRAY(sa.Text), ARRAY(sa.LargeBinary)
INTS, BIGINTS = ARRAY(sa.Integer), ARRAY(sa.BigInteger)
MOMENT = sa.TIMESTAMP(timezone=True)
MOMENTS = ARRAY(MOMENT)


class Statement:
    """A statement that is run again and again: put together once, and run by the driver itself.

    That costs a quarter of the processor time it takes through SQLAlchemy, which is most of what a transaction of one
    item costs. Only in a `transaction`, or where SQLAlchemy has begun one by a statement of its own: on a connection in
    none it would be one alone, and stay when the rest is undone.
    """

    def __init__(self, written: str | sa.ClauseElement, **types: sa.types.TypeEngine[Any]) -> None:
        """`types`: of the parameters of a text, where PostgreSQL does not find them out itself."""
        if isinstance(written, str):
            written = sa.text(written).bindparams(*(sa.bindparam(name, type_=each) for name, each in types.items()))
        self.written = written
        """As it was written."""
        compiled = cast("SQLCompiler", written.compile(dialect=_DIALECT))
        self._text = str(compiled)
        self._names = tuple(compiled.positiontup or ())

    async def __call__(self, tx: AsyncConnection, values: Mapping[str, Any]) -> list[Any]:
        """Run it with these parameters, all that it names; returns the rows, see `Row`."""
        driver = _driver(tx)
        if not driver.is_in_transaction() and not driver.is_closed():  # one that has died says so itself
            raise RuntimeError("a statement of its own outside a transaction")
        return await self.alone(tx, values)

    async def alone(self, connection: AsyncConnection, values: Mapping[str, Any]) -> list[Any]:
        """Run it as a transaction of its own, on a connection that is in none."""
        given = [values[name] for name in self._names]
        return cast("list[Any]", await _driver(connection).fetch(self._text, *given, record_class=Row))


async def upsert(tx: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all rows in one statement; a row whose primary key exists gets the other given columns anew.

    Rows are sorted by key, so that two writers lock in the same order. All rows name the same columns.
    """
    if not rows:
        return
    keys = [column.name for column in table.primary_key.columns]
    ordered = sorted(rows, key=lambda row: tuple(row[key] for key in keys))
    await _write(tx, table, ordered, _UPSERT)


async def insert(tx: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append all rows in one statement."""
    if rows:
        await _write(tx, table, rows, _INSERT)


_INSERT, _UPSERT = False, True


async def _write(tx: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, Any]], how: bool) -> None:  # noqa: FBT001  # one of the two names above
    binary = [column.name for column in table.columns if isinstance(column.type, sa.LargeBinary)]
    if binary:
        rows = [{name: _as_text(value) if name in binary else value for name, value in row.items()} for row in rows]
    await _writing(table, tuple(rows[0]), how)(tx, {"rows": to_json(rows).decode()})


@cache
def _writing(table: sa.Table, names: tuple[str, ...], how: bool) -> Statement:  # noqa: FBT001  # as above
    """One parameter, however many rows: it is prepared once, and the server takes it apart itself."""
    into = _QUOTED.quote(table.name)
    columns = ", ".join(map(_QUOTED.quote, names))
    typed = ", ".join(f"{_QUOTED.quote(name)} {table.c[name].type.compile(_DIALECT)}" for name in names)
    rows = f"json_to_recordset(CAST(:rows AS json)) AS new ({typed})"
    statement = f"INSERT INTO {into} ({columns}) SELECT {columns} FROM {rows}"  # noqa: S608  # names of our own tables
    if how is _UPSERT:
        keys = [column.name for column in table.primary_key.columns]
        others = [_QUOTED.quote(name) for name in names if name not in keys]
        then = "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in others) if others else "NOTHING"
        statement += f" ON CONFLICT ({', '.join(map(_QUOTED.quote, keys))}) DO {then}"
    return Statement(statement, rows=sa.Text())


def rows_of(tables: Sequence[sa.Table], column: str) -> Statement:
    """One statement for the rows of several tables that belong to the same things: for each of `:ids` one row.

    It has the id and, under each table's name, an array of that table's rows in the order of their keys; `as_rows`
    reads it. Columns are named: one that a later version adds must not confuse a process of this one.
    """

    def names(columns: Iterable[sa.Column[Any]]) -> str:
        return ", ".join(f"part.{_QUOTED.quote(each.name)}" for each in columns)

    owner = f"part.{_QUOTED.quote(column)}"
    parts = ", ".join(
        f"ARRAY(SELECT ROW({names(table.columns)}) FROM {name} AS part"  # noqa: S608  # names of our own tables
        f" WHERE {owner} = one.id ORDER BY {names(table.primary_key)}) AS {name}"
        for table, name in ((each, _QUOTED.quote(each.name)) for each in tables)
    )
    return Statement(f"SELECT one.id, {parts} FROM unnest(:ids) AS one (id)", ids=UUIDS)  # noqa: S608  # as above


def as_rows(table: sa.Table, found: Iterable[Sequence[Any]]) -> list[SimpleNamespace]:
    """The rows of a table that came in an array, with its columns as attributes."""
    names = table.columns.keys()
    return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in found]


def _as_text(value: bytes | None) -> str | None:
    return None if value is None else f"\\x{value.hex()}"


def among(column: sa.ColumnElement[Any], ids: Iterable[UUID]) -> sa.ColumnElement[bool]:
    """Whether the column is one of these: one parameter and so one prepared statement, however many they are."""
    return column == sa.any_(sa.bindparam(None, list(ids), type_=ARRAY(sa.Uuid)))


def among_ids(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether the column is one of a `Statement`'s parameter `ids`."""
    return column == sa.any_(sa.bindparam("ids", type_=UUIDS))


SECRET_BYTES = 32


async def secret(tx: AsyncConnection, name: str) -> bytes:
    """The random secret of that name, made when it is first asked for; it leaves its service in no form."""
    asked = sa.text("SELECT value FROM service_secret WHERE name = :name")
    found = (await tx.execute(asked, {"name": name})).scalar_one_or_none()
    if found is None:  # of two that make it at the same time the first one has
        made = {"name": name, "value": secrets.token_bytes(SECRET_BYTES)}
        await tx.execute(
            sa.text("INSERT INTO service_secret (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING"), made
        )
        found = (await tx.execute(asked, {"name": name})).scalar_one()
    return bytes(found)


def chassis_revisions() -> list[str]:
    """The revisions of the chassis' tables, oldest first."""
    folder = resources.files("chassis").joinpath("migrations")
    return sorted(file.name.removesuffix(".sql") for file in folder.iterdir() if file.name.endswith(".sql"))


def chassis_tables(revision: str) -> Iterator[str]:
    """The statements that make the chassis' tables, for a service's migration of the same number."""
    text = resources.files("chassis").joinpath("migrations", f"{revision}.sql").read_text("utf-8")
    for paragraph in text.split(";\n"):
        statement = "\n".join(line for line in paragraph.splitlines() if not line.startswith("--")).strip()
        if statement:
            yield statement


def run_migrations(metadata: sa.MetaData) -> None:
    """The whole of a service's `migrations/env.py`: run what is missing, in one transaction."""
    from alembic import context  # noqa: PLC0415  # a running service migrates nothing and need not load it

    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,
        on_version_apply=lambda **_: reached("migrate.mid_step"),  # after each step, before the commit of all
    )
    with context.begin_transaction():
        context.run_migrations()
