"""A record that is the end of every process that reads it: of the one it finds, of three more, and of no other."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from chassis.brake import DEATHS, DEATHS_MAX
from deploy.embedded import admin
from tests.chassis.broker import a_producer
from tests.conftest import Say
from tests.hostile.fence import LIMIT_BYTES, MB, RESOURCE_LIMIT
from tests.hostile.target import AGENCY, SERVING, Target, a_target
from tests.hostile.test_topics import CHANNEL, HEARER, LOOK_SECONDS

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]
RECORD_BYTES = 300 * MB
WIDE = {"max.message.bytes": str(MB), "compression.type": "producer"}  # as no topic of ours is
STOPPED_SECONDS_MAX = 120.0
STAYS_SECONDS = 10.0
PRINCIPAL = f"{AGENCY}.{HEARER}"


async def send(target: Target) -> None:
    """Past every bound of ours, on the channel of an agency that means ill and has a careless operator."""

    def widen() -> None:
        with admin.connected(target.addresses.bootstrap, target.addresses.admin) as kafka:
            kafka.alter_configs(CHANNEL, WIDE)

    await asyncio.to_thread(widen)
    how = {"compression_type": "gzip", "max_request_size": 2 * RECORD_BYTES, "request_timeout_ms": 120_000}
    async with a_producer(target.addresses, **how) as producer:
        await producer.send_and_wait(CHANNEL, b" " * RECORD_BYTES)


async def stopped(target: Target) -> list[int]:
    """With which codes the hearer has ended until its brake was on; each time it is started again."""
    codes: list[int] = []
    async with asyncio.timeout(STOPPED_SECONDS_MAX):
        while not await target.rows(HEARER, "SELECT cause FROM brake WHERE released_at IS NULL"):
            code = target.system.servers[PRINCIPAL].code
            if code is not None:
                codes.append(code)
            target.system.mend()
            await asyncio.sleep(LOOK_SECONDS)
    return codes


def begun(log: str) -> set[str]:
    """The topics of which the hearer says where it begins to read."""
    lines = [json.loads(line) for line in log.splitlines() if '"message": "reading begins here"' in line]
    return {line["topic"] for line in lines if line["service"] == PRINCIPAL}


async def test_a_record_of_300_mb_ends_its_reader_and_three_that_begin_with_it_and_then_nobody_reads_it(
    tmp_path: Path, say: Say
) -> None:
    async with a_target(tmp_path) as target:
        if target.system.fence.kind == RESOURCE_LIMIT:
            pytest.skip("here memory is refused, not a death: the record is passed over")
        others = {name: server.pid for name, server in target.system.servers.items() if name != PRINCIPAL}
        await send(target)
        codes = await stopped(target)
        await target.system.ready([PRINCIPAL])
        await asyncio.sleep(STAYS_SECONDS)
        said = (await target.client.get(f"{target.url(HEARER)}/ready")).json()
        log = (target.system.data / "logs" / f"{PRINCIPAL}.log").read_text()
        say(
            f"a record of {RECORD_BYTES // MB} MB under {target.system.fence.kind} of {LIMIT_BYTES // MB} MB: "
            f"ended with {codes}, then {said}"
        )
        assert codes == [-9] * (1 + DEATHS_MAX)
        assert said == {"ready": True, "braked_by": DEATHS}
        assert "brake is on: the consumer is stopped" in log
        assert CHANNEL in begun(log)
        assert target.system.servers[PRINCIPAL].runs
        assert {name: target.system.servers[name].pid for name in others} == others
        assert await target.serves() == SERVING
