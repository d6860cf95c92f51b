"""What the offers service hears: the catalogues of the other agencies, copied word for word.

And what it remembers of its own words, where its database is older than they are.
"""

from collections.abc import Sequence
from typing import Final

from chassis.executor import Step
from chassis.inbox import Hear, Meta
from chassis.recovery.remembering import Memory
from contracts import topics
from contracts.ids import AllianceId
from contracts.offers import OfferCatalogueEvent, OfferDrafted, OfferMoved, OfferPublished, OfferRetired, OfferSuspended
from services.offers.domain import Copy, begun_or_moved, shown
from services.offers.store import OFFER


def copy(event: OfferCatalogueEvent, meta: Meta) -> Sequence[Step]:
    """The whole offer, as its owner tells it; whose it is says the topic, which only its owner can write."""
    owner = topics.parse(meta.topic).writer.agency
    return (Step(OFFER, event.key, Copy(owner=owner, alliance=AllianceId(meta.scope), content=event.offer)),)


HEARS: Final = tuple(Hear(told, copy, origin="common") for told in (OfferPublished, OfferSuspended, OfferRetired))
REMEMBERS: Final = (
    *(Memory(told, OFFER, shown) for told in (OfferPublished, OfferSuspended, OfferRetired)),
    *(Memory(told, OFFER, begun_or_moved) for told in (OfferDrafted, OfferMoved)),
)
