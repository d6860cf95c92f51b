"""Sees everything that happens in a history, writes its own record of it, and says at once where a law is broken.

Nothing here is asked by a service: the record of what was told, heard and moved is the witness's own.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from chassis.inbox import Fate, Heard
from contracts.codes import HandoverState as S
from contracts.codes import Side
from contracts.handover import HandoverFirstContactMade
from services.consent.door.releasing import OPEN
from services.handover.domain import Handover
from services.handover.store import HANDOVER
from tests.simulation.laws import ENDS_STAY, FAIR, IN_ORDER, LEAD, NOT_PARKED, ONCE, ONE_BATON, Broken

if TYPE_CHECKING:
    from chassis.envelope import Envelope
    from chassis.transitions import Refused, Tell
    from tests.simulation.desk import Desk, Transaction

MAY_MOVE_THE_LEAD = frozenset({
    S.PROPOSED, S.AWAITING_BASIS, S.REQUESTED, S.INQUIRY, S.WAITLISTED, S.REDIRECTING, S.ACCEPTED, S.CANCELLING,
    S.ACTIVE, S.PAUSED,
})
BY_A_HOLE = frozenset({"gap", "behind"})


class Witness:
    """`roots`: the case each case descends from; a receiver's case is known by the handover that brings it."""

    def __init__(self) -> None:
        self.roots: dict[UUID, UUID] = {}
        self.leads: Counter[UUID] = Counter()
        self.word_on_its_way: Counter[UUID] = Counter()
        self.heard: set[tuple[str, UUID]] = set()
        self.last_seq: dict[tuple[str, str, UUID], int] = {}
        self.copies: list[tuple[Desk, UUID]] = []
        self.shut_since: dict[UUID, datetime] = {}
        self.seen: Counter[str] = Counter()
        self._gone: set[UUID | None] = set()
        self._open_of: dict[tuple[str, UUID], set[UUID]] = {}

    # --- what happened ------------------------------------------------------------------------------------------------

    def began(self, case: UUID) -> None:
        """A case was registered by hand: its agency is in charge."""
        self.roots[case] = case
        self.leads[case] = 1

    def told(self, tell: Tell, envelope: Envelope) -> None:
        if isinstance(tell.fact, HandoverFirstContactMade):
            self.word_on_its_way[self.roots[tell.fact.handover]] += 1
        self.seen[envelope.type] += 1

    def judged(
        self, desk: Desk, heard: Heard, fate: Fate, error_class: str, outcome: Transaction | Refused | None
    ) -> None:
        """What became of a record at this consumer."""
        meta = heard.meta
        self.seen[f"fate {fate.value} {error_class}".strip()] += 1
        if fate is Fate.PARK and error_class not in BY_A_HOLE:
            raise Broken(NOT_PARKED, f"{meta.type} at {desk.name}: {error_class}")
        if fate is not Fate.APPLIED:
            return
        if not hasattr(outcome, "decided"):
            raise Broken(NOT_PARKED, f"{meta.type} at {desk.name}: {outcome}")
        if (desk.name, meta.id) in self.heard:
            raise Broken(ONCE, f"{meta.type} at {desk.name}")
        self.heard.add((desk.name, meta.id))
        lane = (desk.name, meta.topic, meta.subject)
        before, self.last_seq[lane] = self.last_seq.get(lane, 0), meta.seq
        whole_objects = desk.wired.sources[meta.topic].origin == "common"
        if meta.seq <= before or (meta.seq != before + 1 and not whole_objects and self._all_heard(desk, heard)):
            raise Broken(IN_ORDER, f"{meta.type} at {desk.name}: {meta.seq} after {before}")
        if isinstance(heard.event, HandoverFirstContactMade):
            self.word_on_its_way[self.roots[heard.event.handover]] -= 1

    @staticmethod
    def _all_heard(desk: Desk, heard: Heard) -> bool:
        """Whether this consumer hears every type that is told in this lane: else numbers are passed by."""
        return desk.wired.sources[heard.meta.topic].origin == "channel"

    def saved(self, desk: Desk, kind: str, before: Any, after: Any) -> None:
        """A subject has changed."""
        if kind == HANDOVER:
            self._moved(desk, before, after)

    def committed(self, made: Transaction) -> None:
        """A transaction is over: the laws about every moment."""
        for kind, subject in made.after:
            root = self.roots.get(subject) if kind == HANDOVER else None
            if root is None:
                continue
            leads, travelling = self.leads[root], self.word_on_its_way[root]
            if leads < 1 or leads != 1 + travelling:
                raise Broken(LEAD, f"{leads} in charge, {travelling} words of a first contact on their way")

    # --- the two laws about handovers ---------------------------------------------------------------------------------

    def _moved(self, desk: Desk, before: Handover, after: Handover) -> None:
        if before.ended and before.state is not after.state:
            raise Broken(ENDS_STAY, f"{before.state} → {after.state}")
        if before.state is S.NONE:
            self.copies.append((desk, after.id))
            if after.case is not None:  # a draft: the sender leads already
                self.seen["a case that came is handed on"] += self.roots[after.case] != after.case
                self.roots[after.id] = self.roots[after.case]
                before = after
        self.seen[f"{after.side} {after.state}"] += 1
        self._note_lead(before, after)
        if after.side is Side.SENDER:
            self._note_door(desk, after)
            self._check_clock(desk, before, after)
            self._check_baton(desk, after)

    def _note_lead(self, before: Handover, after: Handover) -> None:
        """A receiver takes the lead once; a sender's case loses it once, whichever handover it went by."""
        if after.lead and not before.lead:
            self.leads[self.roots[after.id]] += 1
        elif before.lead and not after.lead and after.case not in self._gone:
            self._gone.add(after.case)
            self.leads[self.roots[after.id]] -= 1

    def _note_door(self, desk: Desk, after: Handover) -> None:
        if after.state in OPEN:
            self.shut_since.pop(after.id, None)
        else:
            self.shut_since.setdefault(after.id, desk.world.clock.now)

    @staticmethod
    def _check_clock(desk: Desk, before: Handover, after: Handover) -> None:
        if after.state is S.EXPIRED and before.state is not S.EXPIRED:
            sent = desk.world.network.sent(after.matter.counterpart, desk.agency, after.id)
            heard = desk.world.witness.heard
            unread = [each for each in sent if (desk.name, cast("Envelope", each.envelope).id) not in heard]
            if unread:
                raise Broken(FAIR, f"{len(unread)} facts lay unread at {desk.name}")

    def _check_baton(self, desk: Desk, after: Handover) -> None:
        assert after.case is not None
        mine = self._open_of.setdefault((desk.name, after.case), set())
        if after.state in MAY_MOVE_THE_LEAD or after.awaits_word:
            mine.add(after.id)
        else:
            mine.discard(after.id)
        if len(mine) > 1:
            raise Broken(ONE_BATON, f"{len(mine)} open handovers of one case at {desk.name}")
