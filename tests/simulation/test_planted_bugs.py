"""Every law of the simulation is broken by a bug planted for it: the laws can fail."""

import pytest

from tests.simulation import laws
from tests.simulation.history import History
from tests.simulation.laws import Broken
from tests.simulation.planted import PLANTED, RARE

SEEDS_MAX = 200  # most bugs need by far less
SEEDS_OF_THE_RARE_MAX = 4_000


def noticed(name: str, most: int) -> None:
    """Run seed after seed until the planted bug is noticed, by a law that may notice it."""
    with pytest.MonkeyPatch.context() as patch:
        PLANTED[name].plant(patch)
        for seed in range(most):
            try:
                History(seed).run()
            except Broken as broken:
                if broken.law not in PLANTED[name].noticed_by:
                    raise
                print(f"{name}: seed {seed}: {broken}")  # noqa: T201  # where to look
                return
    pytest.fail(f"{name} was not noticed in {most} histories")


@pytest.mark.parametrize("name", sorted(set(PLANTED) - RARE))
def test_a_planted_bug_is_noticed(name: str) -> None:
    noticed(name, SEEDS_MAX)


@pytest.mark.prove
@pytest.mark.parametrize("name", sorted(RARE))
def test_a_planted_bug_that_shows_rarely_is_noticed(name: str) -> None:
    noticed(name, SEEDS_OF_THE_RARE_MAX)


def test_every_law_has_a_planted_bug() -> None:
    every = {sentence for name, sentence in vars(laws).items() if name.isupper()}

    assert every == {law for planted in PLANTED.values() for law in planted.noticed_by}
