"""Offers as tests need them: fit to be published unless a test says otherwise."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from chassis.transitions import Context
from contracts import offers as told
from contracts.codes import Access, OfferStatus, Payer, Phase, Sphere
from contracts.ids import AgencyId, AllianceId, OfferId
from contracts.new_ids import new_id
from services.offers.domain import Offer, State

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MUSTERLAND = AllianceId("musterland")
AUTHOR, REVIEWER = "editor-1", "editor-2"
CARRIER = UUID("01890000-0000-7000-8000-00000000c0de")


def at(moment: datetime = NOW) -> Context:
    """The time of a decision."""
    return Context(moment)


def content(offer: UUID | None = None, *, jba: dict[str, Any] | None = None, **changed: Any) -> told.Offer:
    """A whole offer; `jba` and the other words change single fields."""
    extension = {
        "sphere": Sphere.SGB_VIII,
        "legal_basis": ("§ 13 SGB VIII",),
        "payer": Payer.YOUTH_OFFICE,
        "phases": (Phase.FINAL_YEAR, Phase.TRANSITION),
        "access": Access.OPEN,
        "quality_owner": AgencyId("jugendamt"),
        **(jba or {}),
    }
    fields = {
        "id": OfferId(offer or new_id()),
        "name": "Jugendwerkstatt Holz",
        "status": OfferStatus.INACTIVE,
        "description": "Werkstatt mit sozialpädagogischer Begleitung",
        "assured_date": (NOW - timedelta(days=30)).date(),
        "last_modified": NOW,
        "organization": told.Organization(id=CARRIER, name="Die Brücke gGmbH", description="Freier Träger"),
        "contacts": (told.OfficeContact(id=new_id(), name="Anmeldung", email="anmeldung@bruecke.example"),),
        **changed,
    }
    return told.Offer(**fields, jba=told.Jba(**extension))


def an_offer(state: State = State.DRAFT, *, hands: tuple[str, ...] = (AUTHOR,), **changed: Any) -> Offer:
    """One of our offers, saved once; the other words change its content."""
    of = new_id()
    return Offer(
        of,
        frozenset({MUSTERLAND}),
        version=1,
        state=state,
        alliance=MUSTERLAND,
        hands=hands,
        content=content(of, **changed),
    )


def a_blank(offer: UUID | None = None) -> Offer:
    """What is not known here yet."""
    return Offer(offer or new_id(), frozenset({MUSTERLAND}))


def a_copy(owner: str = "agentur", **changed: Any) -> Offer:
    """Our copy of an offer of that agency."""
    return replace(an_offer(State.COPIED, hands=(), **changed), owner=AgencyId(owner))
