"""A consent database restored from an older backup lets nothing go that did not go before it was lost.

Every thing such a database knows that shuts the door, one row each: it happens after the backup, the database is lost
and restored, what was said is remembered, the rest is heard again. Then a machine, in whatever order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from contracts.codes import ConsentForm, DataCategory, DutyAnswer, Giver, HandoverState, Purpose, RetentionNorm, Side
from contracts.ids import ConsentId, RestrictionId
from contracts.new_ids import new_id
from services.consent.domain import Law
from services.consent.domain import commands as c
from services.consent.domain.words import InvalidReason, Restriction, found
from tests.consent.builders import (
    AGENTUR,
    ALLIANCE,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    Story,
    a_duty_id,
    a_grant,
    a_sheet,
    an_item,
    with_row,
)
from tests.consent.restoring import ADULT, MINOR, Lost, may_sign
from tests.consent.test_law_in_motion import Life
from tests.consent.test_passing_on import Chain

BY_LAW = Law(JOBCENTER, {MUSTER: with_row(ALLIANCE, valid_until=date(2026, 12, 31))})
CONTACT = DataCategory.CONTACT


class LostChain(Lost, Chain):
    """Data that came from the employment agency and were passed on to the youth office."""


# --- what shuts the door, after the backup ----------------------------------------------------------------------------


def withdrawn() -> Lost:
    story = Lost(ADULT)
    consent = story.gives()
    story.proposes(an_item())
    story.keep_a_backup()
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    return story


def one_grant_withdrawn() -> Lost:
    story = Lost(ADULT)
    one, other = a_grant(), a_grant(recipient=AGENTUR, purpose=Purpose.CASE_CONFERENCE)
    consent = story.gives(one, other)
    story.keep_a_backup()
    story.do(c.WithdrawGrants(consent, frozenset({one.id}), a_duty_id()))
    return story


def found_invalid_when_nothing_was_to_go() -> Lost:
    story = Lost(ADULT)
    consent = story.gives()
    story.keep_a_backup()
    story.do(c.InvalidateConsent(consent, InvalidReason.WRONG_FORM, a_duty_id()))
    return story


def replaced_by_one_to_somebody_else() -> Lost:
    """The newer consent does not name whom the older one did."""
    story = Lost(ADULT)
    older = story.gives()
    story.keep_a_backup()
    sheet = a_sheet(story.notice.id, a_grant(recipient=AGENTUR, purpose=Purpose.CASE_CONFERENCE))
    story.do(c.GiveConsent(ConsentId(new_id()), sheet, replaces=older))
    return story


def given_and_withdrawn() -> Lost:
    story = Lost(ADULT)
    story.keep_a_backup()
    consent = story.gives()
    story.proposes(an_item())
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    return story


def expired() -> Lost:
    """By the clock, which is nobody's memory: the grant's end is in the backup."""
    story = Lost(ADULT)
    story.gives(a_grant(valid_until=story.now + timedelta(days=2)))
    story.proposes(an_item())
    story.keep_a_backup()
    story.now += timedelta(days=2)
    story.do(c.LookAgain(a_duty_id()))
    return story


def a_clearance_taken_back() -> Lost:
    """Decision 0028; § 65(1) Nr. 1 SGB VIII: also where no open transmission shows it."""
    story = Lost(MINOR)
    grant = a_grant(entrusted_included=True)
    consent = story.gives(grant)
    story.do(c.ClearGrants(consent, frozenset({grant.id}), Giver.GUARDIAN, ConsentForm.WRITTEN))
    story.keep_a_backup()
    story.do(c.WithdrawClearance(consent, frozenset({grant.id}), a_duty_id()))
    return story


def cleared_by_somebody_else_after_all() -> Lost:
    story = a_clearance_taken_back()
    consent = story.person.consents[0]
    grants = frozenset(grant.id for grant in consent.grants)
    story.do(c.ClearGrants(consent.id, grants, Giver.GUARDIAN, ConsentForm.ORAL_DOCUMENTED))
    return story


def forbidden_to_one_recipient() -> Lost:
    """Art. 21 GDPR: categories and recipient are on no topic."""
    story = Lost(ADULT, law=BY_LAW)
    story.states_task(story.proposes(an_item(CONTACT)), CONTACT)
    story.gives()
    story.keep_a_backup()
    story.now += timedelta(hours=1)
    story.restricts(CONTACT)
    story.restricts(DataCategory.MASTER_DATA, recipient=None)
    return story


def lifted_and_forbidden_again() -> Lost:
    story = Lost(ADULT, law=BY_LAW)
    story.states_task(story.proposes(an_item(CONTACT)), CONTACT)
    first = story.restricts(DataCategory.SCHOOL)
    story.keep_a_backup()
    story.do(c.LiftRestriction(first, Giver.SELF, ConsentForm.WRITTEN))
    story.restricts(CONTACT)
    return story


def restricted_by_the_guardian() -> Lost:
    """§ 36(2) SGB I."""
    story = Lost(MINOR, law=BY_LAW)
    story.states_task(story.proposes(an_item(CONTACT)), CONTACT)
    story.keep_a_backup()
    story.restricts(CONTACT, by=Giver.GUARDIAN)
    return story


def a_task_no_longer_stated() -> Lost:
    """§ 69(1) Nr. 1 SGB X: it goes by a consent as well, so that nothing is said of what was decided."""
    story = Lost(ADULT, law=BY_LAW)
    consent = story.gives(a_grant(categories=frozenset({CONTACT})))
    handover = story.proposes(an_item(CONTACT))
    story.states_task(handover, CONTACT)
    story.keep_a_backup()
    story.states_task(handover)
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    return story


def a_task_stated() -> Lost:
    """What is lost of a task permits nothing."""
    story = Lost(ADULT, law=BY_LAW)
    handover = story.proposes(an_item(CONTACT))
    story.keep_a_backup()
    story.states_task(handover, CONTACT)
    return story


def a_package_cut() -> Lost:
    """What was taken out of the package is not fetched, though a consent is there."""
    story = Lost(ADULT)
    story.gives()
    one, other = an_item(), an_item(DataCategory.SCHOOL)
    handover = story.proposes(one, other)
    story.keep_a_backup()
    story.propose_again(handover, one)
    return story


def a_package_cut_and_not_decided_yet() -> Lost:
    """What was said of the older proposal is no word on the newer one."""
    story = Lost(ADULT)
    story.gives()
    contact = story.gives(a_grant(categories=frozenset({CONTACT})))
    one, other = an_item(), an_item(DataCategory.SCHOOL)
    handover = story.proposes(one, other, an_item(CONTACT))
    story.keep_a_backup()
    story.do(c.WithdrawConsent(contact, a_duty_id()))
    story.propose_again(handover, one, read=False)
    return story


def stored_by_the_recipient() -> Lost:
    story = Lost(ADULT)
    story.gives()
    item = an_item()
    handover = story.proposes(item)
    story.keep_a_backup()
    story.do(c.NoteStored(JUGENDAMT, handover, new_id(), (item.id,)))  # type: ignore[arg-type]  # an id as any other
    return story


def passing_on() -> LostChain:
    chain = LostChain()
    chain.passes_on(*chain.items)
    chain.keep_a_backup()
    return chain


def ended_where_it_came_from() -> Lost:
    """Art. 19 GDPR: what is told to others because of it must not hide what it is told for."""
    chain = passing_on()
    chain.ends()
    return chain


def ended_where_it_came_from_and_passed_on_to_nobody() -> Lost:
    chain = LostChain()
    chain.proposes(*chain.items)
    chain.keep_a_backup()
    chain.ends(chain.theirs[0])
    return chain


def ended_where_it_came_from_and_answered() -> Lost:
    chain = passing_on()
    demand = chain.ends()
    chain.do(c.AnswerRetained(demand.duty, RetentionNorm.SGB_X_84))
    (theirs,) = [duty.id for duty in chain.person.duties if duty.side is Side.SENDER]
    chain.do(c.HearAnswer(JUGENDAMT, theirs, DutyAnswer.ERASED, None))
    return chain


def given_back_where_it_came_from() -> Lost:
    chain = passing_on()
    chain.moved(HandoverState.GIVEN_BACK)
    return chain


SHUTS: tuple[Callable[[], Lost], ...] = (
    withdrawn, one_grant_withdrawn, found_invalid_when_nothing_was_to_go, replaced_by_one_to_somebody_else,
    given_and_withdrawn, expired, a_clearance_taken_back, cleared_by_somebody_else_after_all,
    forbidden_to_one_recipient, lifted_and_forbidden_again, restricted_by_the_guardian, a_task_no_longer_stated,
    a_task_stated, a_package_cut, a_package_cut_and_not_decided_yet, stored_by_the_recipient, ended_where_it_came_from,
    ended_where_it_came_from_and_passed_on_to_nobody, ended_where_it_came_from_and_answered,
    given_back_where_it_came_from,
)  # fmt: skip


@pytest.mark.parametrize("happens", SHUTS, ids=lambda happens: str(happens.__name__))
def test_nothing_goes_from_a_restored_database_that_did_not_go_before(happens: Callable[[], Lost]) -> None:
    assert happens().goes_too_much() == set()


def test_where_only_a_clearance_was_taken_back_everything_else_goes_as_before() -> None:
    """Decision 0028: the consent stands, and what nobody had entrusted still rests on it."""
    story = Lost(MINOR)
    grant = a_grant(entrusted_included=True)
    consent = story.gives(grant)
    story.do(c.ClearGrants(consent, frozenset({grant.id}), Giver.GUARDIAN, ConsentForm.WRITTEN))
    story.proposes(an_item(), an_item(entrusted=True, entruster=Giver.GUARDIAN))
    story.keep_a_backup()
    story.do(c.WithdrawClearance(consent, frozenset({grant.id}), a_duty_id()))
    assert story.may_go(story.restored(), story.now) == story.may_go(story.person, story.now) != set()


# --- who may declare, and what is due ---------------------------------------------------------------------------------


def test_no_guardian_consents_for_somebody_of_15_whose_insight_was_noted_after_the_backup() -> None:
    """R6, § 36 SGB I: and the guardian's consent is to be renewed as it was."""
    story = Lost(MINOR)
    story.gives(giver=Giver.GUARDIAN, insight=False)
    story.keep_a_backup()
    story.do(c.NoteInsight(insight=True))
    back = story.restored()
    assert may_sign(back) == may_sign(story.person)
    assert (Giver.GUARDIAN, False) not in may_sign(back)
    assert back.consents == story.person.consents, "to be renewed, and not said to be so again"
    story.person = back
    assert story.to_be_renewed() == [True]


def test_a_birthday_of_which_something_was_said_is_heard_again() -> None:
    """§ 2 BGB: what the guardian had forbidden lapsed at 18, and no fact says how old the person is."""
    story = Lost(MINOR)
    story.restricts(CONTACT, by=Giver.GUARDIAN)
    story.keep_a_backup()
    story.do(c.KnowPerson(ADULT))
    back = story.restored()
    assert (back.age_band, may_sign(back)) == (ADULT, {(Giver.SELF, True), (Giver.SELF, False)})
    assert [each.in_force for each in back.restrictions] == [False]


def test_what_was_forbidden_is_everything_until_somebody_says_what_it_was() -> None:
    story = forbidden_to_one_recipient()
    back = story.restored()
    assert story.may_go(back, story.now) == set()
    forgotten = [each for each in back.restrictions if each.in_force]
    assert all(each.categories == frozenset(DataCategory) for each in forgotten)
    story.person = back
    for each in forgotten:
        _said_as_it_was(story, each)
    assert story.goes_too_much() == set()


def _said_as_it_was(story: Lost, forgotten: Restriction) -> None:
    """What an operator is told to do: it is entered as the form has it, and the other one lifted."""
    story.do(c.Restrict(RestrictionId(new_id()), forgotten.by, ConsentForm.WRITTEN, JUGENDAMT, frozenset({CONTACT})))
    story.do(c.LiftRestriction(forgotten.id, forgotten.by, ConsentForm.WRITTEN))


def test_who_was_told_of_an_end_is_not_told_again_and_the_answer_that_is_owed_is_owed() -> None:
    chain = passing_on()
    demand = chain.ends()
    back = chain.restored()
    assert sorted((each.id, each.side) for each in back.duties) == sorted(
        (each.id, each.side) for each in chain.person.duties
    )
    owed = found(back.duties, demand.duty)
    assert owed is not None
    assert (owed.state, owed.counterpart, owed.alliance) == ("owes", AGENTUR, MUSTER)


# --- in whatever order ------------------------------------------------------------------------------------------------


class Restoring(Life):
    """The same life, of which a backup is kept now and then; at every moment the database could be lost."""

    book: type[Story] = Lost

    @property
    def lost(self) -> Lost:
        """The story, which keeps backups."""
        assert isinstance(self.story, Lost)
        return self.story

    @rule()
    def keep_a_backup(self) -> None:
        self.lost.keep_a_backup()

    @precondition(lambda self: self.lost.backup is not None)
    @invariant()
    def nothing_goes_that_does_not_go_now(self) -> None:
        assert self.lost.goes_too_much() == set()

    @precondition(lambda self: self.lost.backup is not None)
    @invariant()
    def nobody_signs_who_may_not_sign_now(self) -> None:
        back = self.lost.restored()
        assert may_sign(back) == may_sign(self.story.person)
        backup = {each.id for each in self.lost.backup.consents} if self.lost.backup else set()
        said = {each.id: each.renewals_said for each in back.consents if each.id in backup}
        assert said == {each.id: each.renewals_said for each in self.story.person.consents if each.id in backup}


def test_in_every_order_of_things_nothing_goes_from_a_restored_database_that_did_not_go_before() -> None:
    run_state_machine_as_test(Restoring, settings=settings(max_examples=60, stateful_step_count=20, deadline=None))


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_in_very_many_orders_of_things_nothing_goes_from_a_restored_database_that_did_not_go_before() -> None:
    run_state_machine_as_test(Restoring, settings=settings(max_examples=300, stateful_step_count=40, deadline=None))


def test_a_door_that_forgets_would_be_noticed() -> None:
    """Planted: the backup as it was, and nothing remembered."""
    story = a_clearance_taken_back()
    assert story.backup is not None
    back = replace(story.backup)
    assert story.may_go(back, story.now) - story.may_go(story.person, story.now)
