"""Kafka and PostgreSQL for tests: real ones, in a folder that is gone afterwards."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.embedded.cluster import Addresses, Embedded


@asynccontextmanager
async def embedded_for_tests(
    agencies: Sequence[str], services: Sequence[str], nodes: int = 1
) -> AsyncIterator[Addresses]:
    """Run one instance with nothing in it; a session-scoped fixture can hold it open."""
    with tempfile.TemporaryDirectory(prefix="staffel-tests-") as folder:
        embedded = Embedded(Path(folder) / "data", agencies, services, nodes=nodes)
        try:
            yield await embedded.start()
        finally:
            await embedded.stop()
            embedded.erase()
