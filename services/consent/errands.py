"""What the consent service asks over the network between decisions: what the proposed items are."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from chassis.errands import Again, ErrandCall, ErrandFunction
from chassis.executor import Step
from contracts.ids import HandoverRef, ItemId
from services.consent.domain import READ_ITEMS
from services.consent.domain.commands import TakeFlags
from services.consent.door import Resources, UnreachableError, flags_of
from services.consent.store.persons import PERSON


async def read_items(call: ErrandCall) -> Step:
    """Categories and flags are on no topic: own intake is asked."""
    resources: Resources = call.resources
    items = [ItemId(UUID(item)) for item in call.about["items"].split(",")]
    try:
        flags = await flags_of(resources, items)
    except UnreachableError as error:
        raise Again("intake-unreachable") from error
    handover, proposal = HandoverRef(UUID(call.about["handover"])), UUID(call.about["proposal"])
    return Step(PERSON, call.subject, TakeFlags(handover, proposal, tuple(each.item() for each in flags)))


ERRANDS: Final[Mapping[str, ErrandFunction]] = {READ_ITEMS: read_items}
