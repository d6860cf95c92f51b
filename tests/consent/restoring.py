"""A person whose database is lost and put back to a backup: what was said is remembered, the rest is heard again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chassis.transitions import Decided, Said, Tell
from contracts.codes import AgeBand, DataCategory, Giver, Kind, Purpose
from contracts.consent import ConsentDataAnswered, ConsentStorageConfirmed, ConsentWithdrawalNotified
from contracts.events import Event
from contracts.handover import HandoverChanged, HandoverProposed
from contracts.ids import AgencyId, HandoverRef, TransmissionId
from contracts.intake import CaseChanged, CaseDossierStored, CaseItemsErased
from contracts.new_ids import new_id
from services.consent.domain import commands as c
from services.consent.domain.consents import may_declare
from services.consent.domain.decision import decide_all, question
from services.consent.domain.words import Item, Person, Transmission
from services.consent.events import HEARS, REMEMBERS
from tests.consent.builders import (
    AGENTUR,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    PURPOSE,
    Story,
    a_duty_id,
    an_item,
    context,
    done,
)

LINES = {line.event: line.do for line in REMEMBERS}
AGAIN = {line.event: line.again for line in HEARS}
HEARD: dict[type, type[Event]] = {
    c.KnowPerson: CaseChanged,
    c.ConfirmStorage: CaseDossierStored,
    c.HearErased: CaseItemsErased,
    c.OpenTransmission: HandoverProposed,
    c.NoteHandover: HandoverChanged,
    c.NoteStored: ConsentStorageConfirmed,
    c.OweAnswer: ConsentWithdrawalNotified,
    c.HearAnswer: ConsentDataAnswered,
}
PROBES = tuple(
    an_item(category, entrusted=entruster is not None, entruster=entruster)
    for category in DataCategory for entruster in (None, *Giver)
)
WAYS = ((JUGENDAMT, PURPOSE), (AGENTUR, Purpose.CASE_CONFERENCE))
LATER_DAYS = (0, 1, 3, 10, 40)  # a grant may begin later, or end


@dataclass(frozen=True)
class Happened:
    """One thing after the backup: what was asked or heard, what was said of it, and when."""

    id: UUID
    command: Any
    tells: tuple[Tell, ...]
    at: datetime


class Lost(Story):
    """A story that keeps a backup."""

    def __init__(self, *args: Any, **how: Any) -> None:
        self.backup: Person | None = None
        self.since: list[Happened] = []
        self.known_items: dict[UUID, Item] = {}
        super().__init__(*args, **how)

    def do(self, command: object) -> Decided[Person]:
        """What is decided, kept; the topics keep what is said of it."""
        decided = super().do(command)
        id_ = command.proposal if isinstance(command, c.OpenTransmission) else new_id()
        self.since.append(Happened(id_, command, decided.tells, self.now))
        if isinstance(command, c.TakeFlags):
            self.known_items |= {item.id: item for item in command.items}
        return decided

    def keep_a_backup(self) -> None:
        """From here on everything is going to be lost."""
        self.backup, self.since = self.person, []

    def restored(self) -> Person:
        """As it is when the backup was put back, `recover` has remembered, and the rest was heard again."""
        assert self.backup is not None
        person, known = self._remembered(self.backup)
        for each in self.since:
            if type(each.command) in HEARD and each.id not in known:
                person = self._decided(person, each.command)
        for transmission in person.transmissions:
            if not transmission.items and transmission.proposal is not None:  # own intake is asked again
                read = c.TakeFlags(transmission.handover, transmission.proposal, self._read(transmission))
                person = self._decided(person, read)
        return self._decided(person, c.LookAgain(a_duty_id()))

    def _decided(self, person: Person, command: object) -> Person:
        return done(self.law.decide(person, command, context(self.now))).subject

    def _remembered(self, person: Person) -> tuple[Person, set[UUID]]:
        """By all that was said; and what of that which was heard counts as heard."""
        known: set[UUID] = set()
        for each in self.since:
            event = HEARD.get(type(each.command))
            if event is not None and each.tells and not AGAIN[event]:
                known.add(each.id)
            for tell in each.tells:
                topic = f"{tell.scope}.jobcenter.to.{tell.to}.consent" if tell.to else "jobcenter.consent.events"
                heard = tuple(self._heard_about(tell.fact.key))
                said = Said(new_id(), topic, each.at, tell.scope or "", tell.fact, heard=heard)
                after = LINES[type(tell.fact)](person, said)
                person, known = after.subject, known | set(after.heard)
        return person, known

    def _heard_about(self, key: UUID) -> Iterator[tuple[UUID, Any]]:
        """What lies on the topics with this key, as far as a memory reads it."""
        for each in self.since:
            match each.command:
                case c.OpenTransmission(handover=handover) as command if handover == key:
                    yield each.id, HandoverProposed.model_construct(
                        person=self.person.id, handover=handover, case=command.case, alliance=command.alliance,
                        recipient=command.recipient, kind=Kind.TRANSFER, purpose=command.purpose, items=command.items,
                    )
                case c.OweAnswer(handover=handover) as command if handover == key:
                    yield each.id, ConsentWithdrawalNotified.model_construct(
                        handover=handover, duty=command.duty, releases=command.releases, basis_ended=command.items,
                        answer_by=command.answer_by,
                    )

    def _read(self, transmission: Transmission) -> tuple[Item, ...]:
        """What own intake says about what is asked for."""
        return tuple(self.known_items[item] for item in transmission.asked if item in self.known_items)

    # --- what may go ---

    def may_go(self, person: Person, at: datetime) -> set[tuple[AgencyId, UUID]]:
        """At the door: of what is proposed, and of whatever might be proposed."""
        proposed = [(each, self._read(each)) for each in person.transmissions]
        asked = [
            (
                Transmission(
                    TransmissionId(new_id()), HandoverRef(new_id()), alliance=MUSTER, recipient=recipient,
                    purpose=purpose, asked=tuple(item.id for item in PROBES),
                ),
                PROBES,
            )
            for recipient, purpose in WAYS
        ]
        return {
            (transmission.recipient, verdict.id)
            for transmission, items in (*proposed, *asked)
            for verdict in decide_all(
                transmission.asked, items,
                question(person, transmission, self.law.alliances[MUSTER], JOBCENTER, at),
            )
            if verdict.permitted and verdict.id not in transmission.stored
        }

    def goes_too_much(self) -> set[tuple[AgencyId, UUID]]:
        """What would go from the restored database, now or later, and does not go from the one that was lost."""
        back = self.restored()
        found: set[tuple[AgencyId, UUID]] = set()
        for days in LATER_DAYS:
            at = self.now + timedelta(days=days)
            found |= self.may_go(back, at) - self.may_go(self.person, at)
        return found


def may_sign(person: Person) -> set[tuple[Giver, bool]]:
    """Who may consent for this person, and with which word on insight on the form."""
    return {
        (giver, insight)
        for giver in Giver for insight in (True, False)
        if may_declare(giver, person.age_band, insight=insight, noted=person.insight_noted)
    }


MINOR, ADULT = AgeBand.FROM_15_TO_17, AgeBand.FROM_18_TO_20
