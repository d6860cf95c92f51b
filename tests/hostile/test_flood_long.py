"""For a minute twice as much is asked as can be done, then half: nearly as much is done as ever, and soon as fast."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from statistics import median, quantiles

import pytest
import uvloop

from tests.conftest import Say
from tests.hostile.fence import PEAK_BYTES_MAX, peak_bytes
from tests.hostile.flood import CREATED, SERVICE, Flood, Timed
from tests.hostile.target import AGENCY, Target
from tests.hostile.test_flood import bad_manners, offers
from tests.turns import ALL

pytestmark = [pytest.mark.prove, pytest.mark.seats(ALL), pytest.mark.timeout(900)]
SEED = random.SystemRandom().randrange(2**32)  # put a printed one here to see the same questions again
LINES = 64  # more of them do no more, they only wait longer
WARM_SECONDS, PEAK_SECONDS, USUAL_SECONDS, FLOOD_SECONDS, AFTER_SECONDS = 3.0, 10.0, 10.0, 60.0, 20.0
# Of the peak before and after: twelve hundred a second who ask and are told when to come again take from the same two
# cores, on which whoever asks sits as well.
GOODPUT_MIN = 0.75
ACCEPTED_SECONDS_MAX = 5.0  # p99 of what is accepted: those on as many lines as there may be wait for each other
AGAIN_SECONDS_MAX, IN_A_ROW = 5.0, 3


def accepted(asked: Sequence[Timed]) -> list[Timed]:
    return [each for each in asked if each.told.status == CREATED]


def p99(asked: Sequence[Timed]) -> float:
    return quantiles([each.seconds for each in asked], n=100)[98]


def again_after(asked: Sequence[Timed], usual: float) -> float:
    """Seconds from the first of these until half of them wait at most twice as long as usual, some seconds in a row."""
    windows: dict[int, list[float]] = {}
    for each in accepted(asked):
        windows.setdefault(int(each.due_at - asked[0].due_at), []).append(each.seconds)
    fast = [number for number, waited in sorted(windows.items()) if median(waited) <= 2 * usual]
    return next((float(first) for first in fast if {*range(first, first + IN_A_ROW)} <= {*fast}), AFTER_SECONDS)


async def asked(flood: Flood) -> tuple[float, Sequence[Sequence[Timed]]]:
    """The peak, and what became of each question: warming up, at the peak, as usual, in the flood, after it, and again.

    The peak is measured before and after, since a machine's speed changes within minutes.
    """
    chance = random.Random(SEED)  # noqa: S311  # chooses times, guards nothing
    warm = await flood.without_pause(LINES, WARM_SECONDS)
    full = await flood.without_pause(LINES, PEAK_SECONDS)
    peak = len(accepted(full)) / PEAK_SECONDS
    phases = (peak / 2, USUAL_SECONDS), (peak * 2, FLOOD_SECONDS), (peak / 2, AFTER_SECONDS)
    rest = await flood.at_their_own_times(phases, chance)
    again = await flood.without_pause(LINES, PEAK_SECONDS)
    flood.hang_up()
    return (peak + len(accepted(again)) / PEAK_SECONDS) / 2, [warm, full, *rest, again]


async def test_in_a_flood_nearly_as_much_is_done_as_ever_and_soon_after_it_as_fast(target: Target, say: Say) -> None:
    before = await offers(target)
    flood = Flood(target)
    peak, told = await asyncio.to_thread(uvloop.run, asked(flood))  # what asking takes, the service lacks
    _, _, usual, flooded, after, _ = told
    everything = [each for phase in told for each in phase]
    ids = [each.told.id for each in accepted(everything)]
    typical = median(each.seconds for each in usual)
    goodput, again = len(accepted(flooded)) / FLOOD_SECONDS, again_after(after, typical)
    statuses = Counter(each.told.status for each in flooded)
    memory = peak_bytes(target.system.servers[f"{AGENCY}.{SERVICE}"].pid)
    say(
        f"flood: peak {peak:.0f} a second, asked {len(flooded) / FLOOD_SECONDS:.0f} for {FLOOD_SECONDS:.0f} s, "
        f"done {goodput:.0f} ({goodput / peak:.0%}) · answers {dict(statuses)} · accepted after "
        f"{median(each.seconds for each in accepted(flooded)):.2f} s (p99 {p99(accepted(flooded)):.2f}), usually "
        f"{typical:.3f} s (p99 {p99(usual):.3f}), again after {again:.0f} s · "
        f"{flood.met_a_close} met the close of a line that had rested · {memory // 2**20} MB · seed {SEED}"
    )
    assert bad_manners([each.told for each in everything]) == []
    assert len(set(ids)) == len(ids) == await offers(target) - before
    assert memory < PEAK_BYTES_MAX
    assert goodput >= GOODPUT_MIN * peak
    assert p99(accepted(flooded)) <= ACCEPTED_SECONDS_MAX
    assert again <= AGAIN_SECONDS_MAX
