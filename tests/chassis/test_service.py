"""What a running service does when one of its background tasks ends, and when it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import socket
from collections.abc import AsyncIterator
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from chassis import metrics, service, telemetry
from chassis.database import engine
from chassis.feed import feed_routes
from chassis.http.problems import Trouble, Turned
from chassis.http.serve import Desk
from chassis.recovery import Standing
from chassis.service import Running
from tests.chassis.test_metrics import Points
from tests.chassis.test_metrics import points as points  # noqa: PLC0414  # a fixture shared by its name


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


# --- told to stop -----------------------------------------------------------------------------------------------------


async def test_what_hangs_at_a_stop_is_left_when_its_time_is_over(running: Running) -> None:
    disposed: list[bool] = []

    async def hang() -> None:
        await asyncio.Event().wait()

    async def dispose() -> None:
        disposed.append(True)

    running._consumer = cast(Any, SimpleNamespace(stop=hang))
    running._engine = cast(Any, SimpleNamespace(dispose=dispose))
    running.stop_by = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(running._stop(), 5)
    assert disposed == [True]


async def test_the_last_answers_take_their_part_of_the_time_a_stop_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    stop, left = asyncio.Event(), []

    class Parts:
        failed = asyncio.get_running_loop().create_future()
        stop_by: float | None = None

        @contextlib.asynccontextmanager
        async def parts(self) -> AsyncIterator[Any]:
            yield app

    running = Parts()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        stop.set()
        while running.stop_by is None:  # noqa: ASYNC110  # an answer under way when the service is told to stop
            await asyncio.sleep(0.01)
        left.append(running.stop_by - asyncio.get_running_loop().time())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serving = asyncio.create_task(service._serve(cast(Any, running), listener, stop))
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(url)).status_code == HTTPStatus.NO_CONTENT
        await asyncio.wait_for(serving, 10)
    (seconds,) = left
    assert seconds <= service.STOP_SECONDS


# --- who is answered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Standing.RESTORED, Trouble.RESTORED),
        (Standing.UNASKED, Trouble.UNCHECKED),
        (Standing.CATCHING_UP, Trouble.CATCHING_UP),
        (Standing.SOUND, None),
    ],
)
def test_programs_get_nothing_from_a_database_that_may_not_know_everything(
    known: Standing, reason: Trouble | None
) -> None:
    """They give data out by our word; what is heard again may be a reason to give nothing out."""
    desk = cast(Any, SimpleNamespace(standing=lambda: known))
    route = cast(Any, SimpleNamespace(unheeding=False))
    if reason is None:
        Desk._must_be_relied_on(desk, route)
        return
    with pytest.raises(Turned) as turned:
        Desk._must_be_relied_on(desk, route)
    assert turned.value.reason is reason


def test_two_that_were_restored_can_read_what_they_missed_of_each_other() -> None:
    """Each catches up from the other's feed, which tells what was said and depends on nothing that was heard."""
    (feed,) = feed_routes({"musterland.catalogue": ("handover",)}, ("handover",)).listed
    Desk._must_be_relied_on(cast(Any, SimpleNamespace(standing=lambda: Standing.CATCHING_UP)), feed)
    for known in (Standing.RESTORED, Standing.UNASKED):
        with pytest.raises(Turned):
            Desk._must_be_relied_on(cast(Any, SimpleNamespace(standing=lambda known=known: known)), feed)


# --- what is measured -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "ousted", "shut"),
    [
        (Standing.SOUND, False, False),
        (Standing.SOUND, True, True),
        (Standing.RESTORED, False, True),
        (Standing.UNASKED, False, True),
        (Standing.CATCHING_UP, False, True),
    ],
)
async def test_where_the_database_cannot_be_looked_at_that_has_an_age_and_nothing_else_of_it_is_said(
    running: Running, points: Points, monkeypatch: pytest.MonkeyPatch, known: Standing, ousted: bool, shut: bool
) -> None:
    monkeypatch.setattr(metrics, "MEASURE_SECONDS", 0.01)
    parts = cast(Any, running)
    parts._service = SimpleNamespace(principal="a.boxes", undone={})
    parts._engine = engine("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    parts._guard = SimpleNamespace(standing=known)
    parts._executor = SimpleNamespace(queued=2, brake=SimpleNamespace(ousted=ousted))
    parts._consumer = SimpleNamespace(lag=lambda: None, deaf_seconds=lambda: 61.0)
    measuring = asyncio.create_task(running._measure())
    ages: set[float] = set()
    async with asyncio.timeout(10):
        while len(ages) < 3:
            await asyncio.sleep(0.01)
            found = points()
            ages |= {found[each].value for each in found if each[0] == "standing.age"}
    measuring.cancel()
    assert min(ages) > 0
    assert {name for name, _ in found} == {
        "standing.age", "service.shut.age", "executor.queue", "consumer.deaf.age",
    }  # fmt: skip
    assert (found["service.shut.age", ""].value > 0) is shut
    await parts._engine.dispose()


# --- several services in one process ----------------------------------------------------------------------------------


def services(*names: str) -> list[service.Service]:
    """Of which nothing but the name is known."""
    return [cast(service.Service, SimpleNamespace(principal=name)) for name in names]


async def test_services_that_share_a_process_all_run_until_it_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    running: set[str] = set()
    stop = asyncio.Event()

    async def serve(one: service.Service, stop: asyncio.Event) -> None:
        running.add(one.principal)
        await stop.wait()
        running.remove(one.principal)

    monkeypatch.setattr(service, "serve", serve)
    together = asyncio.create_task(service.serve_all(services("a", "b", "c"), stop))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert running == {"a", "b", "c"}
    stop.set()
    await asyncio.wait_for(together, 1)
    assert running == set()


async def test_one_that_fails_ends_the_others_in_order_and_its_reason_is_the_process_s(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = []

    async def serve(one: service.Service, stop: asyncio.Event) -> None:
        if one.principal == "b":
            raise ZeroDivisionError
        await stop.wait()
        ended.append(one.principal)

    monkeypatch.setattr(service, "serve", serve)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(service.serve_all(services("a", "b", "c"), asyncio.Event()), 1)
    assert sorted(ended) == ["a", "c"]
    assert [record.__dict__["service"] for record in caplog.records if record.message == "service failed"] == ["b"]


async def test_each_of_them_has_telemetry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, str] = {}
    record = logging.LogRecord("chassis.x", logging.INFO, "x.py", 1, "said", (), None)

    def who_says() -> str | None:
        line: dict[str, str] = json.loads(telemetry.JsonFormatter().format(record))
        return line.get("service")

    async def serve(one: service.Service, stop: asyncio.Event) -> None:
        telemetry.configure(one.principal, "0", None)
        await asyncio.sleep(0)
        said[one.principal] = who_says() or ""

    outside = who_says()

    monkeypatch.setattr(service, "serve", serve)
    await service.serve_all(services("a", "b"), asyncio.Event())
    assert said == {"a": "a", "b": "b"}
    assert who_says() == outside
