"""One town that serves one fault after the other."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Generator

import pytest

from tests.conftest import SAID
from tests.faults.town import Town, a_town

SEED = random.SystemRandom().randrange(2**32)  # put a printed one here to see the same stories again
LINES: list[str] = []
"""What the test that runs has said."""


@pytest.fixture(scope="package")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with a_town(tmp_path_factory.mktemp("faults"), SEED, LINES.append) as town:
        yield town


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """What a test says is shown at the end of the run, as with `say`, which ends with its test: the town does not."""
    try:
        return (yield)
    finally:
        item.user_properties.extend((SAID, line) for line in LINES)
        LINES.clear()
