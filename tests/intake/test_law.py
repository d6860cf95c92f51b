"""The law of a case: who may do what when, who hears of it, and what an end leaves behind."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from chassis.transitions import Arm, Context, Decided, Disarm, Refused
from contracts.codes import AgeBand, CompetenceArea, DataCategory, Need, Phase
from contracts.ids import HandoverRef
from contracts.intake import CaseActivated, CaseChanged, CaseDossierStored, CaseItemsErased, CaseRegistered
from contracts.new_ids import new_id
from services.intake.domain import CASE, Case, DossierState, Reason, State, law
from services.intake.domain import commands as asked
from services.intake.domain.case import DossierReason, Warned
from services.intake.domain.effects import made_number, number_reserved
from services.intake.domain.phases import SchoolFacts
from tests.intake.builders import (
    ASSIGN,
    CLOSE,
    CONFIRM,
    NOW,
    PAUSE,
    REOPEN,
    a_need,
    a_person,
    a_received_case,
    after,
    an_active_case,
    an_item,
    announce,
    context,
    decide,
    end,
    erase,
    register,
    store,
    told,
)

SCHOOL = (DataCategory.SCHOOL, '{"school":"Musterschule"}')


def reason_of(decision: Decided[Case] | Refused) -> str:
    assert isinstance(decision, Refused), decision
    return decision.reason


# --- a case of our own ------------------------------------------------------------------------------------------------


def test_a_case_is_registered_clarified_and_activated() -> None:
    case = Case(new_id())
    assert told(decide(case, register())) == ["staffel.case.registered.v1"]
    case = after(case, register())
    assert told(decide(case, ASSIGN)) == ["staffel.case.clarifying.v1"]
    case = after(case, ASSIGN)
    assert told(decide(case, CONFIRM)) == ["staffel.case.activated.v1"]
    assert after(case, CONFIRM).state is State.ACTIVE


def test_what_is_told_at_activation_names_no_sensitive_and_no_entrusted_need() -> None:
    needs = (a_need(Need.ADDICTION), a_need(Need.DEBTS, entrusted=True), a_need(Need.LANGUAGE))
    decision = decide(after(Case(new_id()), register(needs=needs), ASSIGN), CONFIRM)
    assert isinstance(decision, Decided)
    fact = decision.tells[0].fact
    assert isinstance(fact, CaseActivated)
    assert fact.needs == (Need.LANGUAGE,)
    assert (fact.phase, fact.age_band) == (Phase.CONCRETION, AgeBand.FROM_15_TO_17)


def test_a_case_without_phase_or_needs_is_not_activated() -> None:
    without_phase = after(Case(new_id()), register(school=None), ASSIGN)
    assert reason_of(decide(without_phase, CONFIRM)) == Reason.PHASE_MISSING
    without_needs = after(Case(new_id()), register(needs=()), ASSIGN)
    assert reason_of(decide(without_needs, CONFIRM)) == Reason.NEEDS_MISSING
    assert after(without_needs, asked.ConfirmResponsibility(no_needs=True)).state is State.ACTIVE


def test_nobody_activates_a_case_without_a_contact_person() -> None:
    refused = decide(after(Case(new_id()), register()), CONFIRM)
    assert reason_of(refused) == Reason.NOT_NOW
    assert isinstance(refused, Refused)
    assert "AssignContactPerson" in refused.allowed
    assert "Purge" not in refused.allowed


def test_a_case_that_nobody_has_heard_of_is_unknown() -> None:
    refused = decide(Case(unknown := new_id()), ASSIGN)
    assert refused == Refused(Reason.UNKNOWN_CASE, unknown=unknown)


@pytest.mark.parametrize("born", [date(2026, 11, 24), date(1899, 1, 1)])
def test_nobody_is_registered_who_is_not_born_yet_or_cannot_be_alive(born: date) -> None:
    assert reason_of(decide(Case(new_id()), register(person=a_person(birth_date=born)))) == Reason.BIRTH_DATE_INVALID


def test_an_unexpected_age_is_registered_with_a_warning() -> None:
    case = after(Case(new_id()), register(person=a_person(birth_date=date(1990, 1, 1))))
    assert case.warned == {Warned.AGE_UNEXPECTED}


def test_a_possible_duplicate_is_warned_of_and_never_joined() -> None:
    case = after(Case(new_id(), duplicates=True), register())
    assert (case.state, case.warned) == (State.REGISTERED, frozenset({Warned.POSSIBLE_DUPLICATE}))


def test_a_local_number_stands_for_one_case() -> None:
    wanted = register(local_number="A-17")
    assert reason_of(law.decide(Case(new_id()), wanted, context())) == Reason.LOCAL_NUMBER_TAKEN
    free = law.decide(Case(new_id()), wanted, context(number_reserved("A-17")))
    assert isinstance(free, Decided)
    assert free.subject.local_number == "A-17"


def test_a_number_that_is_made_is_longer_where_the_short_one_is_taken() -> None:
    case = Case(UUID("019b0000-0000-7000-8000-0123456789ab"))
    short = law.decide(case, register(), context(number_reserved(made_number(case.id))))
    taken = law.decide(case, register(), context())
    assert isinstance(short, Decided)
    assert isinstance(taken, Decided)
    assert short.subject.local_number == "4D2PF2DB"
    assert str(taken.subject.local_number).endswith("4D2PF2DB")
    assert taken.subject.local_number != short.subject.local_number


def test_a_phase_set_by_hand_stays_until_new_school_facts() -> None:
    case = after(an_active_case(), asked.OverridePhase("worker-1", Phase.TRANSITION, "Schule abgebrochen"))
    assert case.phase is Phase.TRANSITION
    assert case.writes.phase_changes[-1].reason == "Schule abgebrochen"
    back = after(case, asked.RecordSchoolFacts("worker-1", SchoolFacts(grade=10, final_year=True)))
    assert back.phase is Phase.FINAL_YEAR


def test_the_profile_is_told_again_only_when_it_is_another_one() -> None:
    case = an_active_case()
    assert told(decide(case, asked.RecordNeed(a_need(Need.HOUSING)))) == ["staffel.case.changed.v1"]
    assert told(decide(case, asked.RecordNeed(a_need(Need.HEALTH)))) == []
    assert told(decide(case, asked.RecordNeed(a_need(severity=3)))) == []
    assert told(decide(after(Case(new_id()), register()), asked.RecordNeed(a_need(Need.HOUSING)))) == []


def test_a_need_that_was_never_recorded_cannot_be_resolved() -> None:
    assert reason_of(decide(an_active_case(), asked.ResolveNeed(Need.HOUSING))) == Reason.NEED_NOT_RECORDED
    assert told(decide(an_active_case(), asked.ResolveNeed(Need.TRAINING_SEARCH))) == ["staffel.case.changed.v1"]


def test_a_birthday_that_changes_the_age_band_is_told_and_the_next_one_awaited() -> None:
    birthday = datetime(2027, 5, 3, 22, 0, tzinfo=UTC)
    registered = decide(Case(new_id()), register())
    assert isinstance(registered, Decided)
    assert registered.deadlines == (Arm("age_band", birthday),)
    decision = decide(an_active_case(), asked.ReachAgeBand(), now=birthday)
    assert isinstance(decision, Decided)
    fact = decision.tells[0].fact
    assert isinstance(fact, CaseChanged)
    assert fact.age_band is AgeBand.FROM_18_TO_20
    assert decision.deadlines == (Arm("age_band", datetime(2030, 5, 3, 22, 0, tzinfo=UTC)),)


def test_a_pause_ends_on_a_day_ahead() -> None:
    today = replace(PAUSE, review_on=NOW.date())
    assert reason_of(decide(an_active_case(), today)) == Reason.REVIEW_NOT_AHEAD
    paused = after(an_active_case(), PAUSE)
    assert paused.state is State.PAUSED
    assert told(decide(paused, asked.Resume())) == ["staffel.case.activated.v1"]


def test_a_case_is_closed_exactly_while_it_has_a_destination() -> None:
    case = after(an_active_case(), CLOSE)
    assert (case.state, case.destination) == (State.CLOSED, CLOSE.destination)
    again = after(case, REOPEN)
    assert (again.state, again.destination) == (State.ACTIVE, None)


def test_a_case_is_reopened_until_its_retention_is_over_and_not_a_moment_longer() -> None:
    case = after(an_active_case(), CLOSE)
    last = NOW + timedelta(days=730)
    assert isinstance(decide(case, REOPEN, now=last), Decided)
    assert reason_of(decide(case, REOPEN, now=last + timedelta(seconds=1))) == Reason.RETENTION_OVER


def test_a_case_that_is_somebody_elses_task_is_found_so() -> None:
    """R18, § 16(2) SGB I: a wrong agency says so at once, and whose task it seems to be."""
    clarifying = after(Case(new_id()), register(), ASSIGN)
    decision = decide(clarifying, asked.DeclareNotResponsible(CompetenceArea.REHABILITATION))
    assert told(decision) == ["staffel.case.found_not_responsible.v1"]


def test_only_a_known_address_can_be_protected() -> None:
    nowhere = an_active_case(person=a_person(address=None))
    assert reason_of(decide(nowhere, asked.ProtectAddress(protected=True))) == Reason.ADDRESS_MISSING
    assert after(an_active_case(), asked.ProtectAddress(protected=True)).writes.protect_address is True


# --- the lead ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), (PAUSE,), (CLOSE,)])
def test_the_lead_goes_when_the_receiver_has_met_the_young_person(before: tuple[object, ...]) -> None:
    case = after(an_active_case(), *before)
    drop = asked.DropLead(HandoverRef(new_id()))
    assert told(decide(case, drop)) == ["staffel.case.handed_over.v1"]
    gone = after(case, drop)
    assert (gone.state, gone.leads) == (State.HANDED_OVER, False)
    assert told(decide(gone, drop)) == []


def test_a_case_handed_over_is_not_worked_on_any_more() -> None:
    gone = after(an_active_case(), asked.DropLead(HandoverRef(new_id())))
    for command in (ASSIGN, CONFIRM, PAUSE, CLOSE, REOPEN, asked.RecordNeed(a_need()), asked.AddItems((an_item(),))):
        assert reason_of(decide(gone, command)) == Reason.NOT_NOW


# --- a case that came by a handover -----------------------------------------------------------------------------------


def test_an_accepted_handover_opens_a_case_in_which_nobody_has_a_name() -> None:
    decision = decide(Case(reference := new_id()), announce(reference))
    assert told(decision) == ["staffel.case.announced.v1"]
    assert isinstance(decision, Decided)
    assert [errand.name for errand in decision.errands] == ["fetch_dossier"]
    case = decision.subject
    assert (case.dossier, case.birth_date, case.leads, case.person) == (DossierState.PENDING, None, False, reference)


def test_an_announcement_heard_twice_makes_no_second_case() -> None:
    case = after(Case(reference := new_id()), announce(reference))
    again = decide(case, announce(reference))
    assert told(again) == []
    assert isinstance(again, Decided)
    assert again.subject.state is State.ANNOUNCED
    stored = after(case, store(reference))
    assert decide(stored, announce(reference)) == Decided(stored)


def test_the_dossier_registers_the_announced_case() -> None:
    case = after(Case(reference := new_id()), announce(reference))
    dossier = store(reference, SCHOOL)
    decision = decide(case, dossier)
    assert told(decision) == ["staffel.case.dossier_stored.v1", "staffel.case.registered.v1"]
    assert isinstance(decision, Decided)
    stored, registered = (tell.fact for tell in decision.tells)
    assert isinstance(stored, CaseDossierStored)
    assert isinstance(registered, CaseRegistered)
    assert [item.id for item in stored.items] == [one.provenance.source_item for one in dossier.items if one.provenance]
    assert (registered.person, registered.handover) == (reference, reference)
    assert not {item.id for item in stored.items} & {item.id for item in decision.subject.writes.items}


def test_a_dossier_without_a_person_registers_with_the_age_of_the_preview() -> None:
    case = after(Case(reference := new_id()), announce(reference), store(reference, SCHOOL, named=False))
    assert (case.state, case.age_band, case.birth_date) == (State.REGISTERED, AgeBand.FROM_15_TO_17, None)


def test_who_comes_before_the_dossier_is_registered_by_hand_and_known_better() -> None:
    case = after(Case(reference := new_id()), announce(reference), register(person=a_person(given_names="Zoë")))
    assert (case.state, case.person) == (State.REGISTERED, reference)
    decision = decide(case, store(reference))
    assert told(decision) == ["staffel.case.dossier_stored.v1"]
    assert isinstance(decision, Decided)
    assert decision.subject.writes.person == case.writes.person


def test_a_dossier_is_stored_once_and_a_second_one_dropped() -> None:
    case = a_received_case()
    assert decide(case, store(case.id)) == Decided(case)


def test_a_part_is_stored_and_the_rest_asked_for_and_nothing_is_kept_twice() -> None:
    case = after(Case(reference := new_id()), announce(reference))
    first = store(reference, SCHOOL, part=True)
    decision = decide(case, first)
    assert isinstance(decision, Decided)
    assert decision.errands[0].about["after"] == str(first.release)
    half = after(case, first)
    assert (half.state, half.dossier) == (State.REGISTERED, DossierState.PENDING)
    rest = replace(store(reference), items=first.items, person=None)
    whole = after(half, rest)
    assert whole.dossier is DossierState.STORED
    assert len(whole.writes.items) == len(first.items)


def test_a_refusal_of_the_door_is_shown_and_can_be_asked_again() -> None:
    case = after(Case(reference := new_id()), announce(reference), asked.NoteRefusal(DossierReason.NOT_OPEN))
    assert (case.dossier, case.dossier_reason) == (DossierState.REFUSED, DossierReason.NOT_OPEN)
    again = decide(case, asked.FetchDossier())
    assert isinstance(again, Decided)
    assert (again.subject.dossier, len(again.errands)) == (DossierState.PENDING, 1)
    assert reason_of(decide(a_received_case(), asked.FetchDossier())) == Reason.NOTHING_TO_FETCH


def test_where_all_that_may_be_kept_has_come_in_parts_the_rest_is_no_refusal() -> None:
    """§ 31a SGB III: what its list does not have is never confirmed, and so comes last, alone, and again."""
    case = a_received_case()
    waiting = replace(case, dossier=DossierState.PENDING)
    over = after(waiting, asked.NoteRefusal(DossierReason.NOT_LISTED))
    assert (over.dossier, over.dossier_reason) == (DossierState.STORED, None)
    nothing = after(Case(reference := new_id()), announce(reference), asked.NoteRefusal(DossierReason.NOT_LISTED))
    assert (nothing.dossier, nothing.dossier_reason) == (DossierState.REFUSED, DossierReason.NOT_LISTED)


def test_a_handover_accepted_again_after_a_denied_cancellation_asks_the_door_again() -> None:
    case = after(Case(reference := new_id()), announce(reference), asked.NoteRefusal(DossierReason.NOT_OPEN))
    again = decide(case, announce(reference))
    assert isinstance(again, Decided)
    assert [errand.name for errand in again.errands] == ["fetch_dossier"]


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.ANNOUNCED, State.REGISTERED, State.CLARIFYING, State.ACTIVE])
def test_an_end_that_purges_discards_a_case_in_which_nothing_is_our_own(state: State) -> None:
    case = a_received_case(state)
    decision = decide(case, end(case.id, purge=True))
    assert told(decision) == ["staffel.case.discarded.v1", "staffel.case.items_erased.v1"]
    assert isinstance(decision, Decided)
    gone = decision.subject
    assert gone.held == ()
    assert (gone.state, gone.needs, gone.phase, gone.age_band) == (State.DISCARDED, (), None, None)
    assert gone.writes.erase_person
    assert gone.writes.erase_items == {item.id for item in case.held}
    assert decision.deadlines == (Disarm("age_band"), Disarm("time_limit"))


def test_an_end_that_purges_keeps_what_is_our_own_and_erases_all_that_came() -> None:
    case = after(a_received_case(State.CLARIFYING), asked.AddItems((an_item(),)))
    decision = decide(case, end(case.id, purge=True))
    assert told(decision) == ["staffel.case.items_erased.v1"]
    assert isinstance(decision, Decided)
    kept = decision.subject
    assert (kept.state, kept.held, kept.birth_date) == (State.CLARIFYING, (), None)
    assert kept.writes.erase_items == {item.id for item in case.held}


def test_a_case_that_leads_is_never_discarded() -> None:
    case = after(a_received_case(State.ACTIVE), asked.TakeLead())
    kept = after(case, end(case.id, purge=True))
    assert (kept.state, kept.held, kept.writes.erase_person) == (State.ACTIVE, (), True)


def test_after_a_stop_the_dossier_is_kept_until_the_duty_is_answered() -> None:
    case = a_received_case()
    stopped = after(case, end(case.id, purge=False))
    assert (stopped.state, stopped.held, stopped.dossier) == (State.REGISTERED, case.held, DossierState.ENDED)
    release = case.held[0].release
    decision = decide(stopped, erase(case.id, release))
    assert told(decision) == ["staffel.case.discarded.v1", "staffel.case.items_erased.v1"]


def test_a_demand_that_overtakes_the_stop_erases_and_the_stop_discards() -> None:
    case = a_received_case()
    erased = after(case, erase(case.id, case.held[0].release))
    assert (erased.state, erased.held) == (State.REGISTERED, ())
    assert told(decide(erased, end(case.id, purge=False)))[0] == "staffel.case.discarded.v1"


def test_a_demand_erases_exactly_what_came_by_its_releases() -> None:
    parts = (store(reference := new_id(), part=True), store(reference, SCHOOL))
    case = after(Case(reference), announce(reference), *parts)
    first, second = dict.fromkeys(item.release for item in case.held)
    decision = decide(case, demand := erase(reference, second))
    assert isinstance(decision, Decided)
    assert {item.release for item in decision.subject.held} == {first}
    fact = decision.tells[0].fact
    assert isinstance(fact, CaseItemsErased)
    assert set(fact.items) == {item.source_item for item in case.held if item.release == second}
    assert fact.duty == demand.duty
    assert decision.subject.birth_date is not None


def test_bytes_whose_erasure_was_demanded_while_they_were_on_their_way_are_dropped_and_the_door_asked_anew() -> None:
    case = after(Case(reference := new_id()), announce(reference))
    dossier = store(reference, SCHOOL)
    demanded = after(case, erase(reference, dossier.release))
    decision = decide(demanded, dossier)
    assert told(decision) == []
    assert isinstance(decision, Decided)
    assert decision.subject.writes.items == ()
    assert (decision.subject.dossier, len(decision.errands)) == (DossierState.PENDING, 1)
    assert after(demanded, store(reference, SCHOOL)).dossier is DossierState.STORED


def test_a_demand_is_answered_even_where_nothing_is_left() -> None:
    case = a_received_case()
    gone = after(case, end(case.id, purge=True))
    assert told(decide(gone, erase(case.id, case.held[0].release))) == ["staffel.case.items_erased.v1"]


@pytest.mark.parametrize("purge", [True, False])
def test_bytes_that_come_after_the_end_are_dropped_unread(*, purge: bool) -> None:
    case = after(a_received_case(State.ANNOUNCED), asked.TakeLead())
    ended = after(case, end(case.id, purge=purge))
    assert decide(ended, store(case.id, SCHOOL)) == Decided(ended)
    discarded = after(a_received_case(State.ANNOUNCED), end(case.id, purge=purge))
    assert discarded.state is State.DISCARDED
    assert decide(discarded, store(case.id)) == Decided(discarded)


def test_what_a_preview_said_goes_with_the_end_that_purges() -> None:
    case = after(a_received_case(State.ACTIVE), asked.TakeLead())
    kept = after(case, end(case.id, purge=True))
    assert (kept.needs, kept.phase, kept.age_band) == ((), None, None)


def test_a_completed_handover_that_is_voided_later_is_purged() -> None:
    case = after(a_received_case(State.ACTIVE), asked.TakeLead())
    completed = after(case, end(case.id, purge=False))
    assert completed.held == case.held
    voided = after(completed, end(case.id, purge=True))
    assert (voided.state, voided.held) == (State.ACTIVE, ())


def test_more_items_than_one_event_names_are_told_in_several() -> None:
    case = a_received_case()
    many = replace(case, held=tuple(replace(case.held[0], id=new_id(), source_item=new_id()) for _ in range(1001)))
    decision = decide(many, end(case.id, purge=True))
    assert isinstance(decision, Decided)
    erased = [tell.fact for tell in decision.tells if isinstance(tell.fact, CaseItemsErased)]
    assert [len(fact.items) for fact in erased] == [500, 500, 1]


def test_no_end_is_left_by_a_command_of_people() -> None:
    for state in (State.HANDED_OVER, State.DISCARDED):
        assert {row.then for row in CASE.rows if row.while_ is state} == {state}


def test_a_reservation_is_asked_for_by_what_makes_a_number_and_by_nothing_else() -> None:
    case = new_id()
    assert law.reserves(case, register(local_number="A-17")) == (number_reserved("A-17"),)
    assert law.reserves(case, announce(case)) == (number_reserved(made_number(case)),)
    assert law.reserves(case, ASSIGN) == ()
    assert isinstance(context(), Context)
