"""Every law of the simulation is broken by a bug planted for it: the laws can fail."""

from functools import partial
from multiprocessing import get_context
from os import cpu_count

import pytest

from tests.conftest import Say
from tests.simulation import laws
from tests.simulation.history import History
from tests.simulation.laws import Broken
from tests.simulation.planted import PLANTED, RARE

SEEDS_MAX = 200  # most bugs need by far less
SEEDS_OF_THE_RARE_MAX = 4_000


def noticed(name: str, most: int) -> str:
    """Run seed after seed until the planted bug is noticed, by a law that may notice it; where, or nothing."""
    with pytest.MonkeyPatch.context() as patch:
        PLANTED[name].plant(patch)
        for seed in range(most):
            try:
                History(seed).run()
            except Broken as broken:
                if broken.law not in PLANTED[name].noticed_by:  # in words, which come back from another process
                    raise AssertionError(f"{name}: seed {seed}: {broken}: that was not planted") from broken
                return f"{name}: seed {seed}: {broken}"
    return ""


@pytest.mark.parametrize("name", sorted(set(PLANTED) - RARE))
def test_a_planted_bug_is_noticed(name: str) -> None:
    assert noticed(name, SEEDS_MAX)


@pytest.mark.prove
@pytest.mark.timeout(1800)  # some minutes where nobody else computes
def test_planted_bugs_that_show_rarely_are_noticed(say: Say) -> None:
    names = sorted(RARE)
    with get_context("spawn").Pool(cpu_count() or 1) as pool:
        found = dict(zip(names, pool.map(partial(noticed, most=SEEDS_OF_THE_RARE_MAX), names, 1), strict=True))
    for where in found.values():
        say(where)
    assert [name for name, where in found.items() if not where] == []


def test_every_law_has_a_planted_bug() -> None:
    every = {sentence for name, sentence in vars(laws).items() if name.isupper()}

    assert every == {law for planted in PLANTED.values() for law in planted.noticed_by}
