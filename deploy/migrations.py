"""Brings a service's database to the tables its code expects, with Alembic; run before the service starts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

ONE_AT_A_TIME = (
    0x5374616666656C  # advisory lock "Staffel": two replicas that start together migrate one after the other
)
PATIENCE = "60s"  # a migration may wait and run longer than the service's own statements


async def migrate(dsn: str, service: str) -> None:
    """Run the migrations that are missing, all in one transaction; nothing happens where none is."""
    engine = create_async_engine(dsn)
    try:
        async with engine.begin() as connection:
            for timeout in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                await connection.execute(sa.text(f"SET LOCAL {timeout} = '{PATIENCE}'"))
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
            await connection.run_sync(_upgrade, service)
    finally:
        await engine.dispose()


def _upgrade(connection: sa.Connection, service: str) -> None:
    config = Config()
    config.set_main_option("script_location", f"services.{service}:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
