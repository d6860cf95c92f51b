"""What several tests of the mechanism stand on; a test file that needs more makes its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import engine
from tests.conftest import NewDatabase


@pytest.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[AsyncEngine]:
    made = engine(await new_database(None))
    yield made
    await made.dispose()
