"""One case, a handover to B and one to C: never do two of them lead, and the case is never lost.

Only what bears on the lead: no door, nothing held, no answers on data, no redelivery. Under the table's law the case
has one lead at the sender and one reservation, by the rule of README.md, "Two receivers"; under the service's law the
reservation is what the service asks for and frees. B and C are alike: a moment and its mirror image count as one.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from tests.models.explore_handover import Explorer, World
from tests.models.laws import Act, Broken, Law, ReceiverCopy
from tests.models.protocol import ENDS, ProtocolRow

WRONG_WAYS = ("though a word is awaited", "without the lead", "though another is open")
NOT_THE_LEAD = frozenset({"AnswerOnData", "DataAnswered"})


class Case(NamedTuple):
    """Which of the two handovers holds the reservation, and what the two are (by number)."""

    holder: int | None
    pair: tuple[int, int]


class FoundTwo(NamedTuple):
    """What a run has seen; `handovers` counts the different states of one handover."""

    states: int
    steps: int
    handovers: int
    fired: frozenset[tuple[str, str, str]]


def bear_on_the_lead(rows: tuple[ProtocolRow, ...]) -> tuple[ProtocolRow, ...]:
    """The rows of this run."""
    return tuple(row for row in rows if row.from_ != "door" and row.on not in NOT_THE_LEAD)


class TwoReceivers:
    """The moments of one case with two handovers."""

    def __init__(self, law: Law, ask: str = "the rule", room: int = 3) -> None:
        self.explorer, self._law, self._ask = Explorer(law, room=room), law, ask
        self.handovers: list[World] = []
        self._number: dict[World, int] = {}
        self._known: dict[int, list[tuple[int, Act | None]]] = {}

    def start(self) -> Case:
        draft = self.numbered(World(self._law.begins, ReceiverCopy("none", False, "none", "-", "nothing")))
        return Case(None, (draft, draft))

    def numbered(self, world: World) -> int:
        """The number of a handover's state, without what cannot touch the lead."""
        sender = world.sender._replace(duty="none", recorded="-", asked=False)
        receiver = world.receiver._replace(duty="none", recorded="-", holds="nothing")
        world = world._replace(sender=sender, receiver=receiver)
        if world not in self._number:
            self._number[world] = len(self.handovers)
            self.handovers.append(world)
        return self._number[world]

    def _then(self, mine: int) -> list[tuple[int, Act | None]]:
        if mine not in self._known:
            steps = self.explorer.steps(self.handovers[mine])
            self._known[mine] = [(self.numbered(world), act) for world, act in steps]
        return self._known[mine]

    def steps(self, case: Case) -> Iterator[Case]:
        """Every moment that can come next."""
        for i, mine in enumerate(case.pair):
            before = self.handovers[mine].sender
            for at, act in self._then(mine):
                after, holder, other = self.handovers[at].sender, case.holder, case.pair[1 - i]
                if act is not None and act.takes:
                    if not self._may_ask(case.holder, i, lead=before.lead):
                        continue
                    holder = i
                if act is not None and holder == i and self._frees(act, ended=after.state in ENDS):
                    holder = None
                if self._law.case_lead_is_shared and after.lead != before.lead:
                    other = self._with_lead(other, lead=after.lead)
                yield _sorted(holder, i, at, other)

    def _may_ask(self, holder: int | None, i: int, *, lead: bool) -> bool:
        if not lead and self._ask != "without the lead":
            return False
        return holder in (None, i) or self._ask == "though another is open"

    def _frees(self, act: Act, *, ended: bool) -> bool:
        return act.frees or (ended and self._ask == "though a word is awaited")

    def _with_lead(self, mine: int, *, lead: bool) -> int:
        world = self.handovers[mine]
        return self.numbered(world._replace(sender=world.sender._replace(lead=lead)))

    def check(self, case: Case) -> None:
        """The promises about one case."""
        both = [self.handovers[mine] for mine in case.pair]
        lead, receivers = all(world.sender.lead for world in both), [world.receiver.lead for world in both]
        if all(receivers):
            raise Broken("two receivers lead")
        if not (lead or any(receivers)):
            raise Broken("nobody leads")
        if [lead and there for there in receivers] != ["FirstContactMade" in w.to_sender.messages for w in both]:
            raise Broken("both sides lead without a first contact on its way, or the other way round")
        if any(world.to_receiver.messages or world.to_sender.messages for world in both):
            return
        if lead + sum(receivers) != 1:
            raise Broken("all is quiet, and not exactly one leads")
        if case.holder is not None and both[case.holder].sender.lead and both[case.holder].sender.state in ENDS:
            raise Broken("all is quiet, and the case stays reserved for a handover that has ended")


def _sorted(holder: int | None, i: int, at: int, other: int) -> Case:
    """B and C are alike: the higher number stands second."""
    if at > other:
        return Case(None if holder is None else int(holder == i), (other, at))
    return Case(None if holder is None else int(holder != i), (at, other))


def explore_two(law: Law, ask: str = "the rule", room: int = 3) -> FoundTwo:
    """One case with two handovers, until nothing new happens."""
    run = TwoReceivers(law, ask, room)
    at = run.start()
    came_from: dict[Case, Case | None] = {at: None}
    todo, steps = deque([at]), 0
    try:
        while todo:
            at = todo.popleft()
            run.check(at)
            for then in run.steps(at):
                steps += 1
                if then not in came_from:
                    came_from[then] = at
                    todo.append(then)
    except Broken as broken:
        broken.path = []
        back: Case | None = at
        while back is not None:
            broken.path.append(back)
            back = came_from[back]
        raise
    return FoundTwo(len(came_from), steps, len(run.handovers), frozenset(run.explorer.fired))
