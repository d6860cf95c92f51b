"""Connections between callers and services."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.crash.points import A
from tests.faults.town import Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

USUAL_SECONDS = 5.0  # how long pools of callers keep a resting connection when nobody says otherwise
LONG_SECONDS = 60.0


async def test_a_connection_that_rests_is_closed_by_the_caller_first(town: Town) -> None:
    """Where both give it up after the same time, a question may meet the close: an error that nothing has caused."""
    limits = httpx.Limits(max_connections=1, keepalive_expiry=LONG_SECONDS)
    async with httpx.AsyncClient(limits=limits) as client:
        lines = []
        for rest in (0.0, USUAL_SECONDS + 1.0):
            await asyncio.sleep(rest)
            answer = await client.get(f"{town.installation.url(A, 'intake')}/ready")
            lines.append(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(set(lines)) == 1, "the service has closed a connection that its caller still kept"
