"""What the migrations make is what the code expects, on a real database."""

from importlib import import_module

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from tests.conftest import NewDatabase
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import CHASSIS_TABLES

ALEMBIC = {"alembic_version"}


def _differences(connection: sa.Connection, metadata: sa.MetaData) -> list[object]:
    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name not in CHASSIS_TABLES | ALEMBIC

    context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


@pytest.mark.parametrize("service", SERVICES)
async def test_migrations_make_the_tables_the_store_knows(service: str, new_database: NewDatabase) -> None:
    metadata: sa.MetaData = import_module(f"services.{service}.store").metadata
    engine = create_async_engine(await new_database(service))
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences, metadata) == []
    await engine.dispose()
