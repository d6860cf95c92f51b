"""What can be asked of a case: by people, by the clock, and by what intake hears."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from contracts.codes import (
    AgeBand,
    CompetenceArea,
    ContactChannel,
    Destination,
    LegalBasis,
    Need,
    PauseReason,
    Phase,
    Sphere,
    TargetGroup,
)
from contracts.ids import AgencyId, AllianceId, DutyId, HandoverRef, ItemId, ReleaseId
from services.intake.domain.case import Contact, DossierReason, RecordedNeed
from services.intake.domain.information import Exemption
from services.intake.domain.items import Item
from services.intake.domain.persons import Person
from services.intake.domain.phases import SchoolFacts

# --- asked by people --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Register:
    """Somebody has come (or, for an announced case, came before the dossier): who, what is known, what is wanted."""

    by: str
    sphere: Sphere
    person: Person
    items: tuple[Item, ...] = ()
    needs: tuple[RecordedNeed, ...] = ()
    no_needs: bool = False
    target_groups: frozenset[TargetGroup] = frozenset()
    school: SchoolFacts | None = None
    local_number: str | None = None  # None: one is made from the case id


@dataclass(frozen=True, slots=True)
class AssignContactPerson:
    """Who in this agency the young person talks to."""

    contact_person: str


@dataclass(frozen=True, slots=True)
class RecordContact:
    """The young person was tried to be reached, or was."""

    contact: Contact


@dataclass(frozen=True, slots=True)
class RecordNeed:
    """A need is seen, or seen differently."""

    need: RecordedNeed


@dataclass(frozen=True, slots=True)
class ResolveNeed:
    """A need is no longer there."""

    code: Need


@dataclass(frozen=True, slots=True)
class RecordSchoolFacts:
    """How it stands with school and training; the phase follows by rule and replaces one set by hand."""

    by: str
    school: SchoolFacts


@dataclass(frozen=True, slots=True)
class OverridePhase:
    """The rule does not fit this life: another phase, with the reason in words."""

    by: str
    phase: Phase
    reason: str


@dataclass(frozen=True, slots=True)
class AddItems:
    """More is known."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class ProtectAddress:
    """The register blocks information about the address (§ 51 BMG), or no longer does."""

    protected: bool


@dataclass(frozen=True, slots=True)
class ConfirmResponsibility:
    """Yes, it is ours: work begins. `no_needs`: it was asked, and there are none."""

    no_needs: bool = False


@dataclass(frozen=True, slots=True)
class DeclareNotResponsible:
    """It is somebody else's task; the application is to be forwarded at once (§ 16(2) SGB I)."""

    area: CompetenceArea


@dataclass(frozen=True, slots=True)
class Pause:
    """Work rests until a day on which somebody looks again."""

    reason: PauseReason
    review_on: date


@dataclass(frozen=True, slots=True)
class Resume:
    """Work goes on."""


@dataclass(frozen=True, slots=True)
class Close:
    """Work ends here; where the young person went is always said, `unknown` too."""

    destination: Destination


@dataclass(frozen=True, slots=True)
class Reopen:
    """Work begins again, within `retention` of the closing; the reason in words stays here."""

    reason: str
    retention: timedelta


@dataclass(frozen=True, slots=True)
class FetchDossier:
    """Ask the sender's door once more after it said no."""


@dataclass(frozen=True, slots=True)
class RecordInformation:
    """The person was told what was collected about them elsewhere, and how (Art. 14 GDPR, § 82a SGB X)."""

    releases: frozenset[UUID]
    by: str
    channel: ContactChannel
    at: datetime | None = None  # None: now


@dataclass(frozen=True, slots=True)
class ExcuseInformation:
    """Nobody is told of it, on that ground; why, is written down (§ 82a(3) SGB X)."""

    releases: frozenset[UUID]
    by: str
    exemption: Exemption
    why: str


@dataclass(frozen=True, slots=True)
class RecordGuardianInformation:
    """The guardian was informed that somebody of 15 to 17 has come here, and how (§ 36(1) sentence 2 SGB I)."""

    by: str
    channel: ContactChannel
    at: datetime | None = None  # None: now


@dataclass(frozen=True, slots=True)
class ExcuseGuardianInformation:
    """The guardian is not informed, because that would be contrary to the person's welfare; why, is written down."""

    by: str
    why: str


# --- asked by the clock -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReachAgeBand:
    """A birthday at which the age band changes."""


@dataclass(frozen=True, slots=True)
class EraseOutlived:
    """What the law lets be kept for a time has been here for so long: erase it (§ 31a(3) SGB III)."""


# --- heard ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announce:
    """Both agencies have said yes: this agency opens its own case, keyed by the handover reference."""

    handover: HandoverRef
    sender: AgencyId
    alliance: AllianceId
    phase: Phase | None
    age_band: AgeBand | None
    needs: frozenset[Need]


@dataclass(frozen=True, slots=True)
class TakeLead:
    """Our first contact was recorded: the lead is here now."""


@dataclass(frozen=True, slots=True)
class DropLead:
    """The receiver has met the young person: the lead is no longer here."""

    handover: HandoverRef


@dataclass(frozen=True, slots=True)
class EndDossier:
    """The handover ended: what is still on its way is dropped; `purge` erases what came (else it is kept for now)."""

    handover: HandoverRef
    purge: bool


@dataclass(frozen=True, slots=True)
class EraseReleases:
    """Consent demands: erase exactly what came by these releases; `items`: of it these alone, by the sender's ids."""

    handover: HandoverRef
    duty: DutyId
    releases: frozenset[ReleaseId]
    items: frozenset[ItemId] = frozenset()


# --- brought back by the errand ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoreDossier:
    """The bytes are here, opened and checked against the own copy of the handover."""

    release: ReleaseId
    sphere: Sphere
    items: tuple[Item, ...]
    person: Person | None


@dataclass(frozen=True, slots=True)
class StorePart(StoreDossier):
    """The same, and the door said that there is more. `bytes_at_most`: of a slow line, as the fetch has found it."""

    bytes_at_most: int | None = None


@dataclass(frozen=True, slots=True)
class NoteRefusal:
    """The door said no for good; somebody must know."""

    reason: DossierReason


# --- what a command means for the case it meets (chosen by `law.meant`) -----------------------------------------------


@dataclass(frozen=True, slots=True)
class Purge:
    """Erase what came by these releases (None: all that was received); the case has something of its own and stays.

    `items`: of these releases these alone, by the sender's ids; none named: all. `time_limit_of`: the norm whose time
    is over, where that is why.
    """

    handover: HandoverRef
    duty: DutyId | None
    releases: frozenset[ReleaseId] | None
    ended: bool  # the handover has ended: nothing more may come
    items: frozenset[ItemId] = frozenset()
    time_limit_of: LegalBasis | None = None


@dataclass(frozen=True, slots=True)
class Discard(Purge):
    """Erase it; nothing of its own is left, and the lead is not here: the case goes."""


@dataclass(frozen=True, slots=True)
class DropDossier:
    """What came too late, or twice, is dropped unread."""
