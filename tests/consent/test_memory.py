"""What a person's consents and transmissions must have been, by what was said of them after the backup."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from chassis.transitions import Arm, Decided, Remembered, Said
from contracts import consent as told_by_us
from contracts.codes import AgeBand, ConsentForm, ConsentState, DataCategory, Giver
from contracts.new_ids import new_id
from services.consent.domain import LOOK_AGAIN, memory
from services.consent.domain.commands import (
    ClearGrants,
    InvalidateConsent,
    KnowPerson,
    LiftRestriction,
    LookAgain,
    WithdrawClearance,
    WithdrawConsent,
)
from services.consent.domain.words import InvalidReason, Person, RestrictionState
from services.consent.events import REMEMBERS
from tests.consent.builders import NOW, Story, a_duty_id, a_grant, an_item, done

LATER = NOW + timedelta(hours=1)
LINES = {line.event: line.do for line in REMEMBERS}


def remembered(person: Person, *decided: Decided[Person]) -> Remembered[Person]:
    """The person of the backup, by what these decisions told afterwards."""
    last: Remembered[Person] = Remembered(person)
    for each in decided:
        for tell in each.tells:
            fact: Any = tell.fact
            topic = "jobcenter.consent.events" if tell.to is None else f"{tell.scope}.jobcenter.to.{tell.to}.consent"
            last = LINES[type(fact)](last.subject, Said(new_id(), topic, LATER, tell.scope or "", fact))
    return last


def test_a_consent_withdrawn_after_the_backup_is_withdrawn_and_everything_is_decided_anew() -> None:
    story = Story()
    consent, handover = story.gives(), story.proposes(an_item())
    backup = story.person
    known = remembered(backup, story.do(WithdrawConsent(consent, a_duty_id())))
    after = known.subject
    assert next(each for each in after.consents if each.id == consent).state is ConsentState.WITHDRAWN
    assert next(each for each in after.transmissions if each.handover == handover).state == story.state_of(handover)
    assert all(not each.standing(LATER) for each in after.consents)


def test_a_withdrawal_that_is_remembered_makes_the_clock_look_at_once() -> None:
    story = Story()
    consent = story.gives()
    known = remembered(story.person, story.do(WithdrawConsent(consent, a_duty_id())))
    assert known.deadlines == (Arm(LOOK_AGAIN, LATER),)


def test_a_consent_given_after_the_backup_permits_nothing_and_can_be_withdrawn() -> None:
    story = Story()
    backup = story.person
    consent = story.gives()
    known = remembered(backup, story.last)
    assert known.lost == (memory.WORDING,)
    (given,) = known.subject.consents
    assert (given.id, given.state, given.standing(LATER)) == (consent, ConsentState.GIVEN, ())
    story.person, story.now = known.subject, LATER
    done(story.try_(WithdrawConsent(consent, a_duty_id())))


def test_an_older_consent_to_the_same_purpose_may_have_been_replaced_and_is_used_no_more() -> None:
    story = Story()
    older = story.gives(a_grant())
    backup = story.person
    story.gives(a_grant())
    known = remembered(backup, story.last)
    assert known.lost == (memory.WORDING, memory.GRANT_ENDED)
    assert all(not each.standing(LATER) for each in known.subject.consents)
    assert next(each for each in known.subject.consents if each.id == older).state is ConsentState.GIVEN


def test_what_ended_without_a_word_of_its_own_ends_with_what_rested_on_it() -> None:
    """As the version before had it, of which facts lie on the topics still."""
    story = Story()
    consent, handover = story.gives(), story.proposes(an_item())
    backup = story.person
    ended = story.do(InvalidateConsent(consent, InvalidReason.WRONG_FORM, a_duty_id()))
    (shown,) = [tell for tell in ended.tells if isinstance(tell.fact, told_by_us.TransmissionEnded)]
    known = remembered(backup, replace(ended, tells=(shown,)))
    assert known.lost == (memory.GRANT_ENDED,)
    assert all(not each.standing(LATER) for each in known.subject.consents)
    assert next(each for each in known.subject.transmissions if each.handover == handover).state == "ended"


def test_a_consent_that_was_found_to_be_none_is_none_and_only_the_file_says_why() -> None:
    story = Story()
    consent = story.gives()
    backup = story.person
    known = remembered(backup, story.do(InvalidateConsent(consent, InvalidReason.WRONG_FORM, a_duty_id())))
    assert (known.lost, known.deadlines) == ((memory.INVALID_BECAUSE,), (Arm(LOOK_AGAIN, LATER),))
    (found,) = known.subject.consents
    assert (found.state, found.ended_at) == (ConsentState.INVALIDATED, LATER)


def test_what_was_cleared_after_the_backup_is_cleared_by_nobody_until_that_is_entered_again() -> None:
    """§ 65(1) Nr. 1 SGB VIII: who, and in which form, is told to nobody."""
    story = Story()
    grant = a_grant(entrusted_included=True)
    consent = story.gives(grant)
    backup = story.person
    clear = ClearGrants(consent, frozenset({grant.id}), Giver.GUARDIAN, ConsentForm.WRITTEN)
    known = remembered(backup, story.do(clear))
    assert (known.subject.consents, known.lost) == (backup.consents, (memory.CLEARED,))
    story.person = known.subject
    story.do(clear)


def test_what_an_older_version_ended_without_a_word_ends_though_a_clearance_had_ended_too() -> None:
    """Of an item that was permitted after the backup nobody knows on which grant it was."""
    story = Story(AgeBand.FROM_15_TO_17)
    grant = a_grant(entrusted_included=True)
    consent = story.gives(grant)
    clear = ClearGrants(consent, frozenset({grant.id}), Giver.GUARDIAN, ConsentForm.WRITTEN)
    story.do(clear)
    story.do(WithdrawClearance(consent, frozenset({grant.id}), a_duty_id()))
    handover = story.proposes(an_item(entrusted=True, entruster=Giver.GUARDIAN))
    backup = story.person
    permitted = remembered(backup, story.do(clear)).subject
    assert next(each for each in permitted.transmissions if each.handover == handover).state == "permitted"
    ended = story.do(InvalidateConsent(consent, InvalidReason.WRONG_FORM, a_duty_id()))
    (shown,) = [tell for tell in ended.tells if isinstance(tell.fact, told_by_us.TransmissionEnded)]
    known = remembered(permitted, replace(ended, tells=(shown,)))
    assert all(not each.standing(LATER) for each in known.subject.consents)


def test_what_was_forbidden_after_the_backup_is_forbidden_whatever_it_was() -> None:
    """Art. 21 GDPR: only that something was forbidden is on a topic; so everything is, until it is lifted."""
    story = Story()
    story.gives()
    handover = story.proposes(an_item())
    backup, story.now = story.person, LATER
    restriction = story.restricts(DataCategory.MASTER_DATA)
    (forbidden,) = [tell for tell in story.last.tells if isinstance(tell.fact, told_by_us.ConsentRestricted)]
    known = remembered(backup, replace(story.last, tells=(forbidden,)))
    assert known.lost == (memory.FORBIDDEN,)
    (found,) = known.subject.restrictions
    assert (found.id, found.in_force, found.recipient, found.categories) == (
        restriction, True, None, frozenset(DataCategory)
    )
    story.person, story.now = known.subject, LATER + timedelta(seconds=1)
    story.do(LookAgain(a_duty_id()))
    assert story.state_of(handover) == "ended"


def test_what_lapsed_after_the_backup_has_lapsed_and_is_in_force_again_where_that_was_said() -> None:
    """§ 36(2) SGB I; § 2 BGB: a wrong birth date, and its correction, in what a database has forgotten."""
    story = Story(AgeBand.FROM_15_TO_17)
    story.restricts(DataCategory.SCHOOL, by=Giver.GUARDIAN)
    backup = story.person
    of_age = remembered(backup, story.do(KnowPerson(AgeBand.FROM_18_TO_20)))
    assert [each.state for each in of_age.subject.restrictions] == [RestrictionState.LAPSED]
    known = remembered(of_age.subject, story.do(KnowPerson(AgeBand.FROM_15_TO_17)))
    (restriction,) = known.subject.restrictions
    assert (restriction.in_force, restriction.categories, known.lost) == (True, frozenset({DataCategory.SCHOOL}), ())


def test_what_was_lifted_after_the_backup_is_lifted_and_what_nobody_knows_is_said() -> None:
    story = Story()
    restriction = story.restricts(DataCategory.SCHOOL)
    backup = story.person
    lifted = story.do(LiftRestriction(restriction, Giver.SELF, ConsentForm.WRITTEN))
    assert [each.in_force for each in remembered(backup, lifted).subject.restrictions] == [False]
    older = remembered(Story().person, lifted)
    assert (older.subject.restrictions, older.lost) == ((), (memory.RESTRICTION_NOT_KNOWN,))
