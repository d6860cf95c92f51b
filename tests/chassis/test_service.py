"""What a running service does when one of its background tasks ends."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from chassis import service
from chassis.service import Running


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    """A service of which nothing runs yet."""
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.0)
    return Running(cast(Any, None))


def broken_off_by(*errors: Exception) -> tuple[service.Loop, list[Exception]]:
    """A background task that each of these ends, one after the other, and what is left of them."""
    left = list(errors)

    async def loop() -> None:
        if left:
            raise left.pop(0)

    return loop, left


async def test_a_background_task_begins_again_when_the_database_was_away(running: Running) -> None:
    loop, left = broken_off_by(OperationalError("SELECT", {}, Exception()), ConnectionRefusedError())
    await running._guarded(loop)
    assert left == []
    assert not running.failed.done()


async def test_a_background_task_that_a_bug_ends_ends_the_service(running: Running) -> None:
    loop, left = broken_off_by(ZeroDivisionError(), KeyError())
    await running._guarded(loop)
    assert len(left) == 1
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(running.failed, 1)
