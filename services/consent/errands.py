"""What the consent service asks over the network between decisions: what the proposed items are."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final
from uuid import UUID

from chassis.errands import Again, ErrandCall, Functions, Together
from chassis.executor import Step
from contracts.events import ITEMS_MAX
from contracts.ids import HandoverRef, ItemId
from services.consent.domain import READ_ITEMS
from services.consent.domain.commands import TakeFlags
from services.consent.door import Flags, UnreachableError, flags_of
from services.consent.store.persons import PERSON

PROPOSALS_MAX: Final = 200  # read in one go: some questions to own intake, well within the lease of an errand


async def read_items(calls: Sequence[ErrandCall]) -> Sequence[Step]:
    """Categories and flags are on no topic: own intake is asked, once for all proposals that wait."""
    proposed = [[ItemId(UUID(item)) for item in call.about["items"].split(",")] for call in calls]
    found: dict[ItemId, Flags] = {}
    for some in _asked_together(proposed):
        try:
            flags = await flags_of(calls[0].resources, some)
        except UnreachableError as error:
            raise Again("intake-unreachable") from error
        found |= {ItemId(each.id): each for each in flags}
    return [_taken(call, items, found) for call, items in zip(calls, proposed, strict=True)]


def _asked_together(proposed: Sequence[Sequence[ItemId]]) -> Iterable[Sequence[ItemId]]:
    """As few questions as possible, each with no more items than one may ask about."""
    items = list(dict.fromkeys(chain.from_iterable(proposed)))
    return (items[n : n + ITEMS_MAX] for n in range(0, len(items), ITEMS_MAX))


def _taken(call: ErrandCall, items: Sequence[ItemId], found: Mapping[ItemId, Flags]) -> Step:
    """What is in another person's case is as good as gone: no consent of this one is about it."""
    handover, proposal = HandoverRef(UUID(call.about["handover"])), UUID(call.about["proposal"])
    known = tuple(found[item].item() for item in items if item in found and found[item].about(call.subject))
    return Step(PERSON, call.subject, TakeFlags(handover, proposal, known))


ERRANDS: Final[Functions] = {READ_ITEMS: Together(read_items, PROPOSALS_MAX)}
