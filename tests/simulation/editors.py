"""The editors of the catalogues: they draft, review, publish, suspend and retire offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from chassis.transitions import Step
from contracts import offers as told
from contracts.codes import Access, OfferStatus, Payer, Phase, Service, Sphere
from contracts.ids import AgencyId, OfferId
from services.offers import domain as say
from services.offers.store import OFFER
from tests.simulation.town import AGENCIES, ALLIANCE

if TYPE_CHECKING:
    from tests.simulation.rooms import Offers
    from tests.simulation.world import World

NEXT: Final = {
    say.State.DRAFT: (say.Submit("editor-1"),),
    say.State.IN_REVIEW: (say.Publish("editor-2"), say.Publish("editor-2"), say.Reject()),
    say.State.PUBLISHED: (say.Suspend(), say.Suspend(), say.Retire()),
    say.State.SUSPENDED: (say.Resume(), say.Resume(), say.Retire()),
}


class Editors:
    """Everybody who writes a catalogue."""

    def __init__(self, world: World) -> None:
        self._world = world

    def begin(self) -> None:
        """An offer is in the catalogue already."""
        agency, offer = self._world.chance.choice(AGENCIES), self._world.clock.new_id()
        draft = say.Draft("editor-1", ALLIANCE.id, self._content(offer, agency))
        for command in (draft, say.Submit("editor-1"), say.Publish("editor-2")):
            self._world.desks[agency, Service.OFFERS].ask(Step(OFFER, offer, command))

    def act(self) -> None:
        """Somebody moves an offer on, or begins one."""
        agency = self._world.chance.choice(AGENCIES)
        desk = self._world.desks[agency, Service.OFFERS]
        mine = [offer for offer in cast("Offers", desk.rooms.kinds[OFFER]).rows.values() if offer.state in NEXT]
        if not mine:
            offer = self._world.clock.new_id()
            desk.ask(Step(OFFER, offer, say.Draft("editor-1", ALLIANCE.id, self._content(offer, agency))))
            return
        chosen = self._world.chance.choice(mine)
        desk.ask(Step(OFFER, chosen.id, self._world.chance.choice(NEXT[chosen.state])))

    def _content(self, offer: UUID, agency: AgencyId) -> told.Offer:
        now = self._world.clock.now
        return told.Offer(
            id=OfferId(offer),
            name="Jugendwerkstatt Holz",
            status=OfferStatus.INACTIVE,
            description="Werkstatt mit Begleitung",
            assured_date=now.date(),
            last_modified=now,
            organization=told.Organization(id=UUID(int=7), name="Die Brücke gGmbH", description="Freier Träger"),
            contacts=(told.OfficeContact(id=UUID(int=8), name="Anmeldung", email="anmeldung@bruecke.example"),),
            jba=told.Jba(
                sphere=Sphere.SGB_VIII,
                legal_basis=("§ 13 SGB VIII",),
                payer=Payer.YOUTH_OFFICE,
                phases=(Phase.TRANSITION,),
                access=Access.OPEN,
                quality_owner=agency,
            ),
        )
