"""One town that serves one fault after the other."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from tests.faults.town import Town, a_town

SEED = random.SystemRandom().randrange(2**32)  # put a printed one here to see the same stories again


@pytest.fixture(scope="package")
async def town(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)  # noqa: T201  # the figures are the point of the run

    async with a_town(tmp_path_factory.mktemp("faults"), SEED, say) as town:
        yield town
