"""What intake tells at home: what happened to a case of its own agency."""

from datetime import date
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, WithJsonSchema

from contracts.codes import (
    SENSITIVE_NEEDS,
    AgeBand,
    CompetenceArea,
    Destination,
    LegalBasis,
    Need,
    PauseReason,
    Phase,
    Service,
    Sphere,
    TargetGroup,
)
from contracts.events import CODES_MAX, ITEMS_MAX, Event, Part, Sha256, SubjectKind, TopicKind
from contracts.ids import CaseId, DutyId, HandoverRef, ItemId, PersonId, ReleaseId


def _not_sensitive(need: Need) -> Need:
    if need in SENSITIVE_NEEDS:
        raise ValueError("a sensitive need is told on no topic")
    return need


# The schema lists the codes that are left, so that partners see the rule and not only its refusal.
TellableNeed = Annotated[
    Need,
    AfterValidator(_not_sensitive),
    WithJsonSchema({"type": "string", "enum": [need.value for need in Need if need not in SENSITIVE_NEEDS]}),
]


class CaseEvent(Event):
    """Told on intake's own topic; the key is the case, so everything about one case stays in order."""

    owner: ClassVar[Service] = Service.INTAKE
    topic: ClassVar[TopicKind] = TopicKind.OWN
    subject_kind: ClassVar[SubjectKind] = SubjectKind.CASES
    key_field: ClassVar[str] = "case"

    case: CaseId


class CaseRegistered(CaseEvent):
    """A case has a person. Consent learns whose it is; `handover` is set where the case came by one."""

    type: ClassVar[str] = "staffel.case.registered.v1"

    person: PersonId
    sphere: Sphere
    age_band: AgeBand
    handover: HandoverRef | None


class CaseAnnounced(CaseEvent):
    """An accepted handover opened a case in which nobody has a name yet; its id is the handover reference."""

    type: ClassVar[str] = "staffel.case.announced.v1"

    handover: HandoverRef


class CaseClarifying(CaseEvent):
    """Somebody is the contact person now and finds out whether the agency is responsible."""

    type: ClassVar[str] = "staffel.case.clarifying.v1"


class CaseFoundNotResponsible(CaseEvent):
    """The agency is not responsible; `area` says whose task it seems to be (§ 16 SGB I: to be forwarded at once)."""

    type: ClassVar[str] = "staffel.case.found_not_responsible.v1"

    area: CompetenceArea


class CasePaused(CaseEvent):
    """Work rests until a date: meanwhile the case cannot be handed over. It is told as activated again afterwards."""

    type: ClassVar[str] = "staffel.case.paused.v1"

    reason: PauseReason
    review_on: date


class CaseProfileEvent(CaseEvent):
    """What a preview may be made of. Sensitive needs are left out before it is told."""

    person: PersonId
    phase: Phase
    age_band: AgeBand
    needs: tuple[TellableNeed, ...] = Field(max_length=CODES_MAX)
    target_groups: tuple[TargetGroup, ...] = Field(max_length=CODES_MAX)


class CaseActivated(CaseProfileEvent):
    """The agency is responsible and works on the case: from now on the case can be handed over."""

    type: ClassVar[str] = "staffel.case.activated.v1"


class CaseChanged(CaseProfileEvent):
    """Phase, age band (at a birthday), needs or target groups are different now; the whole profile is told."""

    type: ClassVar[str] = "staffel.case.changed.v1"


class CaseClosed(CaseEvent):
    """Work ended here. Handover withdraws what is asked and requests cancellation of what is accepted."""

    type: ClassVar[str] = "staffel.case.closed.v1"

    destination: Destination


class CaseDiscarded(CaseEvent):
    """An announced case whose handover ended: nothing of it is kept."""

    type: ClassVar[str] = "staffel.case.discarded.v1"


class CaseHandedOver(CaseEvent):
    """The receiver has met the young person: this case no longer leads."""

    type: ClassVar[str] = "staffel.case.handed_over.v1"

    handover: HandoverRef


class CaseGuardianInformed(CaseEvent):
    """The guardian of somebody of 15 to 17 was informed that they have come here (§ 36(1) sentence 2 SGB I)."""

    type: ClassVar[str] = "staffel.case.guardian_informed.v1"


class StoredItem(Part):
    """An item as it was stored."""

    id: ItemId
    hash: Sha256


class CaseDossierStored(CaseEvent):
    """The dossier of a release is stored here; own consent confirms that to the sender."""

    type: ClassVar[str] = "staffel.case.dossier_stored.v1"

    handover: HandoverRef
    release: ReleaseId
    items: tuple[StoredItem, ...] = Field(max_length=ITEMS_MAX)


class CaseItemsErased(CaseEvent):
    """Received items are gone; `duty` is set where a withdrawal demanded it, and consent then answers the sender.

    `time_limit_of` is set where a norm lets such items be kept for a time that is over (§ 31a(3) SGB III).
    """

    type: ClassVar[str] = "staffel.case.items_erased.v1"

    handover: HandoverRef
    duty: DutyId | None
    items: tuple[ItemId, ...] = Field(max_length=ITEMS_MAX)
    time_limit_of: LegalBasis | None = None


EVENTS: tuple[type[Event], ...] = (
    CaseRegistered,
    CaseAnnounced,
    CaseClarifying,
    CaseFoundNotResponsible,
    CasePaused,
    CaseActivated,
    CaseChanged,
    CaseClosed,
    CaseDiscarded,
    CaseHandedOver,
    CaseGuardianInformed,
    CaseDossierStored,
    CaseItemsErased,
)
