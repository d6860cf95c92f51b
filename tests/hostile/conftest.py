"""One agency for all hostile tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.hostile.target import Target, a_target


@pytest.fixture(scope="package")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    async with a_target(tmp_path_factory.mktemp("target")) as target:
        yield target
