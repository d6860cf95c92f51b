"""One town for all journeys, and handovers in it that are asked already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.journey import Journey
from tests.journeys.town import Town, a_town

# They look at what all others have left.
LAST = ("test_published_contracts.py", "test_nothing_is_left_over.py", "test_canary.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything else in its order, then those."""
    here = Path(__file__).parent
    last = {here / name: place for place, name in enumerate(LAST)}
    items.sort(key=lambda item: last.get(item.path, -1))


@pytest.fixture(scope="package")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with a_town(tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest.fixture(autouse=True)
async def no_service_is_left_dead(town: Town) -> AsyncIterator[None]:
    """The test that leaves one dead or stopped is the one that fails; the next one finds all of them at work."""
    yield
    assert await town.mended() == []


@pytest.fixture
async def asked(town: Town) -> Journey:
    """A handover that the receiver's agency has before it."""
    return await town.stock.take()


@pytest.fixture
def begun(town: Town) -> Journey:
    """A story in which nothing has happened yet."""
    return town.journey()
