"""What the consent service keeps, in memory: persons with their parts, releases, the ledger, intents, notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid5

from chassis.transitions import Context, Decided, Refused, Reservation, Step
from contracts.codes import Completeness, ConsentState, Side
from contracts.ids import AgencyId, ConsentId, DutyId, GrantId, PersonId, ReleaseId
from services.consent.domain import LOOK_AGAIN, Law
from services.consent.domain import commands as c
from services.consent.domain.passing_on import onward
from services.consent.domain.words import (
    Consent,
    Decision,
    Disclosed,
    DutyState,
    Notice,
    Person,
    Release,
    ReleaseState,
    found,
)
from services.consent.store.leases import Lease
from services.consent.store.persons import ABOUT_NOTICES, PERSON, about_ledger, persons_of_handovers
from tests.simulation import laws
from tests.simulation.laws import Broken
from tests.simulation.rooms import Rooms
from tests.simulation.town import ALLIANCE

OPEN_CONSENTS = (ConsentState.REQUESTED, ConsentState.GIVEN)


@dataclass(frozen=True, slots=True)
class Intent:
    """A withdrawal that was written down; `grants` None: of the whole consent."""

    person: PersonId
    consent: ConsentId
    grants: frozenset[GrantId] | None


class Persons:
    """Persons, loaded with what their commands ask about, and what the door writes beside them."""

    def __init__(self, agency: AgencyId, notice: Notice) -> None:
        self.law = Law(agency, {ALLIANCE.id: ALLIANCE})
        self.rows: dict[UUID, Person] = {}
        self.notice = notice
        self.releases: dict[UUID, Release] = {}
        self.person_of: dict[UUID, UUID] = {}  # release -> person
        self.ledger: dict[UUID, list[Disclosed]] = {}
        self.intents: list[Intent] = []
        self.decisions: list[Decision] = []
        self._handovers: dict[UUID, UUID] = {}

    # --- as the executor sees it --------------------------------------------------------------------------------------

    def load(self, subject: UUID, command: object) -> Person:
        person = self.rows.get(subject) or Person(PersonId(subject))
        if isinstance(command, ABOUT_NOTICES):
            return replace(person, notices=(self.notice,))
        if about_ledger(command):
            return replace(person, ledger=tuple(self.ledger.get(subject, ())))
        if isinstance(command, c.TellRelease) and self.person_of.get(command.release) == subject:
            return replace(person, releases=(self.releases[command.release],))
        return person

    def decide(self, subject: Any, command: Any, context: Context) -> Decided[Any] | Refused:
        return self.law.decide(subject, command, context)

    def save(self, after: Person) -> None:
        self.decisions += after.decisions
        self.releases.update({release.id: release for release in after.releases})
        self._handovers.update({transmission.handover: after.id for transmission in after.transmissions})
        self._waited_for_all(after)
        self.rows[after.id] = replace(after, notices=(), releases=(), ledger=(), decisions=(), spoken_of=None)
        self.forget_intents()

    def _waited_for_all(self, after: Person) -> None:
        """Who answers now has waited for everybody whom it had told."""
        known = self.rows.get(after.id)
        answered = {duty.id for duty in known.duties if duty.state is DutyState.ANSWERED} if known else set()
        now = [
            duty for duty in after.duties
            if duty.side is Side.RECEIVER and duty.state is DutyState.ANSWERED and duty.id not in answered
        ]  # fmt: skip
        whole = replace(after, ledger=tuple(self.ledger.get(after.id, ()))) if now else after
        for duty in now:
            if any(each.state is DutyState.AWAITS for each in onward(whole, duty)):
                raise Broken(laws.WAITS_FOR_ALL, f"duty {duty.answer}")

    def forget_intents(self) -> None:
        """Forget what has been carried out, or whose consent ended otherwise."""
        self.intents = [intent for intent in self.intents if self._still_meant(intent)]

    def reserves(self, _subject: UUID, _command: object, /) -> Sequence[Reservation]:
        return ()

    def _still_meant(self, intent: Intent) -> bool:
        """Whether the consent is open, and one of the named grants not taken back yet."""
        consent = found(self.rows[intent.person].consents, intent.consent)
        if consent is None or consent.state not in OPEN_CONSENTS:
            return False
        return intent.grants is None or any(
            grant.id in intent.grants and grant.withdrawn_at is None for grant in consent.grants
        )

    def of_handover(self, handover: UUID) -> tuple[UUID, ...]:
        """Whose data a handover of ours is to carry."""
        person = self._handovers.get(handover)
        return () if person is None else (person,)

    # --- as the door sees it ------------------------------------------------------------------------------------------

    def intend(self, person: PersonId, consent: ConsentId, grants: frozenset[GrantId] | None) -> None:
        """Write the will down, alone; nothing where the consent has ended already."""
        known = self._consent(person, consent)
        if known is not None and known.state in OPEN_CONSENTS:
            self.intents.append(Intent(person, consent, grants))

    def being_withdrawn(self, person: UUID, recipient: AgencyId) -> bool:
        """Whether a withdrawal is under way that concerns this recipient."""
        return any(
            grant.recipient == recipient
            and grant.withdrawn_at is None
            and (intent.grants is None or grant.id in intent.grants)
            for intent in self.intents
            if intent.person == person
            for consent in [self._consent(intent.person, intent.consent)]
            if consent is not None and consent.state is ConsentState.GIVEN
            for grant in consent.grants
        )

    def _consent(self, person: UUID, consent: UUID) -> Consent | None:
        known = self.rows.get(person)
        return None if known is None else found(known.consents, consent)

    def open_lease(self, lease: Lease) -> None:
        """The release and its lines of the ledger."""
        of = lease.transmission
        self.releases[lease.id] = Release(
            lease.id, of.handover, 1, ReleaseState.OPEN, lease.completeness, len(lease.lines)
        )
        self.person_of[lease.id] = lease.person
        self.ledger.setdefault(lease.person, []).extend(
            Disclosed(lease.id, of.handover, of.alliance, of.recipient, of.purpose, line.item, line.bases,
                      line.received_by, line.source_item)
            for line in lease.lines
        )

    def close_lease(self, wanted: ReleaseId, *, delivered: bool) -> None:
        """No byte of this release will leave any more."""
        release = self.releases[wanted]
        if release.state is ReleaseState.OPEN:
            how = release.completeness if delivered else Completeness.UNKNOWN
            self.releases[wanted] = replace(release, state=ReleaseState.CLOSED, completeness=how)

    def leases_open(self, person: UUID) -> bool:
        """Whether any release about this person may still be writing."""
        return any(
            release.state is ReleaseState.OPEN
            for release in self.releases.values()
            if self.person_of[release.id] == person
        )

    def untold(self) -> tuple[ReleaseId, ...]:
        """Releases that nothing was said of yet."""
        return tuple(release.id for release in self.releases.values() if release.state is not ReleaseState.TOLD)


def consent_rooms(agency: AgencyId, notice: Notice) -> Rooms:
    persons = Persons(agency, notice)
    # Nobody is left untold here, so that no duty ever gets this id: no process is of an older version.
    look = {LOOK_AGAIN: lambda person: Step(PERSON, person, c.LookAgain(DutyId(uuid5(person, "look"))))}
    return Rooms({PERSON: persons}, {persons_of_handovers: persons.of_handover}, look)
