"""A receipt says what is on record, in the forms of ISO/IEC TS 27560 and of Kantara, and names nobody."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.codes import AgeBand, ConsentState, DataCategory, Giver
from contracts.ids import ConsentId
from contracts.new_ids import new_id
from services.consent.domain import commands as c
from services.consent.domain.kantara import kantara
from services.consent.domain.receipts import Record, answered, history, ts27560
from services.consent.domain.words import Consent, InvalidReason
from tests.consent.builders import ALLIANCE, JOBCENTER, JUGENDAMT, Story, a_duty_id, a_grant, a_sheet
from tests.judges import written_here, wrong

TS27560, KANTARA = written_here("ts27560-receipt"), written_here("kantara-consent-receipt-1.1")
HOUR = timedelta(hours=1)


def consent_of(story: Story, consent: ConsentId) -> Consent:
    return next(each for each in story.person.consents if each.id == consent)


def record(story: Story, consent: ConsentId) -> Record:
    agencies = {agency.id: agency for agency in ALLIANCE.agencies}
    page = "https://consent.jobcenter.example"
    return Record(
        story.person.id, consent_of(story, consent), story.notice, agencies[JOBCENTER],
        {JUGENDAMT: agencies[JUGENDAMT]}, f"{page}/receipts", f"{page}/notices/{story.notice.id}/page",
    )


def asked(story: Story) -> ConsentId:
    """The form was handed out."""
    consent = ConsentId(new_id())
    story.do(c.RequestConsent(consent, a_sheet(story.notice.id)))
    story.now += HOUR
    return consent


def given(story: Story) -> ConsentId:
    consent = story.gives(a_grant(), a_grant(categories=frozenset({DataCategory.HEALTH})))
    story.now += HOUR
    return consent


def refused(story: Story) -> ConsentId:
    consent = asked(story)
    story.do(c.RefuseConsent(consent))
    return consent


def withdrawn(story: Story) -> ConsentId:
    consent = given(story)
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    return consent


def withdrawn_in_part(story: Story) -> ConsentId:
    consent = given(story)
    first = consent_of(story, consent).grants[0].id
    story.do(c.WithdrawGrants(consent, frozenset({first}), a_duty_id()))
    return consent


def withdrawn_bit_by_bit(story: Story) -> ConsentId:
    consent = withdrawn_in_part(story)
    story.now += HOUR
    second = consent_of(story, consent).grants[1].id
    story.do(c.WithdrawGrants(consent, frozenset({second}), a_duty_id()))
    return consent


def expired(story: Story) -> ConsentId:
    consent = given(story)
    story.now += timedelta(days=400)
    story.do(c.LookAgain(a_duty_id()))
    return consent


def replaced_and_then_withdrawn(story: Story) -> ConsentId:
    consent = given(story)
    story.do(c.GiveConsent(ConsentId(new_id()), a_sheet(story.notice.id), consent))
    story.now += HOUR
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    return consent


def invalidated(story: Story) -> ConsentId:
    consent = given(story)
    story.do(c.InvalidateConsent(consent, InvalidReason.WRONG_FORM, a_duty_id()))
    return consent


S = ConsentState
WAYS: dict[Callable[[Story], ConsentId], list[ConsentState]] = {
    given: [S.GIVEN],
    refused: [S.REQUESTED, S.REFUSED],
    withdrawn: [S.GIVEN, S.WITHDRAWN],
    withdrawn_in_part: [S.GIVEN, S.WITHDRAWN],
    withdrawn_bit_by_bit: [S.GIVEN, S.WITHDRAWN, S.WITHDRAWN],
    expired: [S.GIVEN, S.EXPIRED],
    replaced_and_then_withdrawn: [S.GIVEN, S.REPLACED, S.WITHDRAWN],
    invalidated: [S.GIVEN, S.INVALIDATED],
}
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@every_way
def test_every_way_a_consent_can_go_gives_a_receipt_of_both_forms(way: Callable[[Story], ConsentId]) -> None:
    story = Story()
    found = record(story, way(story))
    as_ts = json.loads(json.dumps(ts27560(found)))
    as_kantara = json.loads(json.dumps(kantara(found, "jobcenter.signing")))
    assert wrong(TS27560, as_ts) == []
    assert wrong(KANTARA, as_kantara) == []
    assert as_ts["consent_record"]["record_header"]["pii_principal_id"] == str(story.person.id)
    assert as_kantara["piiPrincipalId"] == str(story.person.id)
    assert as_ts["consent_record"]["pii_processing"]["privacy_notice"]["sha256"] == story.notice.sha256


@every_way
def test_a_record_tells_what_happened_in_order(way: Callable[[Story], ConsentId]) -> None:
    story = Story()
    found = record(story, way(story))
    happened = history(found.consent)
    assert [each.state for each in happened] == WAYS[way]
    assert [each.at for each in happened] == sorted(each.at for each in happened)
    told = ts27560(found)["consent_record"]["event"]
    assert [each["event_state"] for each in told] == WAYS[way]


def test_a_part_that_was_taken_back_is_told_with_its_grant_and_the_rest_with_theirs() -> None:
    story = Story()
    consent = withdrawn_bit_by_bit(story)
    first, second = consent_of(story, consent).grants
    _, earlier, later = history(consent_of(story, consent))
    assert (earlier.grants, later.grants) == ((first.id,), (second.id,))


@every_way
def test_nothing_is_said_to_be_allowed_beyond_its_end(way: Callable[[Story], ConsentId]) -> None:
    story = Story()
    consent = way(story)
    of = consent_of(story, consent)
    purposes = ts27560(record(story, consent))["consent_record"]["pii_processing"]["purposes"]
    for purpose, grant in zip(purposes, of.grants, strict=True):
        ends = [end for end in (grant.withdrawn_at, of.ended_at, grant.valid_until) if end is not None]
        assert purpose["valid_until"] == min(ends).isoformat()
        assert min(ends).isoformat() in purpose["retention_period"]


def test_of_a_form_that_nobody_has_answered_there_is_no_receipt() -> None:
    story = Story()
    consent = asked(story)
    assert not answered(consent_of(story, consent))
    story.do(c.RefuseConsent(consent))
    assert answered(consent_of(story, consent))


def test_a_refusal_grants_nothing_in_the_form_that_knows_no_refusal() -> None:
    story = Story()
    said = kantara(record(story, refused(story)), "key")
    assert (said["services"], said["sensitive"], said["spiCat"]) == ([], False, [])


def test_data_on_health_are_marked_as_special_in_both_forms() -> None:
    story = Story()
    found = record(story, given(story))
    said = kantara(found, "key")
    assert (said["sensitive"], said["spiCat"]) == (True, ["health"])
    purposes = ts27560(found)["consent_record"]["pii_processing"]["purposes"]
    marked = {pii["pii_type"]: pii["special_pii_category"] for each in purposes for pii in each["pii_information"]}
    assert marked == {"master_data": False, "school": False, "health": True}


def test_the_same_record_gives_the_same_receipt_and_another_state_another_one() -> None:
    story = Story()
    consent = given(story)
    first = ts27560(record(story, consent))
    assert ts27560(record(story, consent)) == first
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    assert ts27560(record(story, consent))["receipt_id"] != first["receipt_id"]


def test_a_guardians_consent_says_that_a_guardian_gave_it_and_names_nobody() -> None:
    story = Story(AgeBand.UNDER_15)
    consent = story.gives(giver=Giver.GUARDIAN)
    (event,) = ts27560(record(story, consent))["consent_record"]["event"]
    assert event["entity_id"] == f"guardian of {story.person.id}"


def test_what_is_known_again_after_a_restore_by_its_fact_alone_has_a_receipt_all_the_same() -> None:
    story = Story()
    consent = given(story)
    bare = replace(record(story, consent), notice=None, notice_page=None, page=None)
    grants = tuple(replace(grant, categories=frozenset()) for grant in bare.consent.grants)
    bare = replace(bare, consent=replace(bare.consent, form=None, notice=None, grants=grants), recipients={})
    assert wrong(TS27560, json.loads(json.dumps(ts27560(bare)))) == []
    assert wrong(KANTARA, json.loads(json.dumps(kantara(bare, "key")))) == []


@pytest.mark.parametrize(
    ("judge", "spoil"),
    [
        (TS27560, lambda said: said.pop("receipt_id")),
        (TS27560, lambda said: said["consent_record"]["event"].clear()),
        (TS27560, lambda said: said["consent_record"]["record_header"].update(pii_principal_id="Zora Beispiel-Zimt")),
        (KANTARA, lambda said: said.pop("policyUrl")),
        (KANTARA, lambda said: said["services"][0]["purposes"][0].pop("thirdPartyName")),
        (KANTARA, lambda said: said.update(consentTimestamp="2026-11-22")),
    ],
)
def test_the_judges_would_say_so(judge: Any, spoil: Callable[[Any], object]) -> None:
    story = Story()
    found = record(story, given(story))
    said = json.loads(json.dumps(ts27560(found) if judge is TS27560 else kantara(found, "key")))
    assert wrong(judge, said) == []
    spoil(said)
    assert wrong(judge, said)
