"""An agency whose four services share one process takes part like any other."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.embedded.processes import Program, Server
from deploy.installation import SERVICES
from tests.journeys.collector import Collector
from tests.journeys.journey import Journey
from tests.journeys.town import RECEIVER, Town

STOPPED_SECONDS = 15  # what a service promises


@asynccontextmanager
async def in_one_process(town: Town, agency: str) -> AsyncIterator[Server]:
    """The agency's four services end, and one process takes their place; afterwards there are four again."""
    principals = [f"{agency}.{name}" for name in SERVICES]
    apart = [town.system.servers[principal] for principal in principals]
    for server in apart:
        server.tell_to_stop()
    await asyncio.gather(*(server.stopped(STOPPED_SECONDS) for server in apart))
    log = town.system.data / "logs" / f"{agency}.log"
    verb = ["node", "--agency", agency, "--data", str(town.system.data), "--no-migrate"]
    argv = [sys.executable, "-m", "deploy.cli", *verb]
    node = Server(Program(agency, argv, signal.SIGTERM, log, log), town.system._guard)
    town.system.servers |= dict.fromkeys(principals, node)
    try:
        await town.system.ready(principals)
        yield node
    finally:
        node.tell_to_stop()
        await node.stopped(STOPPED_SECONDS)
        for name in SERVICES:
            town.system.start(agency, name)
        await town.system.ready(principals)


@pytest.fixture(autouse=True)
async def alone(town: Town) -> AsyncIterator[None]:
    """Nothing else is begun meanwhile."""
    async with town.stock.resting():
        yield


async def test_a_case_goes_to_a_node_and_it_says_who_said_what_and_ends_when_told(town: Town) -> None:
    async with in_one_process(town, RECEIVER) as node:
        exported = len(town.collector.raw)
        journey = town.journey()
        await _told_to_the_end(journey)
        assert await journey.leading() == [RECEIVER]
        node.tell_to_stop()
        assert await asyncio.to_thread(node._process.wait, STOPPED_SECONDS) == 0
    lines = _log(town.system.data / "logs" / f"{RECEIVER}.log")
    assert not [line for line in lines if line["level"] == "error"]
    assert {line.get("service", "") for line in lines} <= {"", *(f"{RECEIVER}.{name}" for name in SERVICES)}
    since = Collector()
    since.raw = town.collector.raw[exported:]
    assert {name for name, _ in since.spans()} >= {f"{RECEIVER}.{name}" for name in ("intake", "consent", "handover")}


async def _told_to_the_end(journey: Journey) -> None:
    await journey.register()
    await journey.assign()
    await journey.activate()
    await journey.consent_to()
    await journey.draft()
    await journey.propose()
    await journey.receiver_is("requested")
    await journey.act(journey.receiver, "acceptance")
    await journey.both_are("accepted")
    await journey.dossier_is("stored")
    await journey.first_contact()
    await journey.sender_is("active", lead=False)


def _log(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
