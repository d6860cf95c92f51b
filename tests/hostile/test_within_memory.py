"""What all that was sent in this folder has cost: run last, and fenced in from the first moment on."""

from __future__ import annotations

from tests.conftest import Say
from tests.hostile.fence import LIMIT_BYTES, MB, PEAK_BYTES_MAX, peak_bytes
from tests.hostile.target import SERVING, Target


async def test_no_service_has_needed_400_mb_for_anything_that_was_sent_to_it(target: Target, say: Say) -> None:
    assert await target.serves() == SERVING
    peaks = {principal: peak_bytes(server.pid) for principal, server in target.system.servers.items()}
    figures = ", ".join(f"{principal} {peak // MB} MB" for principal, peak in peaks.items())
    say(f"most memory in use at once under {target.system.fence.kind} of {LIMIT_BYTES // MB} MB: {figures}")
    assert [principal for principal, peak in peaks.items() if peak >= PEAK_BYTES_MAX] == []
