"""What caseworkers of either side may say about a handover, what they fill in, and how likely each word is."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from contracts.codes import (
    CancelReason,
    ContactChannel,
    DataCategory,
    Outcome,
    PauseReason,
    RejectReason,
    Verdict,
)
from services.handover.domain import Handover
from services.handover.domain import commands as say
from services.handover.domain.commands import Attempt, Command
from tests.simulation.town import AGENCIES


class Moment(NamedTuple):
    """What somebody at a desk looks at."""

    chance: Random
    now: datetime
    copy: Handover


class Word(NamedTuple):
    """A command, and how often it is chosen beside the others of a state."""

    weight: float
    fill: Callable[[Moment], Command | None]


def _in_days(at: Moment, most: int) -> datetime:
    return at.now + timedelta(days=at.chance.randint(1, most))


def _propose(at: Moment) -> Command | None:
    return None if at.copy.case is None else say.Propose(at.copy.case)


def _cut(at: Moment) -> Command | None:
    permitted = {each.id for each in at.copy.verdicts if each.verdict is Verdict.PERMIT}
    keep = tuple(item for item in at.copy.items if item in permitted)
    if not keep or at.chance.random() < 0.2:
        keep = tuple(at.chance.sample(at.copy.items, at.chance.randint(1, len(at.copy.items))))
    return say.CutPackage(keep)


def _redirect(at: Moment) -> Command:
    return say.ProposeRedirect(at.chance.choice(AGENCIES))


def _not_reached(at: Moment) -> Command:
    ways = (ContactChannel.PHONE, ContactChannel.LETTER, ContactChannel.PHONE)
    return say.RecordNotReached(tuple(Attempt(at.now - timedelta(days=n), way) for n, way in enumerate(ways, 1)))


def _contact(at: Moment) -> Command:
    return say.RecordFirstContact(at.now - timedelta(minutes=5), ContactChannel.IN_PERSON)


WORDS: Final[Mapping[str, Word]] = {
    "Propose": Word(8, _propose),
    "CutPackage": Word(1.5, _cut),
    "Discard": Word(0.15, lambda at: say.Discard()),
    "Withdraw": Word(0.3, lambda at: say.Withdraw()),
    "Answer": Word(4, lambda at: say.Answer()),
    "ConfirmRedirect": Word(3, lambda at: say.ConfirmRedirect()),
    "RequestCancel": Word(2, lambda at: say.RequestCancel(CancelReason.OTHER)),
    "Accept": Word(8, lambda at: say.Accept()),
    "Reject": Word(0.7, lambda at: say.Reject(RejectReason.NO_CAPACITY)),
    "Ask": Word(1, lambda at: say.Ask((DataCategory.SCHOOL,))),
    "Waitlist": Word(1, lambda at: say.Waitlist(_in_days(at, 30).date())),
    "ProposeRedirect": Word(1.5, _redirect),
    "RecordFirstContact": Word(5, _contact),
    "RecordNotReached": Word(0.7, _not_reached),
    "GiveBack": Word(0.7, lambda at: say.GiveBack(RejectReason.NOT_COMPETENT)),
    "ConfirmCancel": Word(3, lambda at: say.ConfirmCancel()),
    "DenyCancel": Word(3, lambda at: say.DenyCancel()),
    "Pause": Word(1, lambda at: say.Pause(PauseReason.ILLNESS, _in_days(at, 60).date())),
    "Resume": Word(3, lambda at: say.Resume()),
    "Complete": Word(1, lambda at: say.Complete(Outcome.SUPPORT_FINISHED)),
}
PATIENCE: Final = 4.0  # how often people wait for what is on its way
VOID: Final = Word(0.3, lambda at: None)  # a team lead's word, and a process: its answer waits


def chosen(at: Moment, allowed: tuple[str, ...]) -> str | None:
    """One of the commands that are allowed now, the likelier ones more often."""
    names = [name for name in allowed if name in WORDS or name == "Void"]
    if not names:
        return None
    weights = [(WORDS.get(name) or VOID).weight for name in names]
    return at.chance.choices([*names, None], [*weights, PATIENCE])[0]
