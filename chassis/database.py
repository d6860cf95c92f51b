"""The way to a service's own database: one engine, set-based writes, the chassis' own tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chassis.crashpoints import reached

POOL_TIMEOUT_SECONDS = 2.0  # a caller learns quickly that there is no room, instead of piling up behind the pool
# Classes of SQLSTATE that say "not now" rather than "not like this": connection, rolled back by conflict, lock not had,
# resources, operator's intervention (shutdown, terminated backend), system error.
WEATHER = ("08", "40", "53", "55", "57", "58")


def engine(dsn: str, *, size: int = 4, overflow: int = 4) -> AsyncEngine:
    """An engine for one service: small pool, dead connections noticed before use, READ COMMITTED.

    Four kept and four more: three batches, the relay's own one, and room for views, errands and a stream beside them.
    """
    return create_async_engine(
        dsn,
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        pool_recycle=1800,
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # an error's text must not carry what somebody wanted to store
    )


def is_weather(error: BaseException) -> bool:
    """Whether a database error is infrastructure (try again) and not the fault of what was asked."""
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    if isinstance(error, sa.exc.TimeoutError | ConnectionError | TimeoutError | OSError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # What the driver raises while it connects nobody wraps: the server starts, stops, is full, or lets nobody in now.
    said = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(said, "sqlstate", None)
    return isinstance(state, str) and state.startswith(WEATHER)


async def upsert(tx: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all rows in one statement; a row whose primary key exists gets the other given columns anew.

    Rows are sorted by key, so that two writers lock in the same order. All rows name the same columns.
    """
    if not rows:
        return
    keys = [column.name for column in table.primary_key.columns]
    ordered = sorted(rows, key=lambda row: tuple(row[key] for key in keys))
    statement = pg_insert(table)
    others = {name: statement.excluded[name] for name in ordered[0] if name not in keys}
    if others:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=others)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    await tx.execute(statement, ordered)


async def insert(tx: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append all rows in one statement."""
    if rows:
        await tx.execute(sa.insert(table), list(rows))


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
