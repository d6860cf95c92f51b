"""The rules of a handover beside its tables: guards, reasons, clocks, the baton, what is told at home."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from chassis.transitions import Arm, Context, Decided, Disarm, Refused, Reservation
from contracts.calendar import end_of
from contracts.codes import END_STATES, AgeBand, ContactChannel, Kind, Need, Phase, Purpose, Side, Urgency
from contracts.handover import HandoverChanged, HandoverProposed, HandoverRequested
from contracts.ids import CaseId
from contracts.new_ids import new_id
from services.handover import domain
from services.handover.domain import (
    RECEIVER,
    SENDER,
    TABLES,
    Around,
    CaseState,
    Clock,
    Handover,
    KnownCase,
    Reason,
    State,
    commands,
)
from services.handover.domain.clocks import RUNS, working_days_after
from services.handover.domain.commands import Source
from tests.handover.builders import (
    AGENTUR,
    ALLIANCE,
    ITEMS,
    JOBCENTER,
    JUGENDAMT,
    NOW,
    OUR_CASE,
    PERSON,
    REFERENCE,
    a_command,
    a_handover,
    a_known_case,
    a_matter,
    after,
    around,
    decide,
    denies,
    nothing_yet,
    permits,
    three_attempts,
)


def refused(handover: Handover, command: commands.Command, now: datetime = NOW) -> Reason:
    outcome = decide(handover, command, now)
    assert isinstance(outcome, Refused), outcome
    assert isinstance(outcome.reason, Reason)
    return outcome.reason


def decided(handover: Handover, command: commands.Command, now: datetime = NOW) -> Decided[Handover]:
    outcome = decide(handover, command, now)
    assert isinstance(outcome, Decided), outcome
    return outcome


# --- the tables as a whole --------------------------------------------------------------------------------------------


def test_no_end_is_ever_left() -> None:
    assert all(row.then is row.while_ for table in TABLES.values() for row in table.rows if row.while_ in END_STATES)


def every_row() -> Iterator[tuple[Handover, commands.Command]]:
    """A handover and a valid command for every row of every table."""
    for side, table in TABLES.items():
        for row in table.rows:
            blank = row.while_ is State.NONE
            yield nothing_yet(side) if blank else a_handover(State(row.while_), side), a_command(row.on)


@pytest.mark.parametrize(("handover", "command"), list(every_row()))
def test_every_change_of_state_lead_or_recorded_end_is_told_at_home(
    handover: Handover, command: commands.Command
) -> None:
    outcome = decided(handover, command)
    now = outcome.subject
    moved = (now.state, now.lead, now.recorded) != (handover.state, handover.lead, handover.recorded)
    told = [tell.fact for tell in outcome.tells if isinstance(tell.fact, HandoverChanged)]
    assert len(told) == moved
    for fact in told:
        assert (fact.before, fact.state) == (handover.state, now.state)
        assert (fact.lead, fact.recorded) == (now.lead, now.recorded)
        assert fact.on is command.trigger
        assert fact.preview == (now.preview if now.side is Side.RECEIVER else None)


@pytest.mark.parametrize(("handover", "command"), list(every_row()))
def test_only_clocks_of_the_state_are_left_running(handover: Handover, command: commands.Command) -> None:
    now = decided(handover, command).subject
    ending = {Clock.RESPOND} if now.state is State.WAITLISTED else set()  # after the second missed review
    assert set(now.due) <= set(RUNS.get((now.side, now.state), {})) | ending


def test_every_clock_strikes_something_the_table_knows_in_every_state_it_runs_in() -> None:
    for (side, state), running in RUNS.items():
        for clock in running:
            assert TABLES[side].row(state, domain.STRIKES[clock]), f"{clock} runs in {state} and would be refused"


def test_what_is_not_in_the_table_is_refused_with_what_a_person_may_do_instead() -> None:
    outcome = decide(a_handover(State.ACCEPTED, Side.RECEIVER), commands.Accept())
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.state) == (Reason.NOT_NOW, State.ACCEPTED)
    assert outcome.allowed == ("RecordFirstContact", "RecordNotReached", "GiveBack")


def test_what_is_allowed_is_a_persons_choice_and_never_a_fact_or_a_clock() -> None:
    desk = {on.__name__ for on in vars(commands).values() if getattr(on, "source", None) is Source.DESK}
    handovers = [replace(a_handover(), side=side, state=state) for side in Side for state in State]
    assert {name for handover in handovers for name in domain.allowed(handover)} < desk


def test_a_command_on_an_unknown_handover_names_it_as_unknown() -> None:
    outcome = decide(nothing_yet(Side.RECEIVER), commands.Accept())
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.unknown) == (Reason.HANDOVER_NOT_KNOWN, REFERENCE)


# --- drafting and proposing -------------------------------------------------------------------------------------------


def draft(**matter: Any) -> commands.Command:
    return a_command(commands.Draft, matter=a_matter(**matter))


def test_a_draft_leads_and_knows_whose_case_it_is() -> None:
    drafted = after(nothing_yet(), draft())
    assert (drafted.side, drafted.lead, drafted.person, drafted.items) == (Side.SENDER, True, PERSON, ITEMS)


def test_an_agency_does_not_hand_over_to_itself() -> None:
    assert refused(nothing_yet(), draft(counterpart=JOBCENTER)) is Reason.SAME_AGENCY


def test_a_kind_that_moves_no_lead_is_refused_until_it_exists() -> None:
    assert refused(nothing_yet(), draft(kind=Kind.INVOLVEMENT)) is Reason.KIND_NOT_SUPPORTED


@pytest.mark.parametrize(
    "matter",
    [{"counterpart": AGENTUR}, {"purpose": Purpose.REHABILITATION}, {"alliance": "elsewhere"}],
    ids=["no agreement with it", "not for this purpose", "another alliance"],
)
def test_without_an_agreement_for_the_pair_and_the_purpose_nothing_is_drafted(matter: dict[str, Any]) -> None:
    assert refused(nothing_yet(), draft(**matter)) is Reason.NO_AGREEMENT


def test_an_agreement_that_is_over_is_none() -> None:
    assert refused(nothing_yet(), draft(), NOW.replace(year=2036)) is Reason.NO_AGREEMENT


def test_a_case_nobody_has_told_of_is_named_as_unknown() -> None:
    case = CaseId(new_id(NOW - timedelta(seconds=5)))
    outcome = decide(Handover(REFERENCE, around=around(case=None)), a_command(commands.Draft, case=case))
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.unknown) == (Reason.CASE_NOT_KNOWN, case)


@pytest.mark.parametrize(("age_seconds", "waits"), [(5, True), (61, False)])
def test_a_case_that_was_registered_moments_ago_may_be_active_already(age_seconds: int, waits: bool) -> None:
    case = a_known_case(id=CaseId(new_id(NOW - timedelta(seconds=age_seconds))), state=CaseState.REGISTERED)
    outcome = decide(Handover(REFERENCE, around=around(case=case)), a_command(commands.Draft, case=case.id))
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.unknown) == (Reason.CASE_NOT_ACTIVE, case.id if waits else None)


def test_a_case_whose_id_carries_no_time_is_not_waited_for() -> None:
    case = a_known_case(id=CaseId(UUID("0190cade-0000-4000-8000-000000000001")), state=CaseState.REGISTERED)
    outcome = decide(Handover(REFERENCE, around=around(case=case)), a_command(commands.Draft, case=case.id))
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.unknown) == (Reason.CASE_NOT_ACTIVE, None)


@pytest.mark.parametrize("state", [state for state in CaseState if state not in {CaseState.ACTIVE, CaseState.NONE}])
def test_only_an_active_case_can_be_drafted_or_proposed(state: CaseState) -> None:
    other = around(case=a_known_case(state=state))
    assert refused(Handover(REFERENCE, around=other), draft()) is Reason.CASE_NOT_ACTIVE
    propose = a_command(commands.Propose)
    assert refused(a_handover(State.DRAFT, around=other), propose) is Reason.CASE_NOT_ACTIVE


def test_proposing_takes_the_baton_and_the_preview_and_asks_consent() -> None:
    outcome = decided(a_handover(State.DRAFT, preview=None), a_command(commands.Propose))
    proposed = outcome.subject
    assert proposed.holds_baton
    assert proposed.preview is not None
    assert (proposed.preview.phase, proposed.preview.age_band) == (Phase.TRANSITION, AgeBand.FROM_18_TO_20)
    fact = outcome.tells[0].fact
    assert isinstance(fact, HandoverProposed)
    assert (fact.case, fact.person, fact.recipient, fact.items) == (OUR_CASE, PERSON, JUGENDAMT, ITEMS)


def test_a_case_that_is_reserved_cannot_be_proposed_again() -> None:
    propose, handover = a_command(commands.Propose), a_handover(State.DRAFT)
    assert domain.reserves(handover.id, propose) == (Reservation("baton", str(OUR_CASE)),)
    outcome = domain.decide(handover, propose, Context(NOW))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.CASE_RESERVED


def test_the_baton_of_another_case_does_not_help() -> None:
    other = a_command(commands.Propose, case=CaseId(new_id(NOW)))
    assert refused(a_handover(State.DRAFT), other) is Reason.ANOTHER_CASE


def test_an_agreement_that_ended_since_the_draft_stops_the_proposal() -> None:
    assert refused(a_handover(State.DRAFT), a_command(commands.Propose), NOW.replace(year=2036)) is Reason.NO_AGREEMENT


def test_what_consent_permits_whole_is_asked_with_the_preview() -> None:
    outcome = decided(a_handover(State.PROPOSED), commands.Request(permits(*ITEMS)))
    fact = outcome.tells[0].fact
    assert outcome.subject.state is State.REQUESTED
    assert isinstance(fact, HandoverRequested)
    assert fact.preview.needs == (Need.HOUSING,)


def test_what_consent_permits_in_part_waits_for_a_basis_and_keeps_the_baton() -> None:
    handover = after(a_handover(State.PROPOSED), commands.AwaitBasis(permits(ITEMS[0]) + denies(*ITEMS[1:])))
    assert (handover.state, handover.basis, handover.holds_baton) == (State.AWAITING_BASIS, False, True)


def test_a_cut_package_is_proposed_again_and_an_older_permit_covers_it() -> None:
    waiting = after(a_handover(State.PROPOSED), commands.DenyBasis(denies(*ITEMS)))
    cut = decided(waiting, commands.CutPackage(ITEMS[:1]))
    assert isinstance(cut.tells[0].fact, HandoverProposed)
    assert after(cut.subject, commands.Request(permits(*ITEMS))).state is State.REQUESTED


@pytest.mark.parametrize("keep", [(), ITEMS, (ITEMS[0], PERSON)], ids=["nothing", "everything", "something new"])
def test_a_cut_leaves_something_takes_something_and_adds_nothing(keep: tuple[object, ...]) -> None:
    assert refused(a_handover(State.AWAITING_BASIS), a_command(commands.CutPackage, keep=keep)) is Reason.NOT_A_CUT


def test_a_permit_that_does_not_cover_the_package_asks_nobody() -> None:
    assert refused(a_handover(State.PROPOSED), commands.Request(permits(*ITEMS[:2]))) is Reason.NO_BASIS


def test_what_waits_thirty_days_for_a_basis_is_a_draft_again_and_frees_the_case() -> None:
    waiting = after(a_handover(State.PROPOSED), commands.DenyBasis(denies(*ITEMS)))
    assert waiting.due == {Clock.BASIS: NOW + timedelta(days=30)}
    lapsed = decided(waiting, commands.LapseBasis())
    assert (lapsed.subject.state, lapsed.subject.holds_baton) == (State.DRAFT, False)
    assert lapsed.frees == (Reservation("baton", str(OUR_CASE)),)


def test_hearing_no_again_does_not_begin_the_wait_anew() -> None:
    waiting = after(a_handover(State.PROPOSED), commands.DenyBasis(denies(*ITEMS)))
    again = decided(waiting, commands.DenyBasis(denies(*ITEMS)), NOW + timedelta(days=7))
    assert again.deadlines == ()


# --- the baton --------------------------------------------------------------------------------------------------------

AGREED_BUT_NOT_MET: Final = (State.ACCEPTED, State.CANCELLING)


@pytest.mark.parametrize("state", AGREED_BUT_NOT_MET)
@pytest.mark.parametrize("on", [commands.ConsentWithdrawn, commands.Void])
def test_a_sender_that_ends_alone_after_both_said_yes_keeps_the_case_reserved(
    state: State, on: type[commands.Command]
) -> None:
    outcome = decided(a_handover(state), a_command(on))
    assert outcome.subject.awaits_word
    assert outcome.frees == ()


@pytest.mark.parametrize(
    "word",
    [commands.EndHeard, commands.NotReached, commands.GivenBack, commands.CancelConfirmed, commands.Completed],
)
def test_the_word_awaited_frees_the_case(word: type[commands.Command]) -> None:
    outcome = decided(a_handover(State.STOPPED, awaits_word=True), a_command(word))
    assert outcome.frees == (Reservation("baton", str(OUR_CASE)),)
    assert not outcome.subject.holds_baton


def test_a_denied_cancel_request_is_not_the_word_awaited() -> None:
    outcome = decided(a_handover(State.VOIDED, awaits_word=True), a_command(commands.CancelDenied))
    assert outcome.subject.awaits_word
    assert outcome.frees == ()


@pytest.mark.parametrize("state", [State.ACCEPTED, State.CANCELLING, State.STOPPED, State.VOIDED])
def test_once_the_lead_has_gone_the_case_is_never_free_here_again(state: State) -> None:
    outcome = decided(a_handover(state, awaits_word=state in END_STATES), a_command(commands.FirstContactMade))
    assert not outcome.subject.lead
    assert outcome.subject.holds_baton
    assert outcome.frees == ()


@pytest.mark.parametrize("state", [State.REQUESTED, State.INQUIRY, State.WAITLISTED, State.REDIRECTING])
def test_an_end_while_it_is_only_asked_frees_the_case_at_once(state: State) -> None:
    for on in (commands.Withdraw, commands.Expire, commands.Void, commands.ConsentWithdrawn):
        assert decided(a_handover(state), a_command(on)).frees == (Reservation("baton", str(OUR_CASE)),)


def test_a_receiver_reserves_its_own_case_until_first_contact() -> None:
    blank, request = nothing_yet(Side.RECEIVER), a_command(commands.Requested)
    own_case = Reservation("baton", str(REFERENCE))
    assert domain.reserves(blank.id, request) == (own_case,)
    accepted = after(blank, request, commands.Accept(), a_command(commands.AcceptanceConfirmed))
    assert accepted.holds_baton
    assert accepted.case == CaseId(REFERENCE)
    met = decided(accepted, a_command(commands.RecordFirstContact))
    assert met.frees == (own_case,)
    assert met.subject.lead


# --- the other side ---------------------------------------------------------------------------------------------------


def test_a_fact_counts_only_if_the_other_side_of_this_handover_says_it() -> None:
    stranger = a_command(commands.AcceptanceDeclared, by=AGENTUR)
    assert refused(a_handover(State.REQUESTED), stranger) is Reason.NOT_THE_COUNTERPART


def test_a_request_without_an_agreement_known_here_is_held_back() -> None:
    blank = Handover(REFERENCE, around=Around(JUGENDAMT))
    assert refused(blank, a_command(commands.Requested)) is Reason.NO_AGREEMENT


def test_a_request_of_a_kind_unknown_here_is_held_back() -> None:
    other = a_command(commands.Requested, matter=a_matter(Side.RECEIVER, kind=Kind.JOINT))
    assert refused(nothing_yet(Side.RECEIVER), other) is Reason.KIND_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("days", "allowed"), [(0, False), (1, True), (30, True), (31, False)], ids=["today", "tomorrow", "30", "31"]
)
def test_a_waiting_list_is_looked_at_within_thirty_days(days: int, allowed: bool) -> None:
    day: date = (NOW + timedelta(days=days)).date()
    outcome = decide(a_handover(State.REQUESTED, Side.RECEIVER), commands.Waitlist(day))
    assert isinstance(outcome, Decided) is allowed


def test_a_pause_names_a_day_ahead() -> None:
    yesterday = a_command(commands.Pause, review_on=(NOW - timedelta(days=1)).date())
    assert refused(a_handover(State.ACTIVE, Side.RECEIVER), yesterday) is Reason.REVIEW_OUT_OF_RANGE


@pytest.mark.parametrize("to", [JOBCENTER, JUGENDAMT, "nobody"])
def test_only_a_third_agency_of_the_alliance_can_be_asked_instead(to: str) -> None:
    command = a_command(commands.ProposeRedirect, to=to)
    assert refused(a_handover(State.REQUESTED, Side.RECEIVER), command) is Reason.REDIRECT_NOT_ELIGIBLE


def test_nobody_is_met_in_the_future() -> None:
    later = a_command(commands.RecordFirstContact, at=NOW + timedelta(minutes=1))
    assert refused(a_handover(State.ACCEPTED, Side.RECEIVER), later) is Reason.NOT_YET


def _tries(*ways: ContactChannel) -> tuple[commands.Attempt, ...]:
    return tuple(commands.Attempt(NOW - timedelta(days=1), way) for way in ways)


@pytest.mark.parametrize(
    "attempts",
    [
        _tries(ContactChannel.PHONE, ContactChannel.LETTER),
        _tries(ContactChannel.PHONE, ContactChannel.PHONE, ContactChannel.PHONE),
        (*three_attempts()[:2], commands.Attempt(NOW + timedelta(days=1), ContactChannel.MAIL)),
    ],
    ids=["two attempts", "one channel", "one still to come"],
)
def test_nobody_counts_as_not_reached_before_three_attempts_by_two_channels(
    attempts: tuple[commands.Attempt, ...],
) -> None:
    handover = a_handover(State.ACCEPTED, Side.RECEIVER)
    assert refused(handover, commands.RecordNotReached(attempts)) is Reason.NOT_TRIED_ENOUGH


# --- closed cases -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "then"),
    [
        (State.DRAFT, State.WITHDRAWN),
        (State.AWAITING_BASIS, State.WITHDRAWN),
        (State.WAITLISTED, State.WITHDRAWN),
        (State.ACCEPTED, State.CANCELLING),
        (State.ACTIVE, State.ACTIVE),
        (State.REJECTED, State.REJECTED),
    ],
)
def test_a_case_that_closes_withdraws_what_is_asked_and_asks_to_undo_what_is_agreed(state: State, then: State) -> None:
    assert after(a_handover(state), commands.CaseClosed()).state is then


@pytest.mark.parametrize("state", sorted({row.while_ for row in SENDER}))
def test_a_closed_case_and_a_new_decision_are_heard_in_every_state(state: State) -> None:
    of_consent = (commands.Request, commands.AwaitBasis, commands.DenyBasis, commands.ConsentWithdrawn)
    for on in (commands.CaseClosed, *of_consent):
        decided(a_handover(state), a_command(on))


@pytest.mark.parametrize("state", [State.REQUESTED, State.CANCELLING, State.ACTIVE, State.COMPLETED, State.STOPPED])
def test_once_asked_a_denial_of_everything_ends_the_basis_like_its_withdrawal(state: State) -> None:
    denied = decided(a_handover(state), a_command(commands.DenyBasis))
    ended = decided(a_handover(state), a_command(commands.ConsentWithdrawn))
    assert denied.subject == ended.subject
    assert [tell.fact for tell in denied.tells if tell.to] == [tell.fact for tell in ended.tells if tell.to]


def test_before_anybody_is_asked_a_denial_only_waits() -> None:
    assert after(a_handover(State.PROPOSED), a_command(commands.DenyBasis)).state is State.AWAITING_BASIS


# --- clocks -----------------------------------------------------------------------------------------------------------


def requested(**matter: Any) -> Handover:
    return after(a_handover(State.PROPOSED, matter=a_matter(**matter)), a_command(commands.Request))


def test_a_request_is_reminded_escalated_and_expires_as_agreed() -> None:
    assert requested().due == {
        Clock.REMIND: NOW + timedelta(days=3),
        Clock.ESCALATE: NOW + timedelta(days=7),
        Clock.RESPOND: NOW + timedelta(days=14),
    }


def test_protection_never_expires_and_escalates_after_a_working_day() -> None:
    due = requested(urgency=Urgency.PROTECTION).due
    assert Clock.RESPOND not in due
    assert due[Clock.ESCALATE] == NOW + timedelta(days=1)


def test_an_open_question_stops_the_clock_but_for_seven_days_at_most() -> None:
    asked = after(requested(), a_command(commands.InquiryMade), now=NOW + timedelta(days=2))
    assert asked.due == {Clock.RESPOND: NOW + timedelta(days=21)}
    soon = after(asked, commands.Answer(), now=NOW + timedelta(days=5))
    assert soon.due[Clock.RESPOND] == NOW + timedelta(days=17)
    late = after(asked, commands.Answer(), now=NOW + timedelta(days=12))
    assert late.due[Clock.RESPOND] == NOW + timedelta(days=21)


def test_an_acceptance_stops_every_clock_of_the_request_and_winds_the_one_of_first_contact() -> None:
    outcome = decided(requested(), a_command(commands.AcceptanceDeclared))
    armed = {change.kind: change.due for change in outcome.deadlines if isinstance(change, Arm)}
    stopped = {change.kind for change in outcome.deadlines if isinstance(change, Disarm)}
    assert armed == {Clock.CONTACT: NOW + timedelta(days=14)}  # ten working days are two weeks
    assert stopped == {Clock.REMIND, Clock.ESCALATE, Clock.RESPOND}


def test_a_denied_cancel_request_does_not_begin_the_ten_working_days_anew() -> None:
    accepted = after(requested(), a_command(commands.AcceptanceDeclared))
    later = NOW + timedelta(days=4)
    asked = after(accepted, a_command(commands.RequestCancel), a_command(commands.CancelDenied), now=later)
    assert asked.due == accepted.due


@pytest.mark.parametrize(
    ("clock", "state", "side"),
    [
        (Clock.REMIND, State.REQUESTED, Side.SENDER),
        (Clock.ESCALATE, State.REQUESTED, Side.RECEIVER),
        (Clock.CONFIRM, State.ACCEPTING, Side.RECEIVER),
        (Clock.CONTACT, State.CANCELLING, Side.RECEIVER),
    ],
)
def test_a_clock_that_calls_people_ends_nothing_and_is_shown(clock: Clock, state: State, side: Side) -> None:
    handover = a_handover(state, side, due={clock: NOW})
    outcome = decided(handover, a_command(domain.STRIKES[clock]))
    assert (outcome.subject.state, sorted(outcome.subject.struck), list(outcome.subject.due)) == (state, [clock], [])
    assert outcome.tells == ()


def test_a_second_missed_review_is_escalated_and_expires_thirty_days_later_at_the_sender() -> None:
    waiting = after(requested(), a_command(commands.Waitlisted))
    day = waiting.due[Clock.REVIEW]
    assert day == end_of((NOW + timedelta(days=10)).date())  # the day of review has passed
    once = after(waiting, commands.MissReview(), now=day)
    assert once.due == {Clock.REVIEW: day + timedelta(days=30)}
    assert once.struck == {Clock.REVIEW}
    twice = after(once, commands.MissReview(), now=day + timedelta(days=30))
    assert twice.due == {Clock.RESPOND: day + timedelta(days=60)}
    assert twice.struck == {Clock.REVIEW, Clock.ESCALATE}
    assert after(twice, commands.Expire()).state is State.EXPIRED


def test_the_receivers_clocks_never_end_a_handover() -> None:
    ending = [row for row in RECEIVER if row.on.source is Source.CLOCK]
    waiting = after(a_handover(State.REQUESTED, Side.RECEIVER), a_command(commands.Waitlist))
    twice = after(waiting, commands.MissReview(), commands.MissReview())
    assert (ending, twice.due) == ([], {})


def test_working_days_leave_out_the_weekend() -> None:
    friday = NOW + timedelta(days=4)
    assert working_days_after(friday, 1) == friday + timedelta(days=3)
    assert working_days_after(NOW, 10) == NOW + timedelta(days=14)


def test_a_working_day_is_one_in_germany() -> None:
    saturday_there = datetime(2026, 3, 6, 23, 30, tzinfo=UTC)
    assert working_days_after(saturday_there, 1) == saturday_there + timedelta(days=2)  # Monday, half past midnight
    before_summer_time = datetime(2026, 3, 27, 9, 0, tzinfo=UTC)
    assert working_days_after(before_summer_time, 1) == datetime(2026, 3, 30, 8, 0, tzinfo=UTC)


def test_an_agreement_ends_at_midnight_in_germany() -> None:
    """As consent decides it: the two must not say different things of one hour (§ 188 BGB)."""
    (agreed,) = [each for each in ALLIANCE.agreements if (each.sender, each.receiver) == (JOBCENTER, JUGENDAMT)]
    last_minute = end_of(agreed.valid_until) - timedelta(minutes=1)
    assert last_minute.hour == 22  # a day is over an hour earlier than by the clock of the machines
    assert after(nothing_yet(), draft(), now=last_minute).state is State.DRAFT
    assert refused(nothing_yet(), draft(), last_minute + timedelta(minutes=1)) is Reason.NO_AGREEMENT


# --- own copies of cases ----------------------------------------------------------------------------------------------


def test_a_copy_of_a_case_takes_what_is_said_and_keeps_the_rest() -> None:
    registered = domain.learn(
        KnownCase(OUR_CASE), commands.Learn(CaseState.REGISTERED, PERSON, age_band=AgeBand.UNDER_15), Context(NOW)
    )
    closed = domain.learn(registered.subject, commands.Learn(CaseState.CLOSED), Context(NOW)).subject
    assert (closed.state, closed.person, closed.age_band) == (CaseState.CLOSED, PERSON, AgeBand.UNDER_15)


def test_needs_that_are_gone_are_gone() -> None:
    assert domain.learn(a_known_case(), commands.Learn(needs=()), Context(NOW)).subject.needs == ()


# --- two copies -------------------------------------------------------------------------------------------------------


def test_milestones_are_stamped_once() -> None:
    accepted = after(requested(), a_command(commands.AcceptanceDeclared))
    later = NOW + timedelta(days=1)
    again = after(accepted, a_command(commands.RequestCancel), a_command(commands.CancelDenied), now=later)
    assert (again.requested_at, again.accepted_at, again.ended_at) == (NOW, NOW, None)
    assert after(again, a_command(commands.NotReached), now=later).ended_at == later
