"""Made-up people, consents and items for the tests of consent; each test says only what matters to it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from joserfc.jwk import OKPKey

from chassis.auth import new_key
from chassis.transitions import Context, Decided, Refused
from contracts.alliance import Alliance, StatutoryBasis
from contracts.codes import (
    AgeBand,
    AgencyKind,
    ConsentForm,
    DataCategory,
    EntrustedException,
    Giver,
    LegalBasis,
    Purpose,
    Sphere,
)
from contracts.ids import (
    AgencyId,
    AllianceId,
    CaseId,
    ConsentId,
    DutyId,
    GrantId,
    HandoverRef,
    ItemId,
    NoticeId,
    PersonId,
    RestrictionId,
    TransmissionId,
)
from contracts.new_ids import new_id
from services.consent.domain import Law
from services.consent.domain.commands import (
    GiveConsent,
    KnowPerson,
    OpenTransmission,
    Restrict,
    Sheet,
    StateTask,
    TakeFlags,
)
from services.consent.domain.consents import to_be_renewed
from services.consent.domain.words import (
    Item,
    Notice,
    NoticeState,
    Person,
    Restriction,
    RestrictionState,
    Stated,
    Transmission,
    Wanted,
)
from tests.approving import approved

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MUSTERLAND = Path(__file__).parents[2] / "deploy" / "alliances" / "musterland.yaml"
JOBCENTER, JUGENDAMT, AGENTUR = AgencyId("jobcenter"), AgencyId("jugendamt"), AgencyId("agentur")
MUSTER = AllianceId("musterland")
SIGNING = {agency: new_key(f"{agency}.signing") for agency in (JOBCENTER, JUGENDAMT, AGENTUR)}
SEALING = {
    agency: OKPKey.generate_key("X25519", {"kid": f"{agency}.sealing"}) for agency in (JUGENDAMT, AGENTUR)
}
PURPOSE = Purpose.YOUTH_WELFARE_SUPPORT


def alliance_with_keys() -> Alliance:
    """Musterland with public keys for those who come to the door."""
    said = yaml.safe_load(MUSTERLAND.read_text("utf-8"))
    for agency in said["agencies"]:
        for field, keys in (("signing_keys", SIGNING), ("sealing_keys", SEALING)):
            key = keys.get(AgencyId(agency["id"]))
            if key is not None:
                agency[field] = [{
                    "kid": key.kid, "jwk": key.as_dict(private=False),
                    "not_before": "2024-01-01T00:00:00Z", "not_after": "2035-12-31T00:00:00Z",
                }]
    return Alliance.model_validate(said)


ALLIANCE = alliance_with_keys()
TASK, EXCEPTION_TASK = "§ 13 SGB VIII", "§ 8a Abs. 1 SGB VIII"
LAW = Law(JOBCENTER, {MUSTER: ALLIANCE})


def with_row(alliance: Alliance, *, by: Sequence[AgencyId] | None = None, **changed: Any) -> Alliance:
    """The alliance with one row of the matrix: contact data for § 13 SGB VIII; approved by all, or by these only."""
    said = {
        "sender": Sphere.SGB_II, "receiver": Sphere.SGB_VIII, "basis": LegalBasis.SGB_II_50_1, "norm": TASK,
        "task": "Jugendsozialarbeit", "categories": (DataCategory.CONTACT,), "valid_from": NOW.date(),
        "valid_until": NOW.date(),
    }
    row = StatutoryBasis.model_validate(said | changed)
    return alliance.model_copy(update={"matrix": (_approved(alliance, row, by),)})


def with_exception(alliance: Alliance, *, by: Sequence[AgencyId] | None = None, **changed: Any) -> Alliance:
    """One row more: entrusted contact data to another youth office that has become responsible (§ 65(1) Nr. 3)."""
    said = {
        "sender": Sphere.SGB_VIII, "receiver": Sphere.SGB_VIII, "basis": LegalBasis.SGB_VIII_65_EXCEPTION,
        "exception": EntrustedException.RESPONSIBILITY_CHANGED, "norm": EXCEPTION_TASK, "task": "Einschätzung",
        "categories": (DataCategory.CONTACT,), "valid_from": NOW.date(), "valid_until": NOW.date(),
    }
    row = _approved(alliance, StatutoryBasis.model_validate(said | changed), by)
    return alliance.model_copy(update={"matrix": (*alliance.matrix, row)})


def _approved(alliance: Alliance, row: StatutoryBasis, by: Sequence[AgencyId] | None) -> StatutoryBasis:
    return approved(row, *([agency.id for agency in alliance.concerned(row)] if by is None else by))


def of_two_youth_offices(alliance: Alliance, **changed: Any) -> Alliance:
    """In the Jobcenter's place a second youth office; an ordinary row between them, and one for what was entrusted."""
    of_the_place = {"kind": AgencyKind.JUGENDAMT, "sphere": Sphere.SGB_VIII, "jobcenter_kind": None}
    agencies = tuple(
        agency.model_copy(update=of_the_place) if agency.id == JOBCENTER else agency for agency in alliance.agencies
    )
    other = alliance.model_copy(update={"agencies": agencies})
    ordinary = with_row(other, sender=Sphere.SGB_VIII, basis=LegalBasis.SGB_X_69_1_1, **changed)
    return with_exception(ordinary, **changed)


def context(now: datetime = NOW) -> Context:
    return Context(now)


def a_notice(**changed: Any) -> Notice:
    """The notice people are told now."""
    said: dict[str, Any] = {
        "id": NoticeId(new_id()), "version": 1, "state": NoticeState.PUBLISHED, "language": "de",
        "plain_language": True, "text": "Wir fragen dich.", "sha256": "0" * 64, "valid_from": NOW - timedelta(days=1),
    }
    return Notice(**(said | changed))


def an_item(category: DataCategory = DataCategory.MASTER_DATA, **changed: Any) -> Item:
    """A datum that own intake knows."""
    said: dict[str, Any] = {"id": ItemId(new_id()), "category": category, "hash": "0" * 64}
    return Item(**(said | changed))


def a_grant(**changed: Any) -> Wanted:
    """The youth office may have master data and school from now on."""
    said: dict[str, Any] = {
        "id": GrantId(new_id()), "alliance": MUSTER, "recipient": JUGENDAMT, "purpose": PURPOSE,
        "categories": frozenset({DataCategory.MASTER_DATA, DataCategory.SCHOOL}),
    }
    return Wanted(**(said | changed))


def a_restriction(recipient: AgencyId | None, *categories: DataCategory, **changed: Any) -> Restriction:
    """The person forbids that these categories go there; None is everybody."""
    said: dict[str, Any] = {
        "id": RestrictionId(new_id()), "person": PersonId(new_id()), "version": 1, "state": RestrictionState.IN_FORCE,
        "recipient": recipient, "categories": frozenset(categories), "since": NOW,
    }
    return Restriction(**(said | changed))


def a_sheet(notice: NoticeId, *grants: Wanted, **changed: Any) -> Sheet:
    """A form signed by the young person."""
    said: dict[str, Any] = {
        "giver": Giver.SELF, "insight": True, "young_person_heard": True, "form": ConsentForm.WRITTEN,
        "notice": notice, "grants": grants or (a_grant(),),
    }
    return Sheet(**(said | changed))


def done(decided: Decided[Person] | Refused) -> Decided[Person]:
    """A yes."""
    assert isinstance(decided, Decided), decided
    return decided


def refused(decided: Decided[Person] | Refused) -> str:
    """The reason of a no."""
    assert isinstance(decided, Refused), decided
    return decided.reason


def told(decided: Decided[Person]) -> list[str]:
    """Short names of what is told: `transmission.permitted`."""
    return [tell.fact.type.removeprefix("staffel.").removesuffix(".v1") for tell in decided.tells]


class Story:
    """One person, and what happens to it, command after command."""

    def __init__(
        self, age_band: AgeBand = AgeBand.FROM_18_TO_20, now: datetime = NOW, law: Law = LAW
    ) -> None:
        self.now = now
        self.law = law
        self.notice = a_notice()
        self.person = Person(PersonId(new_id()), notices=(self.notice,))
        self.last = self.do(KnowPerson(age_band))

    def try_(self, command: object) -> Decided[Person] | Refused:
        """What is decided; nothing is kept."""
        return self.law.decide(self.person, command, context(self.now))

    def do(self, command: object) -> Decided[Person]:
        """What is decided, kept."""
        self.last = done(self.try_(command))
        self.person = self.last.subject
        return self.last

    def gives(self, *grants: Wanted, **changed: Any) -> ConsentId:
        """The person consents."""
        consent = ConsentId(new_id())
        self.do(GiveConsent(consent, a_sheet(self.notice.id, *grants, **changed)))
        return consent

    def proposes(self, *items: Item, recipient: AgencyId = JUGENDAMT, read: bool = True) -> HandoverRef:
        """A caseworker proposes to hand these items over; own intake says what they are."""
        handover = HandoverRef(new_id())
        self.propose_again(handover, *items, recipient=recipient, read=read)
        return handover

    def propose_again(
        self, handover: HandoverRef, *items: Item, recipient: AgencyId = JUGENDAMT, read: bool = True
    ) -> UUID:
        """The same handover with these items."""
        event = new_id()
        self.do(OpenTransmission(
            TransmissionId(event), event, handover, CaseId(new_id()), MUSTER, recipient, PURPOSE,
            tuple(item.id for item in items),
        ))
        if read:
            self.do(TakeFlags(handover, event, items))
        return event

    def restricts(
        self, *categories: DataCategory, by: Giver = Giver.SELF, recipient: AgencyId | None = JUGENDAMT, **changed: Any
    ) -> RestrictionId:
        """The person objects, or the guardian restricts."""
        restriction = RestrictionId(new_id())
        form = changed.get("form", ConsentForm.WRITTEN)
        self.do(Restrict(restriction, by, form, recipient, frozenset(categories)))
        return restriction

    def states_task(
        self, handover: HandoverRef, *categories: DataCategory, harmless: bool = False, norm: str = TASK
    ) -> None:
        """A caseworker states that a task makes it necessary; without categories: that it does not."""
        stated = Stated(norm, frozenset(categories), harmless, new_id(), "needed", "person:tests")
        self.do(StateTask(handover, stated))

    def to_be_renewed(self) -> list[bool]:
        """Of each consent, in the order they were given."""
        of = self.person
        return [to_be_renewed(each, of.age_band, insight_noted=of.insight_noted) for each in of.consents]

    def transmission(self, handover: HandoverRef) -> Transmission:
        """What is to go under it."""
        return next(each for each in self.person.transmissions if each.handover == handover)

    def reasons(self, handover: HandoverRef) -> list[str]:
        """What was last decided about its items."""
        return [str(each.reason) for each in self.transmission(handover).verdicts]

    def state_of(self, handover: HandoverRef) -> str:
        """The transmission's state."""
        return str(self.transmission(handover).state)

    def state(self, consent: ConsentId) -> str:
        """The consent's state."""
        return next(str(each.state) for each in self.person.consents if each.id == consent)


def a_duty_id() -> DutyId:
    return DutyId(new_id())


def all_ids(items: Sequence[Item]) -> tuple[ItemId, ...]:
    return tuple(item.id for item in items)
