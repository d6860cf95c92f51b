"""What offers tells: at home that a draft moved, in the catalogue whole offers, which are public information.

An offer is a service of HSDS 3.0 (field names and nesting are HSDS's own) plus the extension `jba`. Free text is
allowed here and nowhere else; contacts are functional: an office, never a person.
"""

from datetime import date
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field, SerializerFunctionWrapHandler, StringConstraints, model_serializer

from contracts.codes import (
    Access,
    Audience,
    Mode,
    Need,
    OfferState,
    OfferStatus,
    Payer,
    Phase,
    Service,
    Sphere,
    TargetGroup,
)
from contracts.events import CODES_MAX, Event, Instant, Part, SubjectKind, TopicKind
from contracts.ids import AgencyId, AllianceId, OfferId

PARTS_MAX = 20
Line = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=200)]
Web = Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=500)]
Years = Annotated[int, Field(ge=0, le=120)]
Weeks = Annotated[int, Field(ge=1, le=520)]


class HsdsPart(Part):
    """A piece of an offer. HSDS knows no null: what is not there is left out, wherever an offer is written."""

    @model_serializer(mode="wrap")
    def _without_nulls(self, written: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {name: value for name, value in written(self).items() if value is not None}


class Phone(HsdsPart):
    """HSDS phone."""

    id: UUID
    number: Line
    description: Line | None = None


class OfficeContact(HsdsPart):
    """HSDS contact, of a function: `name` is the office's."""

    id: UUID
    name: Line
    department: Line | None = None
    email: Email | None = None


class Organization(HsdsPart):
    """HSDS organization: who carries the offer out. In our own words that is a provider, not an agency."""

    id: UUID
    name: Line
    description: Text


class SpokenLanguage(HsdsPart):
    """HSDS language; `code` is ISO 639-1."""

    id: UUID
    name: Line
    code: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]


class ServiceArea(HsdsPart):
    """HSDS service_area."""

    id: UUID
    name: Line
    description: Text | None = None


class CostOption(HsdsPart):
    """HSDS cost_option: what a young person has to pay."""

    id: UUID
    option: Line
    amount_description: Line | None = None


class RequiredDocument(HsdsPart):
    """HSDS required_document."""

    id: UUID
    document: Line


class Jba(HsdsPart):
    """What a youth employment agency must know beside HSDS: whose law, who pays, for whom, for how long."""

    sphere: Sphere
    legal_basis: tuple[Line, ...] = Field(default=(), max_length=PARTS_MAX)  # norms, for example "§ 16h SGB II"
    programme: Line | None = None  # where no norm carries it
    payer: Payer
    payer_rule: Text | None = None
    phases: tuple[Phase, ...] = Field(default=(), max_length=CODES_MAX)
    audience: tuple[Audience, ...] = Field(default=(Audience.YOUNG_PERSON,), max_length=CODES_MAX)
    target_groups: tuple[TargetGroup, ...] = Field(default=(), max_length=CODES_MAX)
    need_categories: tuple[Need, ...] = Field(default=(), max_length=CODES_MAX)
    access: Access
    mode: tuple[Mode, ...] = Field(default=(Mode.ON_SITE,), max_length=CODES_MAX)
    duration_min_weeks: Weeks | None = None
    duration_max_weeks: Weeks | None = None
    extendable: bool = False
    flexible: bool = False
    funding_until: date | None = None
    quality_owner: AgencyId | None = None
    quality_standard_ref: Line | None = None
    mandatory: bool = False
    evaluation_due: date | None = None


class Offer(HsdsPart):
    """One offer as the catalogue shows it."""

    id: OfferId
    name: Line
    status: OfferStatus
    description: Text
    alternate_name: Line | None = None
    url: Web | None = None
    email: Email | None = None
    application_process: Text | None = None
    eligibility_description: Text | None = None
    fees_description: Text | None = None
    wait_time: Line | None = None
    alert: Text | None = None
    minimum_age: Years | None = None
    maximum_age: Years | None = None
    assured_date: date | None = None
    assurer_email: Email | None = None
    last_modified: Instant
    organization: Organization
    contacts: tuple[OfficeContact, ...] = Field(default=(), max_length=PARTS_MAX)
    phones: tuple[Phone, ...] = Field(default=(), max_length=PARTS_MAX)
    languages: tuple[SpokenLanguage, ...] = Field(default=(), max_length=PARTS_MAX)
    service_areas: tuple[ServiceArea, ...] = Field(default=(), max_length=PARTS_MAX)
    cost_options: tuple[CostOption, ...] = Field(default=(), max_length=PARTS_MAX)
    required_documents: tuple[RequiredDocument, ...] = Field(default=(), max_length=PARTS_MAX)
    jba: Jba


class OfferOwnEvent(Event):
    """Told at home: ids and states only, the text is in the catalogue."""

    owner: ClassVar[Service] = Service.OFFERS
    topic: ClassVar[TopicKind] = TopicKind.OWN
    subject_kind: ClassVar[SubjectKind] = SubjectKind.OFFERS
    key_field: ClassVar[str] = "offer"

    offer: OfferId


class OfferDrafted(OfferOwnEvent):
    """Somebody began to write an offer for the catalogue of that alliance."""

    type: ClassVar[str] = "staffel.offer.drafted.v1"

    alliance: AllianceId


class OfferMoved(OfferOwnEvent):
    """An offer went from one state to another."""

    type: ClassVar[str] = "staffel.offer.moved.v1"

    before: OfferState
    state: OfferState


class OfferCatalogueEvent(Event):
    """Told to the whole alliance on the compacted catalogue: the whole offer each time, the latest counts."""

    owner: ClassVar[Service] = Service.OFFERS
    topic: ClassVar[TopicKind] = TopicKind.CATALOGUE
    subject_kind: ClassVar[SubjectKind] = SubjectKind.OFFERS
    key_field: ClassVar[str] = "offer.id"

    offer: Offer


class OfferPublished(OfferCatalogueEvent):
    """An offer is in the catalogue now, in this wording."""

    type: ClassVar[str] = "staffel.offer.published.v1"


class OfferSuspended(OfferCatalogueEvent):
    """For the time being nobody can be taken (HSDS: temporarily closed)."""

    type: ClassVar[str] = "staffel.offer.suspended.v1"


class OfferRetired(OfferCatalogueEvent):
    """An offer is no more (HSDS: defunct)."""

    type: ClassVar[str] = "staffel.offer.retired.v1"


EVENTS: tuple[type[Event], ...] = (OfferDrafted, OfferMoved, OfferPublished, OfferSuspended, OfferRetired)
