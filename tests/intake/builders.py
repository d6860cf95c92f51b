"""Cases and commands as tests need them: plausible unless a test says otherwise."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from chassis.transitions import Context, Decided, Refused, Reservation
from contracts.codes import (
    AgeBand,
    DataCategory,
    Destination,
    HandoverState,
    Kind,
    Need,
    PauseReason,
    Phase,
    Purpose,
    Side,
    Sphere,
    Trigger,
    Urgency,
)
from contracts.handover import HandoverChanged, Preview
from contracts.ids import AgencyId, AllianceId, CaseId, DutyId, HandoverRef, ReleaseId
from contracts.new_ids import new_id
from services.intake.domain import commands as asked
from services.intake.domain import law
from services.intake.domain.case import Case, RecordedNeed, State
from services.intake.domain.dossiers import CATEGORY_OF, contents_of, part_of, person_in
from services.intake.domain.items import Item, Provenance, keyed_hash
from services.intake.domain.persons import Address, ContactPreference, Person
from services.intake.domain.phases import SchoolFacts

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
BORN = date(2009, 5, 4)
SENDER, RECEIVER, ALLIANCE = AgencyId("jobcenter"), AgencyId("jugendamt"), AllianceId("musterland")
TENTH_GRADE = SchoolFacts(grade=10)
CONSENTED = ("consent_sgb_x_67b",)


def a_person(**changed: Any) -> Person:
    """Somebody who does not exist."""
    known = Person(
        id=new_id(),
        given_names="Zora",
        family_name="Beispiel-Zimt",
        birth_date=BORN,
        address=Address("Erfundene Gasse 7", "99999", "Musterhausen"),
        phone="+49 000 112233",
        contact_preference=ContactPreference.MESSENGER,
        language="uk",
    )
    return replace(known, **changed)


def an_item(
    category: DataCategory = DataCategory.SCHOOL, content: str = '{"school":"Musterschule"}', **more: Any
) -> Item:
    """A datum of our own."""
    key = bytes(32)
    return Item(new_id(), category, content, keyed_hash(key, content), NOW, hash_key=key, **more)


def a_need(code: Need = Need.TRAINING_SEARCH, severity: int = 2, *, entrusted: bool = False) -> RecordedNeed:
    """A need seen here."""
    return RecordedNeed(code, severity, entrusted, NOW)


def register(**changed: Any) -> asked.Register:
    """A registration in grade 10 with one need."""
    command = asked.Register("worker-1", Sphere.SGB_II, a_person(), (an_item(),), (a_need(),), school=TENTH_GRADE)
    return replace(command, **changed)


def announce(handover: UUID) -> asked.Announce:
    """What the receiver's intake hears of an accepted handover."""
    needs = frozenset({Need.ORIENTATION})
    return asked.Announce(
        HandoverRef(handover), SENDER, ALLIANCE, Phase.TRANSITION, AgeBand.FROM_15_TO_17, needs
    )


def received(
    release: UUID, person: Person | None = None, *more: tuple[DataCategory, str], bases: tuple[str, ...] = CONSENTED
) -> tuple[Item, ...]:
    """Items as they come by a release: what is known of the person, and more."""
    of_person = [] if person is None else [(CATEGORY_OF[part], said) for part, said in contents_of(person).items()]
    return tuple(
        Item(
            new_id(), category, said, "0" * 64, NOW, part=part_of(category, said),
            provenance=Provenance(release, new_id(), SENDER, Purpose.STABILISATION, bases, NOW),
        )
        for category, said in [*of_person, *more]
    )


def store(
    case: UUID, *more: tuple[DataCategory, str], part: bool = False, named: bool = True,
    bases: tuple[str, ...] = CONSENTED,
) -> asked.StoreDossier:
    """A dossier that has come for that case."""
    release = new_id()
    items = received(release, a_person() if named else None, *more, bases=bases)
    person = person_in(((item.part, item.content) for item in items), case, release)
    return (asked.StorePart if part else asked.StoreDossier)(ReleaseId(release), Sphere.SGB_VIII, items, person)


def end(case: UUID, *, purge: bool) -> asked.EndDossier:
    """The handover of that case has ended."""
    return asked.EndDossier(HandoverRef(case), purge)


def erase(case: UUID, *releases: UUID) -> asked.EraseReleases:
    """Consent demands that what came by these releases is erased."""
    return asked.EraseReleases(HandoverRef(case), DutyId(new_id()), frozenset(map(ReleaseId, releases)))


def context(*granted: Reservation, now: datetime = NOW) -> Context:
    """The database's time, and what was reserved."""
    return Context(now, frozenset(granted))


def after(case: Case, *wanted: object, now: datetime = NOW) -> Case:
    """The case after these commands, each of which must be allowed."""
    for command in wanted:
        decision = decide(case, command, now=now)
        assert isinstance(decision, Decided), (type(command).__name__, decision)
        case = replace(decision.subject, version=case.version + 1)
    return case


def decide(case: Case, command: object, *, now: datetime = NOW) -> Decided[Case] | Refused:
    """What the law says; everything that may be reserved is free."""
    return law.decide(case, command, context(*law.reserves(case.id, command), now=now))


def told(decision: Decided[Case] | Refused) -> list[str]:
    """Types of what is told, in order."""
    assert isinstance(decision, Decided), decision
    return [tell.fact.type for tell in decision.tells]


ASSIGN = asked.AssignContactPerson("worker-1")
CONFIRM = asked.ConfirmResponsibility()
PAUSE = asked.Pause(PauseReason.ILLNESS, (NOW + timedelta(days=14)).date())
CLOSE = asked.Close(Destination.TRAINING)
REOPEN = asked.Reopen("Ausbildung abgebrochen", timedelta(days=730))


def an_active_case(**changed: Any) -> Case:
    """A case that this agency leads."""
    return after(Case(new_id()), register(**changed), ASSIGN, CONFIRM)


def a_received_case(state: State = State.REGISTERED) -> Case:
    """A case that came by a handover, its dossier stored, nothing of our own in it."""
    case = Case(new_id())
    on_the_way = {State.ANNOUNCED: 1, State.REGISTERED: 2, State.CLARIFYING: 3, State.ACTIVE: 4}[state]
    return after(case, *(announce(case.id), store(case.id), ASSIGN, CONFIRM)[:on_the_way])


def changed(side: Side, before: HandoverState, state: HandoverState, **more: Any) -> HandoverChanged:
    """What the own handover service tells when its copy has moved."""
    said: dict[str, Any] = {
        "handover": HandoverRef(new_id()),
        "case": CaseId(new_id()) if side is Side.SENDER else None,
        "side": side,
        "alliance": ALLIANCE,
        "counterpart": RECEIVER if side is Side.SENDER else SENDER,
        "kind": Kind.TRANSFER,
        "purpose": Purpose.STABILISATION,
        "urgency": Urgency.NORMAL,
        "before": before,
        "state": state,
        "on": Trigger.ACCEPTANCE_CONFIRMED,
        "lead": side is Side.SENDER,
        "recorded": None,
        "preview": None
        if side is Side.SENDER
        else Preview(phase=Phase.TRANSITION, age_band=AgeBand.FROM_15_TO_17, needs=(Need.ORIENTATION,)),
    }
    return HandoverChanged(**said | more)
