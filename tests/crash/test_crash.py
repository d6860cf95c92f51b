"""Whatever dies, wherever: nothing accepted is lost, nothing happens twice, and no byte follows the answer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conftest import Say
from tests.crash.points import POINTS, A, B, Point
from tests.crash.town import prove

SEED = random.SystemRandom().randrange(2**32)  # put a printed one here to see the same deaths again
A_HANDFUL = (
    Point("executor.after_commit", (f"{A}.handover",)),
    Point("relay.after_send", (f"{B}.handover",)),
    Point("consumer.after_commit", (f"{B}.intake",)),
    Point("withdraw.flip", (f"{A}.consent",), (1, 1)),
    Point("door.write", (f"{A}.consent",), (1, 2)),
)


def _say(text: str) -> None:
    print(text)  # noqa: T201  # shown with a failure


@pytest.mark.timeout(300)
async def test_services_that_die_at_a_handful_of_points_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    proof = await prove(tmp_path, A_HANDFUL, SEED, _say)
    _say(proof.table(A_HANDFUL))
    assert (proof.broken, proof.idle) == ([], [])
    assert [point.name for point in A_HANDFUL if not proof.killer.killed(point.name)] == []


@pytest.mark.prove
@pytest.mark.timeout(1800)
async def test_services_that_die_at_every_point_lose_nothing_and_do_nothing_twice(tmp_path: Path, say: Say) -> None:
    proof = await prove(tmp_path, POINTS, SEED, _say)
    say(proof.table(POINTS))
    assert (proof.broken, proof.idle) == ([], [])
    assert [point.name for point in POINTS if proof.killer.killed(point.name) < 3] == []
