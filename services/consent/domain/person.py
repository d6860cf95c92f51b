"""One young person: what changes where data about them may go is decided here, with everything that follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chassis.transitions import Context, Decided, Refused, Row, Table, Tell
from contracts.alliance import Alliance
from contracts.calendar import day_of
from contracts.codes import END_STATES, ConsentState, Giver, Side
from contracts.consent import ConsentInsightNoted
from contracts.ids import AgencyId, AllianceId, ConsentId, DutyId, HandoverRef
from services.consent.domain import commands as c
from services.consent.domain.answers import (
    answered_in_turn,
    by_handover,
    lapsed,
    part_of,
    received_by_duty,
    releases_of,
)
from services.consent.domain.clock import any_left, next_look
from services.consent.domain.consents import ADULT, CONSENTS, granted, renewal_due, told
from services.consent.domain.decision import decide_all, naming, question
from services.consent.domain.duties import ANSWER_WITHIN, DUTIES, NOTHING_LEFT, REMIND_BEFORE, left_nothing
from services.consent.domain.fallen import fallen, nothing_left, uncleared
from services.consent.domain.parts import Answer, folded, of_handover, of_person, with_part
from services.consent.domain.passing_on import came_by, passed_on, untold, word_about
from services.consent.domain.reasons import Reason
from services.consent.domain.receptions import RECEPTIONS
from services.consent.domain.releases import RELEASES
from services.consent.domain.restrictions import RESTRICTIONS
from services.consent.domain.transmissions import TRANSMISSIONS, outcome
from services.consent.domain.waivers import WAIVERS
from services.consent.domain.words import (
    Consent,
    Decision,
    Disclosed,
    Duty,
    Grant,
    NoticeState,
    Person,
    PersonState,
    Reception,
    ReceptionState,
    Restriction,
    RestrictionState,
    Transmission,
    TransmissionState,
    Waiver,
    found,
)


def _age(person: Person, command: c.KnowPerson, context: Context) -> Person:
    return replace(person, age_band=command.age_band)


def _insight(person: Person, command: c.NoteInsight, context: Context) -> Person:
    return replace(person, insight_noted=command.insight)


def _insight_told(before: Person, after: Person, command: object, context: Context) -> tuple[Tell, ...]:
    """Who has noted the same again has said nothing."""
    fact = ConsentInsightNoted(person=after.id, insight=after.insight_noted)
    return (Tell(fact),) if after.insight_noted is not before.insight_noted else ()


P = PersonState
BY_PEOPLE = frozenset({c.NoteInsight})
PERSONS = Table[Person](not_now=Reason.NOT_NOW, by_people=BY_PEOPLE, always=(_insight_told,), rows=(
    Row(P.NONE, c.KnowPerson, P.KNOWN, does=(_age,), because="§ 36 SGB I: who may declare depends on the age"),
    Row(P.HEARD_OF, c.KnowPerson, P.KNOWN, does=(_age,), because="§ 36 SGB I: who may declare depends on the age"),
    Row(P.KNOWN, c.KnowPerson, P.KNOWN, does=(_age,), because="a birthday, or another case of the same person"),
    Row(P.KNOWN, c.NoteInsight, P.KNOWN, does=(_insight,), because="§ 36 SGB I: who may declare depends on it"),
))


@dataclass(frozen=True)
class Law:
    """Decides for one agency, under the alliances it belongs to."""

    agency: AgencyId
    alliances: Mapping[AllianceId, Alliance]

    def decide(self, person: Person, command: object, context: Context) -> Answer:
        """The one way in: the part of the person the command is about decides, then what follows from it."""
        decided = _DECIDES[type(command)](self, person, command, context)
        if isinstance(decided, Refused):
            return decided
        after = decided.subject
        if after.state is PersonState.NONE:
            after = replace(after, state=PersonState.HEARD_OF)
        return replace(decided, subject=after)

    # --- about the person -----------------------------------------------------------------------------------------

    def know(self, person: Person, command: c.KnowPerson, context: Context) -> Answer:
        """The age band, and what of a guardian's restrictions holds at it. A consent that was given before stands."""
        decided = PERSONS.decide(replace(person, spoken_of=None), command, context)
        return decided if isinstance(decided, Refused) else self._at_that_age(_to_renew(decided, context), context)

    def note_insight(self, person: Person, command: c.NoteInsight, context: Context) -> Answer:
        """Whether the person understands; from then on a guardian's consents are to be renewed."""
        if person.state is not PersonState.KNOWN:
            return Refused(Reason.UNKNOWN_PERSON, unknown=person.id)
        decided = PERSONS.decide(replace(person, spoken_of=None), command, context)
        return decided if isinstance(decided, Refused) else _to_renew(decided, context)

    def look_again(self, person: Person, command: c.LookAgain, context: Context) -> Answer:
        """A grant begins or ends by the clock: consents whose last grant is over expire, everything is decided anew.

        Answers that are due soon or late are spoken of; who should have been told in turn and was not, is.
        """
        after, tells = replace(person, spoken_of=None), tuple[Tell, ...]()
        for consent in person.consents:
            if consent.state is ConsentState.GIVEN and not any_left(consent, context.now):
                expired = CONSENTS.decide(consent, c.ExpireConsent(consent.id), context)
                after, tells = folded(after, tells, expired)
        for duty in person.duties:
            if (word := word_about(duty, context.now)) is not None:
                after, tells = folded(after, tells, DUTIES.decide(duty, word, context))
        lines, latest = untold(after)
        looked = Decided(replace(after, spoken_of=None), tells)
        told_onward = self._told_onward(looked, lines, command.first_duty, context, latest=latest)
        return self._decided_again(told_onward, context)

    # --- about a consent ------------------------------------------------------------------------------------------

    def ask(self, person: Person, command: c.RequestConsent, context: Context) -> Answer:
        """The form is handed out: nothing is permitted by that."""
        consent = found(person.consents, command.consent) or Consent(command.consent)
        command = replace(command, facts=self._facts(person, command.sheet, context.now))
        return self._about_consent(person, consent, command, context)

    def give(self, person: Person, command: c.GiveConsent, context: Context) -> Answer:
        """A consent is given; it may take the place of an older one."""
        consent = found(person.consents, command.consent) or Consent(command.consent)
        command = replace(command, facts=self._facts(person, command.sheet, context.now))
        decided = self._about_consent(person, consent, command, context)
        if isinstance(decided, Decided) and command.replaces is not None:
            decided = _in_its_place(decided, command.replaces, context)
        return decided if isinstance(decided, Refused) else self._decided_again(decided, context)

    def change(self, person: Person, command: c.RefuseConsent, context: Context) -> Answer:
        """What needs a consent that is already on record and ends no grant."""
        consent = found(person.consents, command.consent)
        if consent is None:
            return Refused(Reason.UNKNOWN_CONSENT, unknown=command.consent)
        return self._about_consent(person, consent, command, context)

    def end(self, person: Person, command: "Ending", context: Context) -> Answer:
        """Withdrawn or invalid: decided anew, and whoever has received something by it must answer."""
        consent = found(person.consents, command.consent)
        if consent is None:
            return Refused(Reason.UNKNOWN_CONSENT, unknown=command.consent)
        decided = self._about_consent(person, consent, _whole(consent, command), context)
        if isinstance(decided, Refused):
            return decided
        grants = command.grants if isinstance(command, c.WithdrawGrants) else frozenset(g.id for g in consent.grants)
        lines = fallen(person, decided.subject, grants, context.now)
        demanded = self._demand_answers(decided, lines, command.first_duty, context, consent=command.consent)
        return self._decided_again(demanded, context)

    def _about_consent(self, person: Person, consent: Consent, command: object, context: Context) -> Answer:
        decided = CONSENTS.decide(consent, command, context)
        if isinstance(decided, Refused):
            return replace(decided, unknown=person.id) if decided.reason is Reason.UNKNOWN_PERSON else decided
        after, _ = folded(person, (), decided)
        return Decided(after, told(person.id, consent, decided.subject))

    def _facts(self, person: Person, sheet: c.Sheet, now: datetime) -> c.Facts:
        notice = next((n for n in person.notices if n.id == sheet.notice), None)
        known = notice is not None and notice.state is NoticeState.PUBLISHED
        current = notice is not None and not notice.superseded and notice.valid_from is not None \
            and notice.valid_from <= now
        grants = tuple(granted(wanted, now) for wanted in sheet.grants)
        eligible_all = all(self._eligible(grant, now) for grant in grants)
        return c.Facts(person.age_band, known, current, eligible_all, grants, person.insight_noted)

    def _eligible(self, grant: Grant, now: datetime) -> bool:
        """Whether the named recipient could receive at all; an alliance that is not known here has none."""
        asked = Transmission(_NOBODY, HandoverRef(_NOBODY), recipient=grant.recipient, purpose=grant.purpose)
        alliance = self.alliances.get(grant.alliance)
        return question(Person(_NOBODY), asked, alliance, self.agency, now).recipient_eligible

    def clear(self, person: Person, command: c.ClearGrants | c.WithdrawClearance, context: Context) -> Answer:
        """Somebody who entrusted data lets them go, or no longer does: what rests on that is decided anew.

        Whoever has received what nobody lets go any more must answer, as after a withdrawal.
        """
        consent = found(person.consents, command.consent)
        if consent is None:
            return Refused(Reason.UNKNOWN_CONSENT, unknown=command.consent)
        decided = self._about_consent(person, consent, command, context)
        if isinstance(decided, Refused):
            return decided
        if isinstance(command, c.WithdrawClearance):
            lines = uncleared(decided.subject, command.grants, context.now)
            decided = self._demand_answers(decided, lines, command.first_duty, context)
        return self._decided_again(decided, context)

    # --- about what was forbidden ---------------------------------------------------------------------------------

    def restrict(self, person: Person, command: c.Restrict, context: Context) -> Answer:
        """The person objects, or a guardian restricts: what went there by law goes no more."""
        if person.state is PersonState.NONE:
            return Refused(Reason.UNKNOWN_PERSON, unknown=person.id)
        known = command.recipient is None or any(a.agency(command.recipient) for a in self.alliances.values())
        command = replace(command, age_band=person.age_band, recipient_known=known)
        return self._about_restriction(person, Restriction(command.restriction, person.id), command, context)

    def lift(self, person: Person, command: c.LiftRestriction, context: Context) -> Answer:
        """It is forbidden no more."""
        restriction = found(person.restrictions, command.restriction)
        if restriction is None:
            return Refused(Reason.UNKNOWN_RESTRICTION, unknown=command.restriction)
        return self._about_restriction(person, restriction, command, context)

    def _about_restriction(
        self, person: Person, restriction: Restriction, command: object, context: Context
    ) -> Answer:
        decided = of_person(person, RESTRICTIONS.decide(restriction, command, context))
        if isinstance(decided, Refused):
            return replace(decided, unknown=person.id) if decided.reason is Reason.UNKNOWN_PERSON else decided
        return self._decided_again(decided, context)

    def _at_that_age(self, decided: Decided[Person], context: Context) -> Decided[Person]:
        """What a guardian has restricted lapses at 18, and holds again where the person is not 18 after all.

        Nothing is decided anew where there is nothing of that kind.
        """
        person, tells = decided.subject, decided.tells
        of_age = person.age_band in ADULT
        before = RestrictionState.IN_FORCE if of_age else RestrictionState.LAPSED
        theirs = [each for each in person.restrictions if each.by is Giver.GUARDIAN and each.state is before]
        if not theirs:
            return decided
        for each in theirs:
            word = c.LapseRestriction(each.id) if of_age else c.ReinstateRestriction(each.id)
            person, tells = folded(person, tells, RESTRICTIONS.decide(each, word, context))
        return self._decided_again(replace(decided, subject=replace(person, spoken_of=None), tells=tells), context)

    # --- about a release from confidentiality ---------------------------------------------------------------------

    def waive(self, person: Person, command: c.GiveWaiver, context: Context) -> Answer:
        """A person is freed to speak; nothing is decided by that."""
        command = replace(command, age_band=person.age_band, insight_noted=person.insight_noted)
        decided = WAIVERS.decide(Waiver(command.waiver), command, context)
        if isinstance(decided, Refused) and decided.reason is Reason.UNKNOWN_PERSON:
            return replace(decided, unknown=person.id)
        return of_person(person, decided)

    def withdraw_waiver(self, person: Person, command: c.WithdrawWaiver, context: Context) -> Answer:
        """That person is bound again."""
        waiver = found(person.waivers, command.waiver)
        if waiver is None:
            return Refused(Reason.UNKNOWN_WAIVER, unknown=command.waiver)
        return of_person(person, WAIVERS.decide(waiver, command, context))

    # --- about a transmission -------------------------------------------------------------------------------------

    def open(self, person: Person, command: c.OpenTransmission, context: Context) -> Answer:
        """Items are proposed; what they are is read from own intake first."""
        if command.alliance not in self.alliances:
            return Refused(Reason.UNKNOWN_ALLIANCE)
        transmission = of_handover(person, command.handover) or Transmission(command.transmission, command.handover)
        return of_person(person, TRANSMISSIONS.decide(transmission, command, context))

    def take_flags(self, person: Person, command: c.TakeFlags, context: Context) -> Answer:
        """The items are known now: decide. An answer to an older proposal changes nothing."""
        transmission = of_handover(person, command.handover)
        if transmission is None:
            return Refused(Reason.UNKNOWN_HANDOVER, unknown=command.handover)
        decided = of_person(person, TRANSMISSIONS.decide(transmission, command, context))
        fresh = transmission.state is TransmissionState.UNDECIDED and command.proposal == transmission.proposal
        if isinstance(decided, Refused) or not fresh:
            return decided
        return self._decided_alone(person, decided, transmission.id, context)

    def state_task(self, person: Person, command: c.StateTask, context: Context) -> Answer:
        """A task of the law is stated: what rests on it is decided at once."""
        transmission = of_handover(person, command.handover)
        if transmission is None:
            return Refused(Reason.UNKNOWN_HANDOVER, unknown=command.handover)
        about = question(
            person, transmission, self.alliances.get(transmission.alliance), self.agency, context.now
        )
        command = replace(command, rows=naming(command.stated.norm, about))
        decided = of_person(person, TRANSMISSIONS.decide(transmission, command, context))
        if isinstance(decided, Refused) or not transmission.decided:
            return decided
        return self._decided_alone(person, decided, transmission.id, context)

    def note_stored(self, person: Person, command: c.NoteStored, context: Context) -> Answer:
        """The recipient has it: it is not to be fetched again."""
        transmission = of_handover(person, command.handover)
        if transmission is None:
            return Refused(Reason.UNKNOWN_HANDOVER, unknown=command.handover)
        return of_person(person, TRANSMISSIONS.decide(transmission, command, context))

    def note_handover(self, person: Person, command: c.NoteHandover, context: Context) -> Answer:
        """The own copy of the handover has moved: at the sender a transmission, at the receiver a reception."""
        if command.side is Side.RECEIVER:
            decided = _reception(person, command, context)
        else:
            decided = _moved(person, command, context)
        left = NOTHING_LEFT & {command.handover_state, command.recorded}
        if not left or isinstance(decided, Refused):
            return decided
        decided = lapsed(decided, command.handover, context)
        if command.side is Side.SENDER:
            return answered_in_turn(decided, context)
        lines = passed_on(decided.subject, came_by(decided.subject, command.handover))
        decided = self._told_onward(decided, lines, command.first_duty, context)
        return self._decided_again(decided, context) if person.transmissions else decided

    def tell_release(self, person: Person, command: c.TellRelease, context: Context) -> Answer:
        """A release is over."""
        release = found(person.releases, command.release)
        if release is None:
            return Refused(Reason.UNKNOWN_RELEASE, unknown=command.release)
        return of_person(person, RELEASES.decide(release, command, context))

    # --- about what was received ----------------------------------------------------------------------------------

    def confirm_storage(self, person: Person, command: c.ConfirmStorage, context: Context) -> Answer:
        """Own intake has stored what came by a release."""
        return _reception(person, command, context)

    # --- about a duty ---------------------------------------------------------------------------------------------

    def owe(self, person: Person, command: c.OweAnswer, context: Context) -> Answer:
        """An answer is owed, unless the handover has ended in a way that leaves nothing here.

        Those to whom something of it was passed on are told in turn, and it is passed on no more.
        """
        duty = found(person.duties, command.duty) or Duty(command.duty)
        reception = found(person.receptions, command.handover)
        known = reception is not None and reception.state is ReceptionState.HEARD
        if known and reception is not None and reception.sender != command.counterpart:
            return Refused(Reason.NOT_THE_COUNTERPART)
        nothing = reception is not None and left_nothing(reception)
        decided = of_person(person, DUTIES.decide(duty, c.OweNothing(command) if nothing else command, context))
        if isinstance(decided, Refused):
            return decided
        lines = passed_on(decided.subject, command.releases, command.items)
        decided = self._told_onward(decided, lines, command.first_duty, context, latest=command.answer_by)
        return self._decided_again(decided, context)

    def on_duty(self, person: Person, command: "AboutDuty", context: Context) -> Answer:
        """The other agency's answer, or our own."""
        duty = found(person.duties, command.duty)
        if duty is None:
            return Refused(Reason.UNKNOWN_DUTY, unknown=command.duty)
        if isinstance(command, c.AnswerErased):
            command = replace(command, items=received_by_duty(person, duty))
        decided = of_person(person, DUTIES.decide(duty, command, context))
        return decided if isinstance(decided, Refused) else answered_in_turn(decided, context)

    # --- what follows ---------------------------------------------------------------------------------------------

    def _decided_again(self, decided: Decided[Person], context: Context) -> Decided[Person]:
        """Every open transmission is decided in the same transaction; the clock is set to the next begin or end."""
        after, tells = decided.subject, decided.tells
        for transmission in after.transmissions:
            if transmission.decided:
                after, more = self._decide_transmission(after, transmission.id, context)
                tells += more
        after = replace(after, spoken_of=decided.subject.spoken_of)
        deadlines = (*decided.deadlines, next_look(after, context.now))
        return replace(decided, subject=after, tells=tells, deadlines=deadlines)

    def _decided_alone(
        self, before: Person, decided: Decided[Person], wanted: UUID, context: Context
    ) -> Decided[Person]:
        """One transmission is decided; the clock is set anew where that changes when something begins or ends next.

        It seldom does: only a row of the matrix ends otherwise than a grant, whose giving has set the clock.
        """
        after, tells = self._decide_transmission(decided.subject, wanted, context)
        look = next_look(after, context.now)
        deadlines = decided.deadlines if look == next_look(before, context.now) else (*decided.deadlines, look)
        return replace(decided, subject=after, tells=decided.tells + tells, deadlines=deadlines)

    def _decide_transmission(self, person: Person, wanted: UUID, context: Context) -> tuple[Person, tuple[Tell, ...]]:
        transmission = found(person.transmissions, wanted)
        if transmission is None:
            raise ValueError("only a transmission of this person can be decided")
        alliance = self.alliances.get(transmission.alliance)
        about = question(person, transmission, alliance, self.agency, context.now)
        verdicts = decide_all(transmission.asked, transmission.items, about)
        decision = Decision(
            transmission.id, context.now, transmission.alliance, alliance.version if alliance else 0, verdicts
        )
        person = replace(person, decisions=(*person.decisions, decision))
        if transmission.state is not TransmissionState.UNDECIDED and _same(transmission.verdicts, verdicts):
            return with_part(person, replace(transmission, verdicts=verdicts)), ()  # on other bases, perhaps
        spoken = TRANSMISSIONS.decide(transmission, outcome(transmission.verdicts, verdicts), context)
        return folded(person, (), spoken)

    def _told_onward(
        self, decided: Decided[Person], lines: tuple[Disclosed, ...], first: DutyId, context: Context,
        *, latest: datetime | None = None,
    ) -> Decided[Person]:
        """Art. 19 GDPR: whoever got from us what came from elsewhere is told that its basis has ended.

        `latest`: when our own answer is due, which waits for theirs.
        """
        return answered_in_turn(self._demand_answers(decided, lines, first, context, latest=latest), context)

    def _demand_answers(
        self, decided: Decided[Person], lines: tuple[Disclosed, ...], first: DutyId, context: Context,
        *, consent: ConsentId | None = None, latest: datetime | None = None,
    ) -> Decided[Person]:
        """A duty for every handover by which one of these lines has left.

        Whose answer somebody else waits for answers before `latest`, but has three days in any case.
        """
        person, tells = decided.subject, decided.tells
        spoken_of = person.spoken_of
        for n, (handover, left) in enumerate(by_handover(lines)):
            releases = releases_of(left)
            demand = c.DemandAnswer(
                DutyId(UUID(int=first.int + n)), consent, handover, left[0].recipient, left[0].alliance, releases,
                part_of(person, releases, left), self._answer_by(left[0], latest, context.now),
            )
            if not nothing_left(person, handover):
                person, tells = folded(person, tells, DUTIES.decide(Duty(demand.duty), demand, context))
        return replace(decided, subject=replace(person, spoken_of=spoken_of), tells=tells)

    def _answer_by(self, line: Disclosed, latest: datetime | None, now: datetime) -> datetime:
        alliance = self.alliances.get(line.alliance)
        agreement = alliance.agreement(self.agency, line.recipient, day_of(now)) if alliance else None
        usual = now + (timedelta(days=agreement.deadlines.duty_answer_days) if agreement else ANSWER_WITHIN)
        return usual if latest is None else min(usual, max(latest - REMIND_BEFORE, now + REMIND_BEFORE))


Ending = c.WithdrawConsent | c.WithdrawGrants | c.InvalidateConsent
AboutDuty = c.HearAnswer | c.AnswerRetained | c.AnswerErased | c.HearErased

_NOBODY: Any = UUID(int=0)

_DECIDES: Mapping[type, Callable[[Law, Person, Any, Context], Answer]] = {
    c.KnowPerson: Law.know,
    c.LookAgain: Law.look_again,
    c.RequestConsent: Law.ask,
    c.GiveConsent: Law.give,
    c.RefuseConsent: Law.change,
    c.WithdrawConsent: Law.end,
    c.WithdrawGrants: Law.end,
    c.InvalidateConsent: Law.end,
    c.ClearGrants: Law.clear,
    c.WithdrawClearance: Law.clear,
    c.NoteInsight: Law.note_insight,
    c.Restrict: Law.restrict,
    c.LiftRestriction: Law.lift,
    c.GiveWaiver: Law.waive,
    c.WithdrawWaiver: Law.withdraw_waiver,
    c.OpenTransmission: Law.open,
    c.TakeFlags: Law.take_flags,
    c.StateTask: Law.state_task,
    c.NoteStored: Law.note_stored,
    c.NoteHandover: Law.note_handover,
    c.TellRelease: Law.tell_release,
    c.ConfirmStorage: Law.confirm_storage,
    c.OweAnswer: Law.owe,
    c.HearAnswer: Law.on_duty,
    c.AnswerRetained: Law.on_duty,
    c.AnswerErased: Law.on_duty,
    c.HearErased: Law.on_duty,
}


def _in_its_place(decided: Decided[Person], replaced: ConsentId, context: Context) -> Answer:
    """The older consent ends by the new one; what is answered speaks of the new one."""
    older = found(decided.subject.consents, replaced)
    if older is None:
        return Refused(Reason.UNKNOWN_CONSENT, unknown=replaced)
    ended = CONSENTS.decide(older, c.ReplaceConsent(replaced), context)
    if isinstance(ended, Refused):
        return ended
    after, tells = folded(decided.subject, decided.tells, ended)
    tells += told(after.id, older, ended.subject)
    return replace(decided, subject=replace(after, spoken_of=decided.subject.spoken_of), tells=tells)


def _to_renew(decided: Decided[Person], context: Context) -> Decided[Person]:
    """A guardian's consents of which it is not said yet that they are to be renewed, for this reason.

    One that is over by the clock is none of them, also where nobody has looked since.
    """
    person, tells = decided.subject, decided.tells
    for consent in person.consents:
        word = renewal_due(consent, person.age_band, insight_noted=person.insight_noted)
        if word is not None and any_left(consent, context.now):
            reminded = CONSENTS.decide(consent, word, context)
            person, tells = folded(person, tells, reminded)
            tells += told(person.id, consent, found(person.consents, consent.id) or consent)
    return replace(decided, subject=replace(person, spoken_of=None), tells=tells)


def _reception(person: Person, command: c.NoteHandover | c.ConfirmStorage, context: Context) -> Answer:
    reception = found(person.receptions, command.handover) or Reception(command.handover)
    return of_person(person, RECEPTIONS.decide(reception, command, context))


def _moved(person: Person, command: c.NoteHandover, context: Context) -> Answer:
    """A handover that ended before anything was proposed has no transmission, and nothing to close."""
    transmission = of_handover(person, command.handover)
    if transmission is None:
        return Decided(replace(person, spoken_of=None))
    over = command.handover_state in END_STATES
    word = c.CloseTransmission(command) if over else c.KeepOpen(command)
    return of_person(person, TRANSMISSIONS.decide(transmission, word, context))


# --- grants and what rests on them ------------------------------------------------------------------------------------


def _whole(consent: Consent, command: Ending) -> Ending:
    """Taking back the last grants is taking back the consent."""
    if not isinstance(command, c.WithdrawGrants) or not consent.has(command.grants):
        return command
    left = {grant.id for grant in consent.grants if grant.withdrawn_at is None} - command.grants
    return command if left else c.WithdrawConsent(command.consent, command.first_duty)


def _same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether the same would be said of every item again."""
    return [(i.id, i.verdict, i.reason) for i in before] == [(i.id, i.verdict, i.reason) for i in now]


