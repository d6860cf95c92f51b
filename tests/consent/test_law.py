"""The rules of the law that concern consent, each quoted by the test that holds it (`docs/reference/law.md`)."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from chassis.transitions import Decided, Refused
from contracts.alliance import StatutoryBasis
from contracts.codes import AgeBand, ConsentForm, DataCategory, Giver, LegalBasis, Purpose, Role, Sphere
from contracts.consent import ConsentRenewalDue
from contracts.ids import AgencyId, CaseId, ConsentId, GrantId, HandoverRef, TransmissionId, WaiverId
from contracts.new_ids import new_id
from services.consent.api import routes
from services.consent.domain import Law, Reason
from services.consent.domain import commands as c
from services.consent.domain.consents import rightful
from services.consent.domain.decision import Question
from services.consent.domain.words import PersonState, RestrictionState, Stated
from tests.consent.builders import (
    AGENTUR,
    ALLIANCE,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    NOW,
    PURPOSE,
    Story,
    a_duty_id,
    a_grant,
    a_sheet,
    an_item,
    refused,
    told,
    with_row,
)
from tests.consent.conftest import DECLARED, Consenting

BOTH = (DataCategory.CONTACT, DataCategory.SCHOOL)
BY_LAW = Law(JOBCENTER, {MUSTER: with_row(ALLIANCE, categories=BOTH, valid_until=date(2028, 12, 31))})
MINOR, ADULT = AgeBand.FROM_15_TO_17, AgeBand.FROM_18_TO_20
BY_GUARDIAN = {"giver": Giver.GUARDIAN, "insight": False}
BRUECKE, SCHULE = AgencyId("bruecke"), AgencyId("schule")


def going_by_law(age: AgeBand = MINOR) -> tuple[Story, Any]:
    """Somebody's contact data are to go to the youth office, on a task of the law."""
    story = Story(age, law=BY_LAW)
    handover = story.proposes(an_item(DataCategory.CONTACT))
    story.states_task(handover, DataCategory.CONTACT)
    assert story.state_of(handover) == "permitted"
    return story, handover


def later(story: Story, seconds: int = 1) -> None:
    story.now += timedelta(seconds=seconds)


# --- consent: what it names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wildcard",
    [
        {"recipient": "*"}, {"recipient": ""}, {"recipient": None}, {"recipient": "all"}, {"recipient": ["jugendamt"]},
        {"purpose": "*"}, {"purpose": "any"}, {"purpose": None},
        {"categories": []}, {"categories": ["*"]}, {"categories": ["all"]}, {"categories": None},
        {"alliance": "*"},
    ],
    ids=str,
)
async def test_nobody_consents_to_everybody_everything_or_every_purpose(
    consenting: Consenting, wildcard: dict[str, Any]
) -> None:
    """R5, § 67b(2) SGB X; Art. 4 GDPR: for the specific case; a blanket consent is void, and none is taken down."""
    person = await consenting.a_person()
    grant = {"alliance": MUSTER, "recipient": JUGENDAMT, "purpose": PURPOSE, "categories": ["school"], **wildcard}
    for grants in ([grant], []):
        said = {"person": str(person), "notice": await consenting.a_notice(), **DECLARED, "grants": grants}
        assert (await consenting.command("/consents", said)).status_code == 422
    assert await consenting.rows("SELECT id FROM consent") == []


def test_a_consent_lets_go_what_it_names_to_whom_it_names_for_what_it_names_and_nothing_else() -> None:
    """R5, § 67b(2) SGB X; Art. 5, 6, 7 GDPR: another category, recipient, purpose or alliance is another consent."""
    story = Story()
    story.gives(a_grant(categories=frozenset({DataCategory.SCHOOL})))
    assert story.reasons(story.proposes(an_item(DataCategory.SCHOOL))) == ["consent"]
    for category in set(DataCategory) - {DataCategory.SCHOOL}:
        assert story.reasons(story.proposes(an_item(category))) == ["no_basis"]
    assert story.reasons(story.proposes(an_item(DataCategory.SCHOOL), recipient=AGENTUR)) == ["recipient_not_eligible"]
    other = Story()
    other.gives(a_grant(purpose=Purpose.STABILISATION))
    assert other.reasons(other.proposes(an_item(DataCategory.SCHOOL))) == ["no_basis"]


def test_what_was_proposed_before_goes_from_the_consent_on_and_not_before_it() -> None:
    """R5, § 67b(1) SGB X: consent comes first; the decision of yesterday stays the one it was."""
    story = Story()
    handover = story.proposes(an_item())
    before = story.person.decisions
    later(story)
    story.gives()
    assert [each.items[0].permitted for each in story.person.decisions] == [False, True]
    assert story.person.decisions[: len(before)] == before
    assert all(grant.valid_from == story.now for grant in story.person.consents[0].grants)
    assert story.state_of(handover) == "permitted"


def test_data_on_health_go_on_no_spoken_word() -> None:
    """R5, § 67b(2) SGB X; Art. 9 GDPR: written or electronic, also for what is special without being about health."""
    story = Story()
    spoken = a_sheet(
        story.notice.id, a_grant(categories=frozenset({DataCategory.HEALTH})), form=ConsentForm.ORAL_DOCUMENTED
    )
    assert refused(story.try_(c.GiveConsent(ConsentId(new_id()), spoken))) == Reason.FORM_TOO_WEAK
    story.gives(form=ConsentForm.ORAL_DOCUMENTED)
    assert story.reasons(story.proposes(an_item(), an_item(special=True))) == ["consent", "no_basis"]
    story.gives(form=ConsentForm.ELECTRONIC)
    assert story.reasons(story.proposes(an_item(special=True))) == ["consent"]


# --- who declares -----------------------------------------------------------------------------------------------------


def test_no_guardian_signs_for_somebody_of_15_whose_insight_was_noted() -> None:
    """R6, § 36 SGB I: whatever the form says of insight; taken back, the guardian signs again."""
    story = Story(MINOR)
    sheet = a_sheet(story.notice.id, **BY_GUARDIAN)
    story.do(c.NoteInsight(insight=True))
    assert refused(story.try_(c.GiveConsent(ConsentId(new_id()), sheet))) == Reason.WRONG_GIVER
    story.gives()
    story.do(c.NoteInsight(insight=False))
    story.do(c.GiveConsent(ConsentId(new_id()), sheet))


def test_insight_is_noted_of_nobody_who_is_not_known() -> None:
    story = Story()
    story.person = replace(story.person, state=PersonState.HEARD_OF)
    assert refused(story.try_(c.NoteInsight(insight=True))) == Reason.UNKNOWN_PERSON


@pytest.mark.parametrize(
    ("given_at", "sheet", "now", "noted", "due"),
    [
        (AgeBand.UNDER_15, {"insight": False}, AgeBand.UNDER_15, True, False),
        (AgeBand.UNDER_15, {"insight": False}, MINOR, False, False),
        (AgeBand.UNDER_15, {"insight": True}, MINOR, False, True),
        (AgeBand.UNDER_15, {"insight": False}, MINOR, True, True),
        (MINOR, {"insight": False}, MINOR, True, True),
        (MINOR, {"insight": False}, ADULT, False, True),
        (MINOR, {"giver": Giver.SELF, "insight": True}, ADULT, True, False),
    ],
)
def test_a_guardians_consent_is_to_be_renewed_by_whoever_may_declare_by_now_and_holds_until_then(
    given_at: AgeBand, sheet: dict[str, Any], now: AgeBand, noted: bool, due: bool
) -> None:
    """R6, § 36 SGB I; § 67b SGB X: at 15 with insight, at 18, or when insight is noted; by itself nothing ends."""
    story = Story(given_at)
    story.gives(**({"giver": Giver.GUARDIAN} | sheet))
    handover = story.proposes(an_item())
    story.do(c.KnowPerson(now))
    story.do(c.NoteInsight(insight=noted))
    assert story.to_be_renewed() == [due]
    story.do(c.LookAgain(a_duty_id()))
    assert story.state_of(handover) == "permitted"
    if due:
        renewed = ConsentId(new_id())
        story.do(c.GiveConsent(renewed, a_sheet(story.notice.id), replaces=story.person.consents[0].id))
        assert story.to_be_renewed() == [False, False]


@pytest.mark.parametrize(
    ("given_at", "insight", "then", "reason"),
    [
        (AgeBand.UNDER_15, True, c.KnowPerson(MINOR), "insight"),
        (MINOR, False, c.NoteInsight(insight=True), "insight"),
        (MINOR, False, c.KnowPerson(ADULT), "of_age"),
    ],
)
def test_that_a_guardians_consent_is_to_be_renewed_is_told_once(
    given_at: AgeBand, insight: bool, then: object, reason: str
) -> None:
    """R6, § 36 SGB I: at 15 with insight, when insight is noted, at 18; whoever hears it twice has two who ask."""
    story = Story(given_at)
    consent = story.gives(giver=Giver.GUARDIAN, insight=insight)
    assert told(story.last) == ["consent.given"]
    due = [tell.fact for tell in story.do(then).tells if isinstance(tell.fact, ConsentRenewalDue)]
    assert [(each.person, each.consent, each.reason) for each in due] == [(story.person.id, consent, reason)]
    for again in (then, c.LookAgain(a_duty_id()), then):
        assert told(story.do(again)) == []


def test_of_age_is_another_reason_than_insight_and_what_was_renewed_or_ended_is_not_told_of() -> None:
    """R6, § 36 SGB I: at 18 it is told once more; insight that was taken back and noted again tells nothing new."""
    story = Story(MINOR)
    story.gives(giver=Giver.GUARDIAN, insight=False)
    ended = story.gives(giver=Giver.GUARDIAN, insight=False)
    story.do(c.WithdrawConsent(ended, a_duty_id()))
    assert told(story.do(c.NoteInsight(insight=True))) == ["consent.insight_noted", "consent.renewal_due"]
    assert told(story.do(c.NoteInsight(insight=True))) == []
    assert told(story.do(c.NoteInsight(insight=False))) == ["consent.insight_noted"]
    assert told(story.do(c.NoteInsight(insight=True))) == ["consent.insight_noted"]
    assert told(story.do(c.KnowPerson(ADULT))) == ["consent.renewal_due"]
    assert told(story.do(c.KnowPerson(AgeBand.FROM_21_TO_24))) == []


# --- what is forbidden ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "by", "form", "reason"),
    [
        (AgeBand.UNDER_15, Giver.GUARDIAN, ConsentForm.WRITTEN, None),
        (MINOR, Giver.GUARDIAN, ConsentForm.WRITTEN, None),
        (MINOR, Giver.GUARDIAN, ConsentForm.ELECTRONIC, Reason.NOT_IN_WRITING),
        (MINOR, Giver.GUARDIAN, ConsentForm.ORAL_DOCUMENTED, Reason.NOT_IN_WRITING),
        (ADULT, Giver.GUARDIAN, ConsentForm.WRITTEN, Reason.WRONG_GIVER),
        (AgeBand.UNDER_15, Giver.SELF, ConsentForm.ORAL_DOCUMENTED, None),
        (MINOR, Giver.SELF, ConsentForm.ORAL_DOCUMENTED, None),
        (ADULT, Giver.SELF, ConsentForm.ORAL_DOCUMENTED, None),
    ],
)
def test_a_guardian_restricts_in_writing_and_nobody_of_age_while_a_person_objects_in_any_form(
    age: AgeBand, by: Giver, form: ConsentForm, reason: Reason | None
) -> None:
    """R7, § 36(2) SGB I; Art. 21 GDPR: to object is as easy as can be, to restrict for another one is not."""
    story = Story(age)
    if reason is None:
        story.restricts(DataCategory.SCHOOL, by=by, form=form)
        assert [(each.by, each.in_force) for each in story.person.restrictions] == [(by, True)]
    else:
        with pytest.raises(AssertionError, match=reason):
            story.restricts(DataCategory.SCHOOL, by=by, form=form)


@pytest.mark.parametrize("by", Giver)
def test_what_went_by_law_stops_when_it_is_forbidden_and_may_go_when_that_is_lifted(by: Giver) -> None:
    """R7, R15, § 36(2) SGB I; § 31a SGB III; Art. 21 GDPR: every open transmission is decided with the declaration."""
    story, handover = going_by_law()
    restriction = story.restricts(DataCategory.CONTACT, by=by)
    assert told(story.last) == ["consent.restricted", "transmission.ended"]
    assert story.reasons(handover) == ["restricted"]
    next_one = story.proposes(an_item(DataCategory.CONTACT))
    story.states_task(next_one, DataCategory.CONTACT)
    assert story.reasons(next_one) == ["restricted"]

    wrong = Giver.GUARDIAN if by is Giver.SELF else Giver.SELF
    lifting = c.LiftRestriction(restriction, wrong, ConsentForm.WRITTEN)
    assert refused(story.try_(lifting)) == Reason.NOT_THE_DECLARANT
    story.do(replace(lifting, by=by))
    assert told(story.last) == ["consent.restriction_ended", "transmission.permitted"]
    assert told(story.do(lifting)) == [], "over before"


@pytest.mark.parametrize("form", ConsentForm)
def test_of_whoever_objects_the_land_is_told_nothing(form: ConsentForm) -> None:
    """R15, § 31a(2) SGB III: the data are not transmitted to the Land where the young person objects."""
    norm = "§ 31a SGB III"
    matrix = with_row(
        ALLIANCE, sender=Sphere.SGB_III, receiver=Sphere.SCHULE, basis=LegalBasis.SGB_III_31A, norm=norm,
        categories=(DataCategory.MASTER_DATA,),
    )
    story, item, handover = Story(MINOR, law=Law(AGENTUR, {MUSTER: matrix})), an_item(), HandoverRef(new_id())
    story.do(c.OpenTransmission(
        TransmissionId(proposal := new_id()), proposal, handover, CaseId(new_id()), MUSTER, SCHULE,
        Purpose.VOCATIONAL_ORIENTATION, (item.id,),
    ))
    story.do(c.TakeFlags(handover, proposal, (item,)))
    story.do(c.StateTask(handover, Stated(norm, frozenset({DataCategory.MASTER_DATA}), id=new_id())))
    assert story.reasons(handover) == ["statutory_basis"]
    story.restricts(DataCategory.MASTER_DATA, recipient=SCHULE, form=form)
    assert told(story.last) == ["consent.restricted", "transmission.ended"]
    assert story.reasons(handover) == ["restricted"]


def test_a_guardian_lifts_in_writing_too() -> None:
    """R7, § 36(2) SGB I: what was to be written to shut the way is to be written to open it."""
    story, _ = going_by_law()
    restriction = story.restricts(DataCategory.CONTACT, by=Giver.GUARDIAN)
    spoken = c.LiftRestriction(restriction, Giver.GUARDIAN, ConsentForm.ORAL_DOCUMENTED)
    assert refused(story.try_(spoken)) == Reason.NOT_IN_WRITING


def test_at_18_what_a_guardian_restricted_lapses_and_what_the_person_objected_to_does_not() -> None:
    """R7, § 36(2) SGB I; § 2 BGB: of age, nobody restricts in a person's place; their own word stands."""
    story = Story(MINOR, law=BY_LAW)
    story.restricts(DataCategory.CONTACT, by=Giver.GUARDIAN)
    story.restricts(DataCategory.SCHOOL, by=Giver.SELF)
    handover = story.proposes(an_item(DataCategory.CONTACT), an_item(DataCategory.SCHOOL))
    story.states_task(handover, *BOTH)
    assert story.reasons(handover) == ["restricted", "restricted"]
    assert told(story.do(c.KnowPerson(MINOR))) == []
    assert told(story.do(c.KnowPerson(ADULT))) == ["consent.restriction_ended", "transmission.partly"]
    assert story.reasons(handover) == ["statutory_basis", "restricted"]
    assert [each.state for each in story.person.restrictions] == [RestrictionState.LAPSED, RestrictionState.IN_FORCE]
    assert told(story.do(c.KnowPerson(AgeBand.FROM_21_TO_24))) == []


def test_a_restriction_that_lapsed_by_a_wrong_birth_date_holds_again_when_that_is_corrected() -> None:
    """R7, § 36(2) SGB I; § 2 BGB: it never was over; and the other way round, whoever is of age restricts alone."""
    story, handover = going_by_law()
    story.restricts(DataCategory.CONTACT, by=Giver.GUARDIAN)
    before = story.person.restrictions[0]
    again = story.proposes(an_item(DataCategory.CONTACT))
    story.states_task(again, DataCategory.CONTACT)
    assert story.reasons(again) == ["restricted"]
    for _ in range(2):
        later(story)
        assert told(story.do(c.KnowPerson(ADULT))) == ["consent.restriction_ended", "transmission.permitted"]
        later(story)
        assert told(story.do(c.KnowPerson(MINOR)))[0] == "consent.restricted"
        (restriction,) = story.person.restrictions
        assert replace(restriction, version=before.version) == before
        again = story.proposes(an_item(DataCategory.CONTACT))
        story.states_task(again, DataCategory.CONTACT)
        assert story.reasons(again) == ["restricted"]
    assert told(story.do(c.KnowPerson(AgeBand.UNDER_15))) == []
    assert story.state_of(handover) == "ended"


def test_what_a_guardian_lifted_after_it_had_lapsed_never_holds_again() -> None:
    """R7, § 36(2) SGB I: in writing, and by the guardian alone; the person's own objection knows no age."""
    story, _ = going_by_law()
    restriction = story.restricts(DataCategory.CONTACT, by=Giver.GUARDIAN)
    own = story.restricts(DataCategory.SCHOOL, by=Giver.SELF)
    story.do(c.KnowPerson(ADULT))
    lifting = c.LiftRestriction(restriction, Giver.GUARDIAN, ConsentForm.WRITTEN)
    assert refused(story.try_(replace(lifting, by=Giver.SELF))) == Reason.NOT_THE_DECLARANT
    assert refused(story.try_(replace(lifting, form=ConsentForm.ELECTRONIC))) == Reason.NOT_IN_WRITING
    assert told(story.do(lifting)) == ["consent.restriction_ended"]
    assert told(story.do(c.KnowPerson(MINOR))) == []
    assert [(each.id, each.in_force) for each in story.person.restrictions] == [(restriction, False), (own, True)]


def test_of_one_persons_words_the_later_one_counts() -> None:
    """R15, Art. 21 GDPR; Art. 7(3) GDPR: whoever consented and then objects is not told to withdraw as well."""
    story = Story()
    story.gives()
    handover = story.proposes(an_item(), an_item(DataCategory.SCHOOL))
    later(story)
    story.restricts(DataCategory.SCHOOL)
    assert story.reasons(handover) == ["consent", "restricted"]
    later(story)
    story.gives(a_grant(categories=frozenset({DataCategory.SCHOOL})))
    assert story.reasons(handover) == ["consent", "consent"]


def test_no_guardian_forbids_what_a_person_of_15_with_insight_consents_to() -> None:
    """R6, R7, § 36 SGB I: a consent is the person's own; what a guardian restricts is what goes by law."""
    story, _ = going_by_law()
    later(story)
    story.restricts(DataCategory.CONTACT, by=Giver.GUARDIAN)
    later(story)
    story.gives(a_grant(categories=frozenset({DataCategory.CONTACT})))
    assert story.reasons(story.proposes(an_item(DataCategory.CONTACT))) == ["consent"]
    later(story)
    story.restricts(DataCategory.CONTACT, by=Giver.GUARDIAN)
    assert story.reasons(story.proposes(an_item(DataCategory.CONTACT))) == ["consent"]


def test_who_is_named_is_meant_and_where_nobody_is_named_everybody_is() -> None:
    """R15, Art. 21 GDPR: a name nobody knows would protect from nobody, so it is not taken down."""
    story, _ = going_by_law(ADULT)
    story.restricts(DataCategory.CONTACT, recipient=AGENTUR)
    again = story.proposes(an_item(DataCategory.CONTACT))
    story.states_task(again, DataCategory.CONTACT)
    assert story.reasons(again) == ["statutory_basis"]
    with pytest.raises(AssertionError, match=Reason.UNKNOWN_AGENCY):
        story.restricts(DataCategory.CONTACT, recipient=AgencyId("jugendmat"))
    story.restricts(DataCategory.CONTACT, recipient=None)
    assert story.state_of(again) == "ended"


# --- withdrawing ------------------------------------------------------------------------------------------------------


def test_a_withdrawal_asks_for_no_more_than_the_consent_itself_did() -> None:
    """R8, Art. 7(3) GDPR: as easy as giving; one request, and neither a reason nor a form is asked."""
    (withdrawal,) = [route for route in routes.listed if route.path == "/consents/{consent}/withdrawal"]
    (giving,) = [route for route in routes.listed if (route.method, route.path) == ("POST", "/consents")]
    assert withdrawal.body is not None
    assert giving.body is not None
    required = {name for name, field in withdrawal.body.model_fields.items() if field.is_required()}
    assert required == {"person"}
    assert required <= set(giving.body.model_fields)
    assert withdrawal.allow.roles >= giving.allow.roles
    assert withdrawal.unconditional


# --- what was entrusted, what is secret -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "sheet", "entruster"),
    [
        (MINOR, {}, Giver.GUARDIAN),
        (ADULT, {}, Giver.GUARDIAN),
        (AgeBand.UNDER_15, BY_GUARDIAN, Giver.SELF),
        (MINOR, BY_GUARDIAN, Giver.SELF),
    ],
)
def test_what_somebody_else_entrusted_goes_on_the_consent_and_on_the_word_of_the_one_who_entrusted_it(
    age: AgeBand, sheet: dict[str, Any], entruster: Giver
) -> None:
    """R9, § 65(1) Nr. 1 SGB VIII; § 67b SGB X: both words, neither in the place of the other."""
    story = Story(age)
    grant = a_grant(entrusted_included=True)
    handover = story.proposes(an_item(entrusted=True, entruster=entruster))
    consent = story.gives(grant, **sheet)
    assert story.reasons(handover) == ["entrusted"]
    clear = c.ClearGrants(consent, frozenset({grant.id}), entruster, ConsentForm.WRITTEN)
    assert told(story.do(clear)) == ["consent.cleared", "transmission.permitted"]
    assert story.reasons(handover) == ["consent"]
    ends = c.WithdrawClearance(consent, frozenset({grant.id}), a_duty_id())
    assert told(story.do(ends)) == ["consent.clearance_ended", "transmission.ended"]
    assert told(story.do(ends)) == []
    assert story.state(consent) == "given"


def test_the_word_of_the_one_who_entrusted_it_alone_lets_nothing_go() -> None:
    """R9, § 65(1) Nr. 1 SGB VIII: when the consent ends, the clearance is of no use."""
    story = Story(MINOR)
    grant = a_grant(entrusted_included=True)
    consent = story.gives(grant)
    story.do(c.ClearGrants(consent, frozenset({grant.id}), Giver.GUARDIAN, ConsentForm.WRITTEN))
    handover = story.proposes(an_item(entrusted=True, entruster=Giver.GUARDIAN))
    assert story.state_of(handover) == "permitted"
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    assert (story.state_of(handover), story.reasons(handover)) == ("ended", ["entrusted"])
    story.do(c.WithdrawClearance(consent, frozenset({grant.id}), a_duty_id()))


@pytest.mark.parametrize(
    ("included", "by", "times"), [(False, Giver.GUARDIAN, 1), (True, Giver.SELF, 1), (True, Giver.GUARDIAN, 2)]
)
def test_nobody_clears_what_needs_no_clearing(included: bool, by: Giver, times: int) -> None:
    """R9, § 65 SGB VIII: not what holds nothing entrusted, not in place of oneself, not twice."""
    story = Story(MINOR)
    grant = a_grant(entrusted_included=included)
    clear = c.ClearGrants(story.gives(grant), frozenset({grant.id}), by, ConsentForm.WRITTEN)
    for _ in range(times - 1):
        story.do(clear)
    assert refused(story.try_(clear)) == Reason.NOTHING_TO_CLEAR
    unknown = replace(clear, grants=frozenset({GrantId(new_id())}))
    assert refused(story.try_(unknown)) == Reason.UNKNOWN_GRANT


def test_what_a_third_person_entrusted_goes_by_nobodys_consent() -> None:
    """R9, § 65 SGB VIII: who entrusted it is not known here, so nobody known here can let it go."""
    for age, giver in ((MINOR, Giver.SELF), (AgeBand.UNDER_15, Giver.GUARDIAN)):
        story = Story(age)
        grant = a_grant(entrusted_included=True)
        consent = story.gives(grant, giver=giver)
        other = Giver.GUARDIAN if giver is Giver.SELF else Giver.SELF
        story.do(c.ClearGrants(consent, frozenset({grant.id}), other, ConsentForm.WRITTEN))
        assert story.reasons(story.proposes(an_item(entrusted=True))) == ["entrusted"]


def a_waiver(**changed: Any) -> c.GiveWaiver:
    """A made-up physician may speak to the youth office."""
    said: dict[str, Any] = {
        "waiver": WaiverId(new_id()), "holder": "Dr. Quark-Erfunden", "toward": "Jugendamt", "giver": Giver.SELF,
        "insight": True, "young_person_heard": True, "form": ConsentForm.WRITTEN,
    }
    return c.GiveWaiver(**(said | changed))


def test_a_release_from_confidentiality_frees_a_person_and_lets_no_item_go() -> None:
    """R13, § 203 StGB: it is no consent to an agency, with or without a task of the law, whatever the item is."""
    for flags in ({}, {"professional_secret": True}, {"entrusted": True, "entruster": Giver.SELF}):
        story = Story(ADULT, law=BY_LAW)
        handover = story.proposes(an_item(DataCategory.HEALTH, **flags), an_item(DataCategory.SCHOOL, **flags))
        before = story.reasons(handover)
        assert not {"consent", "statutory_basis"} & set(before)
        waiver = a_waiver()
        assert told(story.do(waiver)) == []
        assert story.person.spoken_of is not None
        story.do(c.LookAgain(a_duty_id()))
        assert story.reasons(handover) == before
        story.do(c.WithdrawWaiver(waiver.waiver))
        assert [str(each.state) for each in story.person.waivers] == ["withdrawn"]
        story.do(c.WithdrawWaiver(waiver.waiver))


def test_a_professional_secret_goes_on_a_consent_and_on_no_task_and_no_waiver() -> None:
    """R11, R13, § 76 SGB X; § 203 StGB: read narrowly, what frees the physician does not free the agency."""
    story = Story(ADULT, law=BY_LAW)
    handover = story.proposes(an_item(DataCategory.CONTACT, professional_secret=True))
    story.states_task(handover, DataCategory.CONTACT)
    story.do(a_waiver())
    story.do(c.LookAgain(a_duty_id()))
    assert story.reasons(handover) == ["professional_secret"]
    story.gives(a_grant(categories=frozenset({DataCategory.CONTACT})))
    assert story.reasons(handover) == ["consent"]


@pytest.mark.parametrize(
    ("age", "changed", "reason"),
    [
        (MINOR, {"giver": Giver.GUARDIAN}, Reason.WRONG_GIVER),
        (AgeBand.UNDER_15, {}, Reason.WRONG_GIVER),
        (AgeBand.UNDER_15, {"giver": Giver.GUARDIAN, "young_person_heard": False}, Reason.YOUNG_PERSON_NOT_HEARD),
        (AgeBand.UNDER_15, {"giver": Giver.GUARDIAN}, None),
    ],
)
def test_whoever_may_consent_releases_from_confidentiality(
    age: AgeBand, changed: dict[str, Any], reason: Reason | None
) -> None:
    """R13, § 203 StGB; § 36 SGB I: by age and insight, as with a consent."""
    story = Story(age)
    decided = story.try_(a_waiver(**changed))
    assert (decided.reason if isinstance(decided, Refused) else None) == reason
    assert refused(story.try_(c.WithdrawWaiver(WaiverId(new_id())))) == Reason.UNKNOWN_WAIVER


# --- who receives -----------------------------------------------------------------------------------------------------


def test_a_free_provider_receives_nothing_once_its_protection_agreement_is_over() -> None:
    """R12, § 61(3) SGB VIII: until its last day is over in Germany, whatever was consented to."""
    ends = date(2026, 11, 22)
    agencies = tuple(
        each.model_copy(update={"data_protection_agreement_until": ends}) if each.id == BRUECKE else each
        for each in ALLIANCE.agencies
    )
    over = ALLIANCE.model_copy(update={"agencies": agencies})
    last_evening = NOW.replace(hour=22, minute=59)
    for at, may in ((last_evening, True), (last_evening + timedelta(minutes=1), False)):
        asked = Question(at, JUGENDAMT, BRUECKE, Purpose.STABILISATION, over, ())
        assert asked.recipient_eligible is may


@pytest.mark.parametrize("outside", [Sphere.SCHULE, Sphere.DRITTE])
@pytest.mark.parametrize("basis", [LegalBasis.SGB_X_69_1_1, LegalBasis.SGB_II_50_1])
def test_to_and_from_schools_and_third_parties_nothing_goes_on_the_social_code(
    outside: Sphere, basis: LegalBasis
) -> None:
    """R14, § 35 SGB I: they are bound by the law of the Land; a row that says otherwise is in no alliance's file."""
    row = {
        "norm": "§ 13 SGB VIII", "task": "Jugendsozialarbeit", "categories": (DataCategory.SCHOOL,), "basis": basis,
        "valid_from": NOW.date(), "valid_until": NOW.date(),
    }
    for way in ((Sphere.SGB_III, outside), (outside, Sphere.SGB_III)):
        with pytest.raises(ValidationError, match="state_law or sgb_iii_31a"):
            StatutoryBasis.model_validate(row | {"sender": way[0], "receiver": way[1]})
        StatutoryBasis.model_validate(
            row | {"sender": way[0], "receiver": way[1], "basis": LegalBasis.STATE_LAW}
        )


def test_a_duty_to_work_together_is_no_basis_by_itself() -> None:
    """R21, § 81 SGB VIII; § 86 SGB X: to cooperate is a duty, to transmit takes a norm that an approved row names."""
    story = Story(law=BY_LAW)
    handover = story.proposes(an_item(DataCategory.CONTACT))
    for norm in ("§ 81 SGB VIII", "§ 86 SGB X", "§ 9a SGB III", "§ 18a SGB II"):
        task = c.StateTask(handover, Stated(norm, frozenset({DataCategory.CONTACT}), id=new_id()))
        assert refused(story.try_(task)) == Reason.NO_SUCH_TASK


# --- refusing ---------------------------------------------------------------------------------------------------------


def test_a_refusal_has_no_consequence() -> None:
    """R23, Art. 7(4) GDPR; § 67b(2) SGB X: what went by law still goes, nothing is told but that there was a no."""
    story, handover = going_by_law(ADULT)
    before = story.person
    consent = ConsentId(new_id())
    story.do(c.RequestConsent(consent, a_sheet(story.notice.id)))
    assert told(story.do(c.RefuseConsent(consent))) == ["consent.refused"]
    assert story.person.transmissions == before.transmissions
    assert (story.person.restrictions, story.person.duties) == ((), ())
    assert story.state_of(handover) == "permitted"
    assert set(c.RefuseConsent.__slots__) == {"consent"}


# --- who sees what ----------------------------------------------------------------------------------------------------


def test_no_guardian_has_a_way_in() -> None:
    """§ 51 BMG; § 36 SGB I: what stands here, an address above all, is shown to no guardian: there is no such role."""
    assert not [role for role in Role if "guardian" in role]
    assert {role for route in routes.listed for role in route.allow.roles} <= set(map(str, Role))


@pytest.mark.parametrize("insight", [True, False])
@pytest.mark.parametrize("age", AgeBand)
def test_exactly_one_of_two_may_declare(age: AgeBand, insight: bool) -> None:
    """R6, § 36 SGB I: at every age and with every insight either the person or the guardian, never both."""
    story = Story(age)
    may = []
    for giver in Giver:
        decided = story.try_(c.GiveConsent(
            ConsentId(new_id()), a_sheet(story.notice.id, giver=giver, insight=insight)
        ))
        if isinstance(decided, Decided):
            may.append(giver)
    assert may == [rightful(age, insight=insight)]
