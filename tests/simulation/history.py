"""One history: what happens in a town while everything goes wrong, then nothing any more; chance is one seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Final

from contracts.codes import HandoverState as S
from contracts.codes import Service, Side
from tests.simulation.cases import Reception
from tests.simulation.editors import Editors
from tests.simulation.ends import judge
from tests.simulation.handovers import Caseworkers
from tests.simulation.laws import WORKED_ON, Broken
from tests.simulation.network import Faults
from tests.simulation.town import AGENCIES
from tests.simulation.world import World
from tests.simulation.young_people import YoungPeople, persons

LEAPS: Final = tuple(
    timedelta(seconds=seconds) for seconds in (0.5, 1, 2, 2, 6, 60, 3600, 86_400, 4 * 86_400, 12 * 86_400)
)
AT_REST: Final = frozenset({S.DRAFT, S.ACTIVE, S.PAUSED})  # nobody has to do anything soon
ROUNDS_MAX: Final = 400  # of three days: longer than every clock of the agreements together
PASSING_ON: Final = 0.8  # of all histories; in one of ten there is somebody who came by then
STEPS_OF_A_ROUND_MAX: Final = 20_000  # what is not quiet then never will be


@dataclass(frozen=True)
class Mood:
    """What a history is like: some are calm, some are not, in some nobody ever withdraws. Drawn from the seed."""

    faults: Faults
    people: int
    steps: int
    haste: float  # how often people act while messages wait
    leaps: float  # how often time leaps
    withdrawals: float
    passing_on: bool  # whether receivers hand over what came to them, before minds are changed

    @classmethod
    def drawn(cls, chance: Random) -> Mood:
        def some(most: float) -> float:
            return chance.choice((0.0, most / 3, most))

        return cls(
            Faults(some(0.2), some(0.2), some(0.2), some(0.08)), chance.randint(1, 3), chance.randint(60, 320),
            chance.uniform(0.5, 3), some(0.06), some(0.9), chance.random() < PASSING_ON,
        )


class History:
    """`run` raises `Broken` where a law does not hold."""

    def __init__(self, seed: int, story: list[str] | None = None) -> None:
        chance = Random(seed)  # noqa: S311  # chance of a test, from its seed
        self.mood = Mood.drawn(chance)
        self.world = World(chance, self.mood.faults, story)
        self.reception, self.caseworkers = Reception(self.world), Caseworkers(self.world)
        self.young_people, self.editors = YoungPeople(self.world), Editors(self.world)
        self.steps = 0
        self._sweepers = [desk for (_, service), desk in self.world.desks.items() if service is Service.CONSENT]

    def run(self) -> Counter[str]:
        """All of it; what was seen."""
        self.editors.begin()
        for _ in range(self.mood.people):
            self.reception.register(self.world.chance.choice(AGENCIES))
        for _ in range(self.mood.steps):
            self._step()
        self.world.without_faults()
        self._settle()
        judge(self.world)
        return self.world.witness.seen

    # --- while everything goes wrong ----------------------------------------------------------------------------------

    def _step(self) -> None:
        """One thing happens, somewhere."""
        self.steps += 1
        world, chance, mood = self.world, self.world.chance, self.mood
        leap = chance.random() < (mood.leaps + 0.05 if world.releasing else mood.leaps)
        world.clock.advance(chance.choice(LEAPS) if leap else timedelta(milliseconds=chance.randint(1, 120)))
        ways: list[tuple[float, Callable[[], None]]] = [(mood.haste, self._somebody_acts)]
        if world.network.pending:
            ways.append((3, world.deliver))
        if speaking := world.speaking():
            ways.append((2, lambda: world.relay(chance.choice(speaking))))
        if world.running:
            ways.append((3, lambda: world.go_on(chance.randrange(len(world.running)))))
        if errands := world.due_errands():
            ways.append((2, lambda: world.run(*chance.choice(errands))))
        if world.is_due():
            ways.append((1, world.strike))
        chance.choices([way for _, way in ways], [weight for weight, _ in ways])[0]()

    def _somebody_acts(self) -> None:
        ways = (
            (8.0, self.caseworkers.act),
            (1.0, self.caseworkers.draft),
            (2.0, self.young_people.give),
            (self.mood.withdrawals * (4 if self.world.releasing else 1), self.young_people.take_back),
            (0.3, self.young_people.answer_one),
            (1.0, self.reception.act),
            (0.4, self.editors.act),
            (0.2, self._sweep),
        )
        self.world.chance.choices([way for _, way in ways], [weight for weight, _ in ways])[0]()

    def _sweep(self) -> None:
        desk = self.world.chance.choice(self._sweepers)
        self.world.start_sweeper(desk)

    # --- when nothing goes wrong any more -----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Until all is quiet: everything arrives, the clocks strike, people do what they have promised."""
        world = self.world
        self._drain()
        if self.mood.passing_on:
            self._pass_on()
        if self.mood.withdrawals:
            self.young_people.change_their_minds()
            self.caseworkers.settle()  # at the same time: ends that cross
        for _ in range(ROUNDS_MAX):
            self._drain()
            for desk in self._sweepers:
                if persons(desk).untold() or persons(desk).intents:
                    world.start_sweeper(desk)
            self.caseworkers.settle()
            self.young_people.answer_duties()
            self._drain()
            if self._quiet():
                return
            world.clock.advance(timedelta(days=3))
        raise Broken(WORKED_ON, "it is never quiet")

    def _pass_on(self) -> None:
        """Whoever was met is worked with, and what came with them goes on to a third agency."""
        self.caseworkers.settle()
        self._drain()
        came = self.reception.begin_with_those_who_came()
        self._drain()
        for agency, case in came:
            desk, copy = self.caseworkers.draft_onward(agency, case)
            if copy is not None:
                self.young_people.agree_to(copy, agency, case)
                self.caseworkers.speak(desk, copy, "Propose")
        self._drain()
        for desk, copy in self.caseworkers.open_copies():
            if (copy.state, copy.side) == (S.REQUESTED, Side.RECEIVER):
                self.caseworkers.speak(desk, copy, "Accept")
        self._drain()

    def _quiet(self) -> bool:
        """Whether nothing is left that has to happen."""
        at_rest = all(copy.state in AT_REST for _, copy in self.caseworkers.open_copies())
        return at_rest and not self.young_people.owed()

    def _drain(self) -> None:
        """Everything that is on its way arrives, everything under way ends."""
        for _ in range(STEPS_OF_A_ROUND_MAX):
            if not self._machine_goes_on():
                return
            self.steps += 1
        raise Broken(WORKED_ON, "machines talk for ever")

    def _machine_goes_on(self) -> bool:
        world = self.world
        if world.network.pending:
            world.deliver()
        elif speaking := world.speaking():
            world.relay(world.chance.choice(speaking))
        elif world.running:
            world.clock.advance(timedelta(milliseconds=100 if world.releasing else 1000))
            world.go_on(world.chance.randrange(len(world.running)))
        elif world.is_due():
            world.strike()
        else:
            return self._next_errand()
        return True

    def _next_errand(self) -> bool:
        """The errand whose time comes next."""
        waiting = [(each.next_at, desk, each) for desk in self.world.desks.values() for each in desk.errands.values()]
        if not waiting:
            return False
        next_at, desk, each = min(waiting, key=lambda item: item[0])
        self.world.clock.advance(max(next_at - self.world.clock.now, timedelta()))
        self.world.run(desk, each)
        return True
