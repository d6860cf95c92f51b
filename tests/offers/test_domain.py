"""The law of an offer: who may move it, on what conditions, who is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.transitions import Arm, Decided, Disarm, Refused
from contracts import offers as told
from contracts.codes import OfferState, OfferStatus, Payer
from contracts.ids import AgencyId, AllianceId, OfferId
from contracts.new_ids import new_id
from services.offers import domain
from services.offers.domain import (
    Change,
    Copy,
    Draft,
    EndFunding,
    Offer,
    Publish,
    Reason,
    Reject,
    Resume,
    Retire,
    State,
    Submit,
    Suspend,
    decide,
)
from tests.offers.builders import AUTHOR, MUSTERLAND, NOW, REVIEWER, a_blank, a_copy, an_offer, at, content


def yes(offer: Offer, command: object, now: datetime = NOW) -> Decided[Offer]:
    decided = decide(offer, command, at(now))
    assert isinstance(decided, Decided), decided
    return decided


def no(offer: Offer, command: object, now: datetime = NOW) -> Refused:
    refused = decide(offer, command, at(now))
    assert isinstance(refused, Refused), refused
    return refused


def test_an_offer_begins_as_a_draft_and_only_its_id_is_told() -> None:
    blank = a_blank()
    decided = yes(blank, Draft(AUTHOR, MUSTERLAND, content(blank.id)))
    assert decided.subject.state is State.DRAFT
    assert [tell.fact for tell in decided.tells] == [told.OfferDrafted(offer=OfferId(blank.id), alliance=MUSTERLAND)]


def test_an_offer_is_drafted_only_for_an_alliance_the_agency_belongs_to() -> None:
    elsewhere = Draft(AUTHOR, AllianceId("elsewhere"), content())
    assert no(a_blank(), elsewhere).reason is Reason.NOT_OUR_ALLIANCE


def test_a_change_replaces_the_wording_and_makes_its_author_a_hand() -> None:
    decided = yes(an_offer(), Change("editor-3", content(name="Jugendwerkstatt Metall")))
    assert decided.subject.content.name == "Jugendwerkstatt Metall"
    assert decided.subject.hands == (AUTHOR, "editor-3")
    assert not decided.tells


def test_publishing_tells_the_whole_offer_to_the_alliance_and_the_move_at_home() -> None:
    decided = yes(an_offer(State.IN_REVIEW), Publish(REVIEWER), NOW + timedelta(hours=1))
    to_all, at_home = decided.tells
    assert to_all.scope == MUSTERLAND
    assert to_all.fact == told.OfferPublished(offer=decided.subject.content)
    assert decided.subject.content.status is OfferStatus.ACTIVE
    assert decided.subject.content.last_modified == NOW + timedelta(hours=1)
    assert at_home.fact == told.OfferMoved(
        offer=OfferId(decided.subject.id), before=OfferState.IN_REVIEW, state=OfferState.PUBLISHED
    )


@pytest.mark.parametrize("hand", [AUTHOR, "submitter"])
def test_nobody_publishes_what_they_wrote_or_submitted(hand: str) -> None:
    offer = yes(an_offer(), Submit("submitter")).subject
    assert no(offer, Publish(hand)).reason is Reason.SECOND_PERSON_NEEDED


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ({"jba": {"legal_basis": ()}}, Reason.NO_LEGAL_BASIS),
        ({"jba": {"payer": Payer.UNCLEAR}}, Reason.PAYER_UNCLEAR),
        ({"jba": {"phases": ()}}, Reason.NO_PHASE),
        ({"jba": {"quality_owner": None}}, Reason.NO_QUALITY_OWNER),
        ({"jba": {"funding_until": (NOW - timedelta(days=1)).date()}}, Reason.FUNDING_ENDED),
        ({"contacts": ()}, Reason.NO_CONTACT),
        ({"contacts": (told.OfficeContact(id=new_id(), name="Anmeldung"),)}, Reason.NO_CONTACT),
        ({"assured_date": None}, Reason.ASSURANCE_TOO_OLD),
        ({"assured_date": (NOW - timedelta(days=181)).date()}, Reason.ASSURANCE_TOO_OLD),
        ({"assured_date": (NOW + timedelta(days=1)).date()}, Reason.ASSURANCE_TOO_OLD),
    ],
)
@pytest.mark.parametrize(("state", "command"), [(State.IN_REVIEW, Publish(REVIEWER)), (State.SUSPENDED, Resume())])
def test_what_is_not_fit_to_show_is_not_shown(
    state: State, command: object, missing: dict[str, Any], reason: Reason
) -> None:
    assert no(an_offer(state, **missing), command).reason is reason


@pytest.mark.parametrize(
    "enough",
    [
        {"jba": {"legal_basis": (), "programme": "RÜMSA"}},
        {"assured_date": (NOW - timedelta(days=180)).date()},
        {"jba": {"funding_until": NOW.date()}},
    ],
)
def test_a_programme_an_assurance_of_180_days_and_the_last_day_of_funding_are_enough(enough: dict[str, Any]) -> None:
    assert yes(an_offer(State.IN_REVIEW, **enough), Publish(REVIEWER)).subject.state is State.PUBLISHED


def test_a_rejected_offer_is_a_draft_again_and_its_reviewer_may_still_publish_it() -> None:
    draft = yes(an_offer(State.IN_REVIEW), Reject()).subject
    again = yes(draft, Submit(AUTHOR)).subject
    assert yes(again, Publish(REVIEWER)).subject.state is State.PUBLISHED


def test_the_clock_watches_the_last_day_of_funding_to_its_end() -> None:
    offer = an_offer(State.IN_REVIEW, jba={"funding_until": datetime(2026, 12, 31, tzinfo=UTC).date()})
    decided = yes(offer, Publish(REVIEWER))
    assert decided.deadlines == (Arm(domain.FUNDING, datetime(2026, 12, 31, 23, tzinfo=UTC)),)  # midnight in Germany


@pytest.mark.parametrize("command", [Suspend(), EndFunding()])
def test_a_suspended_offer_is_told_as_temporarily_closed_and_no_longer_watched(command: object) -> None:
    decided = yes(an_offer(State.PUBLISHED), command)
    assert decided.tells[0].fact == told.OfferSuspended(offer=decided.subject.content)
    assert decided.subject.content.status is OfferStatus.TEMPORARILY_CLOSED
    assert decided.deadlines == (Disarm(domain.FUNDING),)


@pytest.mark.parametrize("state", [State.PUBLISHED, State.SUSPENDED])
def test_a_retired_offer_is_told_as_defunct_and_stays_so(state: State) -> None:
    decided = yes(an_offer(state), Retire())
    assert decided.tells[0].fact == told.OfferRetired(offer=decided.subject.content)
    assert decided.subject.content.status is OfferStatus.DEFUNCT
    assert no(decided.subject, Resume()).allowed == ()


def test_a_copy_is_what_its_owner_said_last() -> None:
    blank = a_blank()
    first = yes(blank, Copy(AgencyId("agentur"), MUSTERLAND, content(blank.id))).subject
    later = content(blank.id, status=OfferStatus.TEMPORARILY_CLOSED)
    decided = yes(first, Copy(AgencyId("agentur"), MUSTERLAND, later))
    assert decided.subject.content == later
    assert not decided.tells


@pytest.mark.parametrize("command", [Change(AUTHOR, content()), Publish(REVIEWER), Suspend(), Retire()])
def test_a_copy_is_read_only(command: object) -> None:
    assert no(a_copy(), command).reason is Reason.COPY_IS_READ_ONLY


def test_an_agency_cannot_tell_about_another_agencys_offer() -> None:
    taken = Copy(AgencyId("bruecke"), MUSTERLAND, content())
    assert no(a_copy("agentur"), taken).reason is Reason.NOT_FROM_ITS_OWNER
    assert no(an_offer(State.PUBLISHED), taken).reason is Reason.NOT_NOW


def test_a_command_on_an_unknown_offer_names_the_id_it_does_not_know() -> None:
    blank = a_blank()
    refused = no(blank, Submit(AUTHOR))
    assert (refused.reason, refused.unknown) == (Reason.UNKNOWN_OFFER, blank.id)


def test_every_state_told_at_home_is_a_state_of_the_contract() -> None:
    assert {str(state) for state in OfferState} == {str(state) for state in State} - {"none", "copied"}
