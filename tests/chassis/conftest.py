"""What several tests of the mechanism stand on; a test file that needs more makes its own."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import NewEngine


@pytest.fixture
async def database(new_engine: NewEngine) -> AsyncEngine:
    return await new_engine(None)
