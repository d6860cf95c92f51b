"""The law of consent: who may declare, what follows when a grant begins or ends, what a withdrawal brings about."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from chassis.transitions import Arm, Decided, Disarm
from contracts.codes import (
    AgeBand,
    ConsentForm,
    ConsentState,
    DataCategory,
    DutyAnswer,
    Giver,
    HandoverState,
    LegalBasis,
    RetentionNorm,
    Side,
)
from contracts.ids import AgencyId, ConsentId, GrantId, HandoverRef, ItemId, ReleaseId
from contracts.new_ids import new_id
from services.consent.domain import CONSENTS, DUTIES, LOOK_AGAIN, RECEPTIONS, RELEASES, TRANSMISSIONS, Reason
from services.consent.domain import commands as c
from services.consent.domain.consents import OVER, months_after
from services.consent.domain.words import Basis, Consent, Disclosed, InvalidReason, Item, Person
from tests.consent.builders import (
    AGENTUR,
    JUGENDAMT,
    MUSTER,
    NOW,
    PURPOSE,
    Story,
    a_duty_id,
    a_grant,
    a_notice,
    a_sheet,
    an_item,
    refused,
    told,
)

SECOND = timedelta(seconds=1)


# --- giving -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "giver", "insight", "heard", "reason"),
    [
        (AgeBand.UNDER_15, Giver.SELF, True, True, Reason.WRONG_GIVER),
        (AgeBand.UNDER_15, Giver.GUARDIAN, False, True, None),
        (AgeBand.UNDER_15, Giver.GUARDIAN, False, False, Reason.YOUNG_PERSON_NOT_HEARD),
        (AgeBand.FROM_15_TO_17, Giver.SELF, True, True, None),
        (AgeBand.FROM_15_TO_17, Giver.GUARDIAN, True, True, Reason.WRONG_GIVER),
        (AgeBand.FROM_15_TO_17, Giver.SELF, False, True, Reason.WRONG_GIVER),
        (AgeBand.FROM_15_TO_17, Giver.GUARDIAN, False, True, None),
        (AgeBand.FROM_18_TO_20, Giver.SELF, True, True, None),
        (AgeBand.FROM_18_TO_20, Giver.GUARDIAN, False, True, Reason.WRONG_GIVER),
        (AgeBand.OVER_27, Giver.GUARDIAN, True, True, Reason.WRONG_GIVER),
    ],
)
def test_who_declares_is_a_question_of_age_and_insight(
    age: AgeBand, giver: Giver, insight: bool, heard: bool, reason: Reason | None
) -> None:
    """R6, § 36 SGB I: from 15 with insight the person alone; else the guardian signs, and the person is heard."""
    story = Story(age)
    sheet = a_sheet(story.notice.id, giver=giver, insight=insight, young_person_heard=heard)
    decided = story.try_(c.GiveConsent(ConsentId(new_id()), sheet))
    assert isinstance(decided, Decided) if reason is None else refused(decided) == reason


@pytest.mark.parametrize(
    ("grant", "form", "reason"),
    [
        ({"categories": frozenset({DataCategory.HEALTH})}, ConsentForm.ORAL_DOCUMENTED, Reason.FORM_TOO_WEAK),
        ({"categories": frozenset({DataCategory.HEALTH})}, ConsentForm.ELECTRONIC, None),
        ({"valid_from": NOW - SECOND}, ConsentForm.WRITTEN, Reason.RETROACTIVE),
        ({"valid_from": NOW + SECOND, "valid_until": NOW + SECOND}, ConsentForm.WRITTEN, Reason.RETROACTIVE),
        ({"valid_until": datetime(2028, 11, 22, 12, 0, tzinfo=UTC)}, ConsentForm.WRITTEN, None),
        ({"valid_until": datetime(2028, 11, 22, 12, 0, 1, tzinfo=UTC)}, ConsentForm.WRITTEN, Reason.PERIOD_TOO_LONG),
        ({"recipient": AgencyId("stranger")}, ConsentForm.WRITTEN, Reason.RECIPIENT_NOT_ELIGIBLE),
        ({"recipient": AgencyId("jobcenter")}, ConsentForm.WRITTEN, Reason.RECIPIENT_NOT_ELIGIBLE),
        ({"recipient": AGENTUR}, ConsentForm.WRITTEN, Reason.RECIPIENT_NOT_ELIGIBLE),  # no agreement for this purpose
    ],
)
def test_a_grant_names_who_what_and_how_long_and_nothing_retroactive(
    grant: dict[str, object], form: ConsentForm, reason: Reason | None
) -> None:
    """R5, § 67b(1) SGB X; Art. 6, 9 GDPR: consent comes first, names its recipient, ends; health in writing."""
    story = Story()
    sheet = a_sheet(story.notice.id, a_grant(**grant), form=form)
    decided = story.try_(c.GiveConsent(ConsentId(new_id()), sheet))
    assert isinstance(decided, Decided) if reason is None else refused(decided) == reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"valid_from": NOW + SECOND}, Reason.NOTICE_NOT_CURRENT),
        ({"superseded": True}, Reason.NOTICE_NOT_CURRENT),
        (None, Reason.UNKNOWN_NOTICE),
    ],
)
def test_a_consent_is_given_on_the_notice_that_is_valid_now(changed: dict[str, Any] | None, reason: Reason) -> None:
    """R5, Art. 13 GDPR; § 67b(2) SGB X: informed, by the notice people are told today."""
    story = Story()
    notices = () if changed is None else (replace(a_notice(), id=story.notice.id, **changed),)
    story.person = replace(story.person, notices=notices)
    assert refused(story.try_(c.GiveConsent(ConsentId(new_id()), a_sheet(story.notice.id)))) == reason


def test_nobody_declares_who_is_not_known_yet_and_that_may_be_a_matter_of_moments() -> None:
    story = Story()
    story.person = Person(story.person.id, notices=story.person.notices)
    decided = story.try_(c.GiveConsent(ConsentId(new_id()), a_sheet(story.notice.id)))
    assert refused(decided) == Reason.UNKNOWN_PERSON
    assert getattr(decided, "unknown", None) == story.person.id


def test_a_grant_lasts_twelve_months_unless_it_says_otherwise() -> None:
    story = Story()
    story.gives()
    assert story.person.consents[0].grants[0].valid_until == datetime(2027, 11, 22, 12, 0, tzinfo=UTC)
    assert months_after(datetime(2027, 8, 31, tzinfo=UTC), 18) == datetime(2029, 2, 28, tzinfo=UTC)
    assert months_after(datetime(2026, 12, 31, tzinfo=UTC), 24) == datetime(2028, 12, 31, tzinfo=UTC)


# --- decided again ----------------------------------------------------------------------------------------------------


def test_proposed_items_are_decided_when_own_intake_has_said_what_they_are() -> None:
    story = Story()
    handover = story.proposes(an_item(), read=False)
    assert story.state_of(handover) == "undecided"
    assert [(errand.name, errand.about["handover"]) for errand in story.last.errands] == [("read_items", str(handover))]


def test_a_consent_given_later_permits_what_was_denied() -> None:
    story = Story()
    handover = story.proposes(an_item())
    assert told(story.last) == ["transmission.denied"]
    story.gives()
    assert told(story.last) == ["consent.given", "transmission.permitted"]
    assert story.state_of(handover) == "permitted"


def test_some_items_go_and_others_do_not() -> None:
    story = Story()
    story.gives()
    story.proposes(an_item(), an_item(DataCategory.OFFENCES))
    assert told(story.last) == ["transmission.partly"]


def test_a_cut_package_is_decided_anew_and_an_answer_about_the_older_one_is_dropped() -> None:
    story = Story()
    story.gives()
    kept, cut = an_item(), an_item(DataCategory.OFFENCES)
    handover = story.proposes(kept, cut)
    first = story.propose_again(handover, kept, cut, read=False)
    second = story.propose_again(handover, kept, read=False)
    assert told(story.do(c.TakeFlags(handover, first, (kept, cut)))) == []
    assert told(story.do(c.TakeFlags(handover, second, (kept,)))) == ["transmission.permitted"]


def test_withdrawing_ends_every_transmission_of_the_person_in_the_same_decision() -> None:
    """R8, Art. 7(3) GDPR: from now on nothing goes on it, wherever it was to go."""
    story = Story()
    consent = story.gives()
    handovers = [story.proposes(an_item()), story.proposes(an_item())]
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    assert told(story.last) == ["consent.withdrawn", "transmission.ended", "transmission.ended"]
    assert [story.state_of(handover) for handover in handovers] == ["ended", "ended"]


def test_withdrawing_one_grant_reduces() -> None:
    """R8, Art. 7(3) GDPR: a part can be taken back as well as the whole."""
    story = Story()
    health = a_grant(categories=frozenset({DataCategory.HEALTH}))
    consent = story.gives(a_grant(), health)
    handover = story.proposes(an_item(), an_item(DataCategory.HEALTH))
    story.do(c.WithdrawGrants(consent, frozenset({health.id}), a_duty_id()))
    assert told(story.last) == ["consent.withdrawn", "transmission.reduced"]
    assert (story.state(consent), story.state_of(handover)) == ("given", "reduced")


def test_withdrawing_the_last_grants_withdraws_the_consent() -> None:
    story = Story()
    grants = a_grant(), a_grant(categories=frozenset({DataCategory.HEALTH}))
    consent = story.gives(*grants)
    story.do(c.WithdrawGrants(consent, frozenset(grant.id for grant in grants), a_duty_id()))
    assert story.state(consent) == "withdrawn"


def test_a_consent_that_expires_ends_what_rested_on_it_at_the_microsecond() -> None:
    story = Story()
    end = NOW + timedelta(days=30)
    consent = story.gives(a_grant(valid_until=end))
    handover = story.proposes(an_item())
    story.now = end - timedelta(microseconds=1)
    assert told(story.do(c.LookAgain(a_duty_id()))) == []
    assert list(story.last.deadlines) == [Arm(LOOK_AGAIN, end)]
    story.now = end
    assert told(story.do(c.LookAgain(a_duty_id()))) == ["transmission.ended"]
    assert (story.state(consent), story.state_of(handover)) == ("expired", "ended")
    assert list(story.last.deadlines) == [Disarm(LOOK_AGAIN)]


def test_deciding_on_a_grant_sets_no_clock_for_its_giving_has_set_it() -> None:
    """A deadline written at every proposal would be a row of each handover, for nothing."""
    story = Story()
    story.gives(a_grant(valid_until=NOW + timedelta(days=30)))
    assert list(story.last.deadlines) == [Arm(LOOK_AGAIN, NOW + timedelta(days=30))]
    handover = story.proposes(an_item())
    assert story.state_of(handover) == "permitted"
    assert list(story.last.deadlines) == []


def test_a_grant_that_begins_later_permits_from_then_on() -> None:
    story = Story()
    begin = NOW + timedelta(days=3)
    story.gives(a_grant(valid_from=begin))
    story.proposes(an_item())
    assert told(story.last) == ["transmission.denied"]
    story.now = begin
    assert told(story.do(c.LookAgain(a_duty_id()))) == ["transmission.permitted"]


def test_a_new_consent_in_the_place_of_an_older_one_keeps_what_it_still_permits() -> None:
    story = Story()
    older = story.gives()
    handover = story.proposes(an_item())
    newer = ConsentId(new_id())
    story.do(c.GiveConsent(newer, a_sheet(story.notice.id), replaces=older))
    assert told(story.last) == ["consent.given", "consent.replaced"]
    assert (story.state(older), story.state(newer), story.state_of(handover)) == ("replaced", "given", "permitted")
    assert story.person.spoken_of is not None
    assert story.person.spoken_of.id == newer


def test_an_invalid_consent_ends_what_rested_on_it() -> None:
    story = Story()
    consent = story.gives()
    story.proposes(an_item())
    story.do(c.InvalidateConsent(consent, InvalidReason.WRONG_FORM, a_duty_id()))
    assert told(story.last) == ["consent.invalidated", "transmission.ended"]


def test_every_decision_is_kept_with_the_version_of_the_alliance() -> None:
    story = Story()
    consent = story.gives()
    story.proposes(an_item())
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    decisions = story.person.decisions
    assert [each.items[0].permitted for each in decisions] == [True, False]
    assert {each.alliance_version for each in decisions} == {1}
    assert all(one.at <= other.at for one, other in pairwise(decisions))


def test_nothing_is_said_about_a_handover_that_has_ended() -> None:
    story = Story()
    consent = story.gives()
    handover = story.proposes(an_item())
    story.do(moved(handover, HandoverState.COMPLETED))
    assert told(story.do(c.WithdrawConsent(consent, a_duty_id()))) == ["consent.withdrawn"]
    assert story.state_of(handover) == "closed"


# --- withdrawing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [ConsentState.REQUESTED, ConsentState.GIVEN, *OVER])
def test_a_withdrawal_is_refused_in_no_state(state: ConsentState) -> None:
    """R8, Art. 7(3) GDPR: at any time."""
    story = Story()
    consent = story.gives()
    story.person = replace(story.person, consents=(replace(story.person.consents[0], state=state),))
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    after = story.state(consent)
    assert after == ("withdrawn" if state in {ConsentState.REQUESTED, ConsentState.GIVEN} else state)
    story.do(c.WithdrawGrants(consent, frozenset(), a_duty_id()))


def disclosed(story: Story, handover: HandoverRef, item: Item, *consents: ConsentId, **changed: object) -> Disclosed:
    """That item went to the youth office on those consents."""
    grants = {consent.id: consent.grants[0].id for consent in story.person.consents}
    bases = tuple(Basis(LegalBasis.CONSENT_SGB_X_67B, each, grants[each]) for each in consents)
    return replace(
        Disclosed(ReleaseId(new_id()), handover, MUSTER, JUGENDAMT, PURPOSE, item.id, bases), **changed  # type: ignore[arg-type]  # fields of Disclosed
    )


def moved(
    handover: HandoverRef, state: HandoverState, recorded: HandoverState | None = None, side: Side = Side.SENDER
) -> c.NoteHandover:
    counterpart = JUGENDAMT if side is Side.SENDER else AgencyId("jugendamt")
    return c.NoteHandover(handover, side, counterpart, MUSTER, state, recorded, a_duty_id())


def owed(handover: HandoverRef, *releases: ReleaseId, items: tuple[ItemId, ...] = ()) -> c.OweAnswer:
    """The word of the youth office: the basis of these releases has ended."""
    due = NOW + timedelta(days=14)
    return c.OweAnswer(a_duty_id(), handover, JUGENDAMT, MUSTER, releases, items, due, a_duty_id())


def released(**changed: object) -> tuple[Story, ConsentId, HandoverRef, Disclosed]:
    """A consent, a handover, and an item that has gone to the youth office by it."""
    story = Story()
    consent = story.gives()
    item = an_item()
    handover = story.proposes(item)
    line = disclosed(story, handover, item, consent, **changed)
    story.person = replace(story.person, ledger=(line,))
    return story, consent, handover, line


def test_whoever_has_received_something_by_a_withdrawn_consent_is_told_and_must_answer() -> None:
    """R8, Art. 7(3), 17(1)(b), 19 GDPR: what was sent stays lawful; its recipient is told and answers."""
    story, consent, handover, line = released()
    first = a_duty_id()
    decided = story.do(c.WithdrawConsent(consent, first))
    assert told(decided) == ["consent.withdrawn", "consent.withdrawal_notified", "transmission.ended"]
    notified = decided.tells[1]
    assert (notified.to, notified.scope) == (JUGENDAMT, MUSTER)
    assert notified.fact.model_dump() == {  # type: ignore[attr-defined]  # every fact is a model
        "handover": handover, "duty": first, "releases": (line.release,), "answer_by": NOW + timedelta(days=14),
        "basis_ended": (),
    }
    duty = story.person.duties[0]
    assert (duty.state, duty.side, duty.consent) == ("awaits", Side.SENDER, consent)
    assert told(story.do(c.WithdrawConsent(consent, a_duty_id()))) == []


def test_what_still_stands_on_something_else_is_not_asked_back() -> None:
    story, consent, handover, line = released()
    other = story.gives()
    basis = Basis(LegalBasis.CONSENT_SGB_X_67B, other, story.person.consents[1].grants[0].id)
    story.person = replace(story.person, ledger=(replace(line, bases=(*line.bases, basis)),))
    assert told(story.do(c.WithdrawConsent(consent, a_duty_id()))) == ["consent.withdrawn"]
    assert story.state_of(handover) == "permitted"
    assert told(story.do(c.WithdrawConsent(other, a_duty_id()))) == [
        "consent.withdrawn", "consent.withdrawal_notified", "transmission.ended",
    ]


def test_a_release_that_rests_on_two_grants_is_told_of_twice_when_they_end_one_after_the_other() -> None:
    story = Story()
    school, health = a_grant(), a_grant(categories=frozenset({DataCategory.HEALTH}))
    consent = story.gives(school, health)
    items = an_item(), an_item(DataCategory.HEALTH)
    first = disclosed(story, story.proposes(*items), items[0], consent)
    second = replace(first, item=items[1].id, bases=(replace(first.bases[0], grant=health.id),))
    story.person = replace(story.person, ledger=(first, second))
    story.do(c.WithdrawGrants(consent, frozenset({school.id}), a_duty_id()))
    story.do(c.HearAnswer(JUGENDAMT, story.person.duties[0].id, DutyAnswer.RETAINED, RetentionNorm.SGB_X_84))
    assert "consent.withdrawal_notified" in told(story.do(c.WithdrawConsent(consent, a_duty_id())))
    assert [(duty.state, duty.releases) for duty in story.person.duties] == [
        ("answered", (first.release,)), ("awaits", (first.release,)),
    ]
    assert told(story.do(c.WithdrawConsent(consent, a_duty_id()))) == []


@pytest.mark.parametrize("replaced", [True, False])
def test_withdrawing_a_newer_consent_reaches_whoever_received_something_by_an_older_one(replaced: bool) -> None:
    story, older, _, line = released()
    if not replaced:
        story.now = story.person.consents[0].grants[0].valid_until
        story.do(c.LookAgain(a_duty_id()))
    newer = ConsentId(new_id())
    story.do(c.GiveConsent(newer, a_sheet(story.notice.id), replaces=older if replaced else None))
    story.now += SECOND
    assert "consent.withdrawal_notified" in told(story.do(c.WithdrawConsent(newer, a_duty_id())))
    assert [duty.releases for duty in story.person.duties] == [(line.release,)]
    third = story.gives()
    story.now += SECOND
    assert told(story.do(c.WithdrawConsent(third, a_duty_id()))) == ["consent.withdrawn"], "it was told already"


@pytest.mark.parametrize("some", [True, False])
def test_a_consent_that_has_expired_can_still_be_withdrawn_and_that_is_told_once(some: bool) -> None:
    story, consent, _, line = released()
    grants = frozenset(grant.id for grant in story.person.consents[0].grants)
    story.now = story.person.consents[0].grants[0].valid_until
    assert story.do(c.LookAgain(a_duty_id())).subject.duties == ()
    command = c.WithdrawGrants(consent, grants, a_duty_id()) if some else c.WithdrawConsent(consent, a_duty_id())
    assert told(story.do(command)) == ["consent.withdrawn", "consent.withdrawal_notified"]
    assert (story.state(consent), story.person.duties[0].releases) == ("expired", (line.release,))
    assert told(story.do(replace(command, first_duty=a_duty_id()))) == []


def test_a_grant_taken_back_while_another_stood_is_told_when_that_one_is_taken_back_too() -> None:
    story, consent, _, line = released()
    other = story.gives()
    basis = Basis(LegalBasis.CONSENT_SGB_X_67B, other, story.person.consents[1].grants[0].id)
    story.person = replace(story.person, ledger=(replace(line, bases=(*line.bases, basis)),))
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    story.now = story.person.consents[1].grants[0].valid_until
    story.do(c.LookAgain(a_duty_id()))
    assert "consent.withdrawal_notified" in told(story.do(c.WithdrawConsent(other, a_duty_id())))


def cleared_and_released() -> tuple[Story, c.WithdrawClearance, dict[str, Disclosed]]:
    """Of two items that went on one grant a guardian has entrusted one, and lets it go; the person alone the other."""
    story = Story(AgeBand.FROM_15_TO_17)
    grant = a_grant(entrusted_included=True)
    consent = story.gives(grant)
    story.do(c.ClearGrants(consent, frozenset({grant.id}), Giver.GUARDIAN, ConsentForm.WRITTEN))
    items = {"entrusted": an_item(entrusted=True, entruster=Giver.GUARDIAN), "own": an_item()}
    handover = story.proposes(*items.values())
    lines = {name: disclosed(story, handover, item, consent) for name, item in items.items()}
    lines["own"] = replace(lines["own"], release=lines["entrusted"].release)
    story.person = replace(story.person, ledger=tuple(lines.values()))
    return story, c.WithdrawClearance(consent, frozenset({grant.id}), a_duty_id()), lines


def test_whoever_has_received_what_was_entrusted_is_told_when_that_is_no_longer_cleared() -> None:
    """R8, R9, § 65(1) Nr. 1 SGB VIII; Art. 7(3), 19 GDPR: a clearance taken back is a withdrawal by who gave it."""
    story, ends, lines = cleared_and_released()
    assert told(story.do(ends)) == [
        "consent.clearance_ended", "consent.withdrawal_notified", "transmission.reduced",
    ]
    (duty,) = story.person.duties
    assert (duty.releases, duty.items) == ((lines["entrusted"].release,), (lines["entrusted"].item,))
    assert told(story.do(replace(ends, first_duty=a_duty_id()))) == []

    story.do(c.WithdrawConsent(ends.consent, a_duty_id()))
    assert [duty.items for duty in story.person.duties] == [(lines["entrusted"].item,), (lines["own"].item,)], "once"


def by_law(_: Story) -> Basis:
    return Basis(LegalBasis.SGB_VIII_65_EXCEPTION, task="§ 8a SGB VIII")


def by_the_guardians_own_consent(story: Story) -> Basis:
    story.person = replace(story.person, age_band=AgeBand.UNDER_15)
    consent = story.gives(
        a_grant(entrusted_included=True), giver=Giver.GUARDIAN, insight=False, young_person_heard=True
    )
    return Basis(LegalBasis.CONSENT_SGB_X_67B, consent, story.person.consents[-1].grants[0].id)


@pytest.mark.parametrize("other", [by_law, by_the_guardians_own_consent])
def test_what_still_goes_on_something_else_is_not_asked_back_when_a_clearance_ends(
    other: Callable[[Story], Basis]
) -> None:
    story, ends, lines = cleared_and_released()
    entrusted = replace(lines["entrusted"], bases=(*lines["entrusted"].bases, other(story)))
    story.person = replace(story.person, ledger=(entrusted, lines["own"]))
    story.do(ends)
    assert story.person.duties == ()


def test_the_last_word_of_the_one_who_entrusted_it_is_told_in_whatever_order_they_are_taken_back() -> None:
    """The person's consent stands, and lets nothing go any more that somebody else has entrusted."""
    story, ends, lines = cleared_and_released()
    basis = by_the_guardians_own_consent(story)
    assert basis.consent is not None
    entrusted = replace(lines["entrusted"], bases=(*lines["entrusted"].bases, basis))
    story.person = replace(story.person, ledger=(entrusted, lines["own"]))
    story.do(ends)
    story.do(c.WithdrawConsent(basis.consent, a_duty_id()))
    assert [duty.items for duty in story.person.duties] == [(entrusted.item,)]


def test_where_nobody_ever_cleared_anything_nobody_is_told_that_it_is_over() -> None:
    story, ends, _ = cleared_and_released()
    never = story.gives(a_grant(entrusted_included=True))
    story.now = story.person.consents[0].grants[0].valid_until
    story.do(c.LookAgain(a_duty_id()))
    grants = frozenset(grant.id for grant in story.person.consents[-1].grants)
    assert told(story.do(replace(ends, consent=never, grants=grants))) == []


def test_of_a_consent_whose_giver_a_restored_database_does_not_know_it_is_told_all_the_same() -> None:
    story, ends, lines = cleared_and_released()
    (consent,) = story.person.consents
    forgotten = replace(consent, form=None, giver=Giver.GUARDIAN, grants=tuple(
        replace(grant, categories=frozenset(), cleared=None) for grant in consent.grants
    ))
    story.person = replace(story.person, consents=(forgotten,))
    story.do(ends)
    assert {item for duty in story.person.duties for item in duty.items} == {lines["entrusted"].item}


def test_a_clearance_taken_back_after_the_consent_has_expired_is_told_all_the_same() -> None:
    story, ends, lines = cleared_and_released()
    story.now = story.person.consents[0].grants[0].valid_until
    story.do(c.LookAgain(a_duty_id()))
    assert "consent.withdrawal_notified" in told(story.do(ends))
    assert [duty.items for duty in story.person.duties] == [(lines["entrusted"].item,)]


def test_duties_of_one_withdrawal_have_different_ids_and_one_per_handover() -> None:
    story = Story()
    consent = story.gives()
    items = [an_item(), an_item()]
    lines = tuple(disclosed(story, story.proposes(item), item, consent) for item in items)
    story.person = replace(story.person, ledger=lines)
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    assert len({duty.id for duty in story.person.duties}) == 2
    assert {duty.handover for duty in story.person.duties} == {line.handover for line in lines}


def test_the_answer_is_taken_from_the_recipient_alone() -> None:
    story, consent, _, _ = released()
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    duty = story.person.duties[0].id
    stranger = c.HearAnswer(AGENTUR, duty, DutyAnswer.ERASED, None)
    assert refused(story.try_(stranger)) == Reason.NOT_THE_COUNTERPART
    story.do(c.HearAnswer(JUGENDAMT, duty, DutyAnswer.RETAINED, RetentionNorm.SGB_X_84))
    assert (story.person.duties[0].state, story.person.duties[0].norm) == ("answered", RetentionNorm.SGB_X_84)


def test_storage_is_confirmed_by_the_recipient_alone() -> None:
    story, _, handover, line = released()
    stored = c.NoteStored(AGENTUR, handover, line.release, (line.item,))
    assert refused(story.try_(stored)) == Reason.NOT_THE_COUNTERPART
    story.do(replace(stored, by=JUGENDAMT))
    assert story.person.transmissions[0].stored == {line.item}


# --- what was received ------------------------------------------------------------------------------------------------


def received(state: HandoverState = HandoverState.ACTIVE) -> tuple[Story, HandoverRef, ReleaseId, c.OweAnswer]:
    """At the receiver: a dossier is stored; the demand that could come."""
    story = Story()
    handover, release = HandoverRef(new_id()), ReleaseId(new_id())
    story.do(moved(handover, HandoverState.ACCEPTED, side=Side.RECEIVER))
    story.do(c.ConfirmStorage(handover, release, (an_item().id,)))
    story.do(moved(handover, state, side=Side.RECEIVER))
    demand = owed(handover, release)
    return story, handover, release, demand


def test_what_is_stored_is_confirmed_to_the_sender_as_soon_as_the_sender_is_known() -> None:
    story = Story()
    handover = HandoverRef(new_id())
    assert told(story.do(c.ConfirmStorage(handover, ReleaseId(new_id()), ()))) == []
    decided = story.do(moved(handover, HandoverState.ACCEPTED, side=Side.RECEIVER))
    assert told(decided) == ["consent.storage_confirmed"]
    assert decided.tells[0].to == JUGENDAMT
    assert told(story.do(moved(handover, HandoverState.ACTIVE, side=Side.RECEIVER))) == []
    assert told(story.do(c.ConfirmStorage(handover, ReleaseId(new_id()), ()))) == ["consent.storage_confirmed"]


def test_a_receiver_answers_erased_when_own_intake_has_erased() -> None:
    story, _, _, demand = received()
    story.do(demand)
    decided = story.do(c.AnswerErased(demand.duty))
    assert told(decided) == ["consent.erasure_demanded"]
    assert len(decided.tells[0].fact.items) == 1  # type: ignore[attr-defined]  # the demand names what came
    assert told(story.do(c.HearErased(demand.duty))) == ["consent.data_answered"]
    assert told(story.do(c.HearErased(demand.duty))) == []


def test_a_receiver_may_name_a_norm_instead_once() -> None:
    """Art. 17(3) GDPR; § 84 SGB X: retained on a norm, and on no other ground."""
    story, _, _, demand = received()
    story.do(demand)
    assert told(story.do(c.AnswerRetained(demand.duty, RetentionNorm.GDPR_17_3_B))) == ["consent.data_answered"]
    assert refused(story.try_(c.AnswerErased(demand.duty))) == Reason.NOT_NOW


def test_a_demand_comes_from_the_sender_of_the_handover_alone() -> None:
    story, _, _, demand = received()
    assert refused(story.try_(replace(demand, counterpart=AGENTUR))) == Reason.NOT_THE_COUNTERPART


# --- the tables -------------------------------------------------------------------------------------------------------


def test_no_terminal_state_of_a_consent_is_left() -> None:
    for row in CONSENTS.rows:
        assert row.while_ not in OVER or row.then == row.while_


def test_every_row_says_why() -> None:
    for table in (CONSENTS, TRANSMISSIONS, RECEPTIONS, DUTIES, RELEASES):
        assert all(row.because for row in table.rows)


def test_a_consent_on_record_is_never_written_over() -> None:
    story = Story()
    consent = story.gives()
    assert refused(story.try_(c.GiveConsent(consent, a_sheet(story.notice.id)))) == Reason.NOT_NOW


def test_requests_and_refusals_permit_nothing() -> None:
    story = Story()
    handover = story.proposes(an_item())
    consent = ConsentId(new_id())
    story.do(c.RequestConsent(consent, a_sheet(story.notice.id)))
    assert told(story.do(c.RefuseConsent(consent))) == ["consent.refused"]
    assert (story.state(consent), story.state_of(handover)) == ("refused", "denied")


def test_an_unknown_grant_or_consent_is_named_as_such() -> None:
    story = Story()
    consent = story.gives()
    assert refused(story.try_(c.WithdrawGrants(consent, frozenset({GrantId(new_id())}), a_duty_id()))) == (
        Reason.UNKNOWN_GRANT
    )
    assert refused(story.try_(c.WithdrawConsent(ConsentId(new_id()), a_duty_id()))) == Reason.UNKNOWN_CONSENT
    assert Consent(consent).version == 0
