"""People at an intake desk: they register whoever comes, clarify, work, pause, close. Everybody here is invented."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from chassis.transitions import Step
from contracts.codes import CompetenceArea, DataCategory, Destination, Giver, Need, PauseReason, Service
from contracts.ids import AgencyId
from services.intake.domain import commands as say
from services.intake.domain.case import Case, RecordedNeed, State
from services.intake.domain.dossiers import CATEGORY_OF, contents_of
from services.intake.domain.items import Item, Part
from services.intake.domain.persons import Person
from services.intake.domain.phases import SchoolFacts
from services.intake.store import CASE
from tests.simulation.door import SPHERES

if TYPE_CHECKING:
    from tests.simulation.desk import Desk
    from tests.simulation.rooms import Cases
    from tests.simulation.world import World

BORN: Final = (date(2007, 1, 9), date(2010, 2, 3), date(2012, 6, 1))  # of age, 16, 13
BEFORE_WORK: Final = (State.REGISTERED, State.CLARIFYING)
RETENTION: Final = timedelta(days=730)
TENTH_GRADE: Final = SchoolFacts(grade=10)
CONFIRM: Final = say.ConfirmResponsibility(no_needs=True)
SORTS: Final[tuple[tuple[DataCategory, dict[str, Any]], ...]] = (
    (DataCategory.SCHOOL, {}),
    (DataCategory.SCHOOL, {"professional_secret": True}),
    (DataCategory.HEALTH, {"special": True}),
    (DataCategory.CONTACT, {"entrusted": True, "entruster": Giver.SELF}),
    (DataCategory.SCHOOL, {"entrusted": True, "entruster": None}),  # by somebody who is not known here
)
OFTEN: Final = (5, 2, 2, 2, 1)


class Reception:
    """Everybody who works with cases, in all three agencies."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rooms = {
            agency: cast("Cases", world.desks[agency, Service.INTAKE].rooms.kinds[CASE])
            for agency, service in world.desks
            if service is Service.INTAKE
        }

    def register(self, agency: AgencyId) -> UUID:
        """Somebody comes, is taken in, and work begins."""
        clock, chance = self._world.clock, self._world.chance
        case, person = clock.new_id(), clock.new_id()
        self._world.witness.began(case)
        desk = self._desk(agency)
        desk.ask(Step(CASE, case, self._registration(agency, person)))
        desk.ask(Step(CASE, case, say.AssignContactPerson("worker")))
        if chance.random() < 0.95:
            desk.ask(Step(CASE, case, CONFIRM))
        return case

    def act(self) -> None:
        """Somebody does something about some case."""
        world = self._world
        rooms = [(agency, room) for agency, room in self.rooms.items() if room.rows]
        agency, room = world.chance.choice(rooms)
        cases = list(room.rows.values())
        if world.chance.random() < 0.5:  # whoever has just come in is mostly looked after first
            cases = [case for case in cases if case.state in BEFORE_WORK] or cases
        case = world.chance.choice(cases)
        command = self._chosen(agency, case)
        if command is not None:
            refused = self._desk(agency).ask(Step(CASE, case.id, command))
            world.say(f"{agency}.intake", f"{type(command).__name__} {refused.reason if refused else ''}")

    def begin_with_those_who_came(self) -> list[tuple[AgencyId, Case]]:
        """Work begins with everybody who came by a handover and has been met; their cases."""
        came = [
            (agency, case.id)
            for agency, room in self.rooms.items()
            for case in room.rows.values()
            if case.handover is not None and case.leads and case.state in (*BEFORE_WORK, State.ACTIVE)
        ]
        for agency, case in came:
            self._desk(agency).ask(Step(CASE, case, say.AssignContactPerson("worker")))
            self._desk(agency).ask(Step(CASE, case, CONFIRM))
        cases = ((agency, self.rooms[agency].rows[case]) for agency, case in came)
        return [(agency, case) for agency, case in cases if case.state is State.ACTIVE]

    def _desk(self, agency: AgencyId) -> Desk:
        return self._world.desks[agency, Service.INTAKE]

    def _chosen(self, agency: AgencyId, case: Case) -> object | None:
        """What this person does next, if anything: mostly the natural thing."""
        chance = self._world.chance
        rarely = chance.random() < 0.1
        ways: Mapping[State, Callable[[], object | None]] = {
            State.ANNOUNCED: lambda: self._registration(agency, case.id) if rarely else None,
            State.REGISTERED: lambda: say.AssignContactPerson("worker"),
            State.CLARIFYING: lambda: say.DeclareNotResponsible(CompetenceArea.OTHER) if rarely else CONFIRM,
            State.PAUSED: say.Resume,
            State.CLOSED: lambda: say.Reopen("again", RETENTION),
            State.ACTIVE: self._work,
        }
        return ways.get(case.state, lambda: None)()

    def _work(self) -> object:
        """Something that happens while a case is worked on."""
        chance, now = self._world.chance, self._world.clock.now
        need = RecordedNeed(chance.choice((Need.HOUSING, Need.HEALTH)), 2, entrusted=False, recorded_at=now)
        return chance.choice((
            say.RecordNeed(need),
            say.AddItems(self._items(1)),
            say.RecordSchoolFacts("worker", SchoolFacts(grade=chance.randint(7, 10))),
            say.Pause(PauseReason.ILLNESS, (now + timedelta(days=20)).date()),
            say.FetchDossier(),
            say.FetchDossier(),
            say.Close(Destination.TRAINING),
        ))

    def _registration(self, agency: AgencyId, person: UUID) -> say.Register:
        born = self._world.chance.choice(BORN)
        who = Person(person, "Zora", "Beispiel-Zimt", born, phone="+49 000 112233")
        named = tuple(self._item(CATEGORY_OF[part], said, part) for part, said in contents_of(who).items())
        return say.Register(
            "worker", SPHERES[agency], who, named + self._items(3), school=TENTH_GRADE, no_needs=True
        )

    def _items(self, most: int) -> tuple[Item, ...]:
        chance = self._world.chance
        return tuple(
            self._item(category, '{"said":"so"}', Part.OTHER, **flags)
            for category, flags in chance.choices(SORTS, OFTEN, k=chance.randint(1, most))
        )

    def _item(self, category: DataCategory, content: str, part: Part, **flags: Any) -> Item:
        clock = self._world.clock
        return Item(clock.new_id(), category, content, "0" * 64, clock.now, part=part, **flags)
