"""The young persons and who speaks for them: consents given, taken back, replaced; duties answered at the receivers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

from chassis.transitions import Step
from contracts.codes import (
    AgeBand,
    ConsentForm,
    ConsentState,
    DataCategory,
    DutyAnswer,
    Giver,
    Purpose,
    RetentionNorm,
    Service,
)
from contracts.ids import AgencyId, ConsentId, DutyId, GrantId
from services.consent.domain import commands as say
from services.consent.domain.words import Consent, Duty, DutyState, InvalidReason, Person, Wanted
from services.consent.store.persons import PERSON
from services.handover.domain import Handover, State
from services.intake.domain.case import Case
from tests.simulation.handovers import PURPOSES, rows
from tests.simulation.town import AGENCIES, ALLIANCE
from tests.simulation.withdrawals import withdraw
from tests.simulation.world import NOTICE

if TYPE_CHECKING:
    from tests.simulation.desk import Desk
    from tests.simulation.registers import Persons
    from tests.simulation.world import World

CATEGORIES: Final = (DataCategory.MASTER_DATA, DataCategory.CONTACT, DataCategory.SCHOOL, DataCategory.HEALTH)
PERIODS: Final = (None, timedelta(minutes=1), timedelta(hours=5), timedelta(days=3), timedelta(days=40))
LATER: Final = timedelta(hours=2)
BEFORE_BASIS: Final = (State.DRAFT, State.PROPOSED, State.AWAITING_BASIS)
PERIODS_OFTEN: Final = (6, 1, 2, 2, 3)
FORMS: Final = (ConsentForm.WRITTEN, ConsentForm.ELECTRONIC, ConsentForm.ORAL_DOCUMENTED)
FORMS_OFTEN: Final = (6, 2, 1)


class YoungPeople:
    """Everybody whose data it is, at whichever agency they are asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._desks = [desk for (_, service), desk in world.desks.items() if service is Service.CONSENT]

    def give(self) -> None:
        """A consent, mostly to what is being asked for."""
        wanted = self._asked_for() or self._anything()
        if wanted is not None:
            self._give(*wanted)

    def agree_to(self, copy: Handover, agency: AgencyId, case: Case) -> None:
        """A consent to this handover."""
        desk = self._world.desks[agency, Service.CONSENT]
        person = None if case.person is None else persons(desk).rows.get(case.person)
        if person is not None:
            self._give(desk, person, copy.matter.counterpart, copy.matter.purpose)

    def take_back(self) -> None:
        """A withdrawal, whole or in part; rarely the officer finds that it never was a consent."""
        chance = self._world.chance
        given = [(desk, person, each) for desk, person, each in self._consents() if each.state is ConsentState.GIVEN]
        if not given:
            return
        busy = {agency for agency, _ in self._world.releasing}
        given = [each for each in given if each[0].agency in busy] or given
        desk, person, consent = chance.choice(given)
        if chance.random() < 0.1:
            self._invalidate(desk, person, consent)
        else:
            self._take_back(desk, person, consent)

    def change_their_minds(self) -> None:
        """Later on, when all is calm: some of what stands is taken back."""
        for desk, person, consent in self._consents():
            if consent.state is ConsentState.GIVEN and self._world.chance.random() < 0.25:
                self._take_back(desk, person, consent)

    def answer_duties(self) -> None:
        """The receivers say what becomes of the data: erased, or kept on a norm."""
        for owed in self.owed():
            self._answer(*owed)

    def answer_one(self) -> None:
        """One of them."""
        if owed := self.owed():
            self._answer(*self._world.chance.choice(owed))

    def owed(self) -> list[tuple[Desk, Person, Duty]]:
        """Every answer that some receiver owes."""
        return [
            (desk, person, duty)
            for desk in self._desks
            for person in persons(desk).rows.values()
            for duty in person.duties
            if duty.state is DutyState.OWES
        ]

    # --- how ----------------------------------------------------------------------------------------------------------

    def _answer(self, desk: Desk, person: Person, duty: Duty) -> None:
        if self._world.chance.random() < 0.7:
            desk.ask(Step(PERSON, person.id, say.AnswerErased(duty.id)))
        else:
            desk.ask(Step(PERSON, person.id, say.AnswerRetained(duty.id, RetentionNorm.SGB_X_84)))
        self._world.witness.seen[f"duty {DutyAnswer.ERASED}"] += 1

    def _take_back(self, desk: Desk, person: Person, consent: Consent) -> None:
        world, chance = self._world, self._world.chance
        some = frozenset({chance.choice(consent.grants).id}) if chance.random() < 0.3 else None
        world.say(desk.name, "a withdrawal begins")
        world.start(withdraw(world, desk, person.id, consent.id, some), desk, "withdrawal")

    def _consents(self) -> list[tuple[Desk, Person, Consent]]:
        return [
            (desk, person, each)
            for desk in self._desks
            for person in persons(desk).rows.values()
            for each in person.consents
        ]

    def _asked_for(self) -> tuple[Desk, Person, AgencyId, Purpose] | None:
        waiting = [
            (desk.agency, copy)
            for desk, id in self._world.witness.copies
            for copy in [rows(desk)[id]]
            if copy.state in BEFORE_BASIS
        ]
        if not waiting or self._world.chance.random() < 0.1:
            return None
        agency, copy = self._world.chance.choice(waiting)
        desk = self._world.desks[agency, Service.CONSENT]
        person = None if copy.person is None else persons(desk).rows.get(copy.person)
        return None if person is None else (desk, person, copy.matter.counterpart, copy.matter.purpose)

    def _anything(self) -> tuple[Desk, Person, AgencyId, Purpose] | None:
        chance = self._world.chance
        known = [(desk, person) for desk in self._desks for person in persons(desk).rows.values()]
        if not known:
            return None
        desk, person = chance.choice(known)
        recipient = chance.choice([other for other in AGENCIES if other != desk.agency])
        return desk, person, recipient, chance.choice(PURPOSES[desk.agency, recipient])

    def _give(self, desk: Desk, person: Person, recipient: AgencyId, purpose: Purpose) -> None:
        world, chance = self._world, self._world.chance
        consent = ConsentId(world.clock.new_id())
        older = [each.id for each in person.consents if each.state is ConsentState.GIVEN]
        replaces = chance.choice(older) if older and chance.random() < 0.3 else None
        sheet = self._sheet(person, [(recipient, purpose), *self._more(desk.agency)])
        refused = desk.ask(Step(PERSON, person.id, say.GiveConsent(consent, sheet, replaces)))
        world.say(desk.name, f"GiveConsent to {recipient} for {purpose} {refused.reason if refused else ''}")
        if refused is None:
            world.notebook.gave(person.id, consent, sheet, world.clock.now)
            if replaces is not None:
                world.notebook.ended(replaces, world.clock.now)

    def _more(self, home: AgencyId) -> list[tuple[AgencyId, Purpose]]:
        chance = self._world.chance
        other = chance.choice([agency for agency in AGENCIES if agency != home])
        return [(other, chance.choice(PURPOSES[home, other]))] if chance.random() < 0.3 else []

    def _sheet(self, person: Person, to: list[tuple[AgencyId, Purpose]]) -> say.Sheet:
        chance = self._world.chance
        grants = tuple(self._wanted(recipient, purpose) for recipient, purpose in to)
        child = person.age_band is AgeBand.UNDER_15
        giver = Giver.GUARDIAN if child != (chance.random() < 0.1) else Giver.SELF
        form = chance.choices(FORMS, FORMS_OFTEN)[0]
        return say.Sheet(giver, insight=True, young_person_heard=True, form=form, notice=NOTICE.id, grants=grants)

    def _wanted(self, recipient: AgencyId, purpose: Purpose) -> Wanted:
        chance, now = self._world.chance, self._world.clock.now
        categories = CATEGORIES if chance.random() < 0.8 else chance.sample(CATEGORIES, 2)
        start = now + LATER if chance.random() < 0.1 else None
        period = chance.choices(PERIODS, PERIODS_OFTEN)[0]
        return Wanted(
            GrantId(self._world.clock.new_id()), ALLIANCE.id, recipient, purpose, frozenset(categories),
            entrusted_included=chance.random() < 0.8,
            valid_from=start,
            valid_until=(start or now) + period if period else None,
        )

    def _invalidate(self, desk: Desk, person: Person, consent: Consent) -> None:
        first = DutyId(self._world.clock.new_id())
        command = say.InvalidateConsent(consent.id, InvalidReason.NOT_VOLUNTARY, first)
        if desk.ask(Step(PERSON, person.id, command)) is None:
            self._world.notebook.ended(consent.id, self._world.clock.now, taken_back=True)


def persons(desk: Desk) -> Persons:
    """A consent service's persons."""
    return cast("Persons", desk.rooms.kinds[PERSON])
