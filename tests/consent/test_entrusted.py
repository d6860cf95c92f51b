"""What was entrusted to a youth office may go without a word of the one who entrusted it, in the cases of § 65(1)."""

from typing import Any

import pytest

from contracts.codes import AgeBand, DataCategory, EntrustedException, Giver, LegalBasis, Purpose, Sphere
from contracts.ids import AgencyId, HandoverRef
from contracts.new_ids import new_id
from services.consent.domain import Law, Reason
from services.consent.domain.commands import LookAgain, StateTask
from services.consent.domain.words import Stated
from services.consent.settings import Settings
from tests.consent.builders import (
    ALLIANCE,
    EXCEPTION_TASK,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    TASK,
    Story,
    a_duty_id,
    an_item,
    of_two_youth_offices,
    refused,
    told,
    with_exception,
)
from tests.consent.conftest import LONG, Consenting, settings
from tests.consent.test_note import note, released
from tests.consent.test_tasks import state

BRUECKE = AgencyId("bruecke")
BETWEEN = Law(JOBCENTER, {MUSTER: of_two_youth_offices(ALLIANCE)})
CONTACT = DataCategory.CONTACT
ENTRUSTED = {"entrusted": True, "entruster": Giver.GUARDIAN}


def to_the_provider(exception: EntrustedException) -> Law:
    """The youth office of Musterland, with a row for a free provider."""
    return Law(JUGENDAMT, {MUSTER: with_exception(ALLIANCE, receiver=Sphere.DRITTE, exception=exception)})


def going(**flags: Any) -> tuple[Story, HandoverRef]:
    """Contact data are to go from one youth office to another; nothing was stated yet."""
    story = Story(law=BETWEEN)
    return story, story.proposes(an_item(CONTACT, **flags))


@pytest.mark.parametrize(
    ("exception", "law", "recipient"),
    [
        (EntrustedException.RESPONSIBILITY_CHANGED, BETWEEN, JUGENDAMT),
        (EntrustedException.RISK_ASSESSED, to_the_provider(EntrustedException.RISK_ASSESSED), BRUECKE),
        (EntrustedException.AS_UNDER_203_STGB, to_the_provider(EntrustedException.AS_UNDER_203_STGB), BRUECKE),
    ],
)
def test_entrusted_data_go_in_the_cases_of_the_law_that_both_officers_have_approved(
    exception: EntrustedException, law: Law, recipient: AgencyId
) -> None:
    """R9, § 65(1) Nr. 3 SGB VIII; § 65(1) Nr. 4 SGB VIII; § 65(1) Nr. 5 SGB VIII: that, and nothing besides.

    Stated for one handover with its categories; what nobody entrusted does not go along, nor what is a secret.
    """
    story = Story(law=law)
    items = (
        an_item(CONTACT, **ENTRUSTED), an_item(CONTACT, entrusted=True), an_item(DataCategory.NEEDS, **ENTRUSTED),
        an_item(CONTACT), an_item(CONTACT, **ENTRUSTED, professional_secret=True),
    )
    handover = story.proposes(*items, recipient=recipient)
    assert story.reasons(handover) == ["entrusted", "entrusted", "entrusted", "no_basis", "entrusted"]
    story.states_task(handover, CONTACT, harmless=True, norm=EXCEPTION_TASK)
    assert story.reasons(handover) == ["statutory_basis", "statutory_basis", "entrusted", "no_basis", "entrusted"]
    (basis,) = story.transmission(handover).verdicts[0].bases
    assert (basis.norm, basis.exception, basis.task) == (LegalBasis.SGB_VIII_65_EXCEPTION, exception, EXCEPTION_TASK)
    other = story.proposes(items[0], recipient=recipient)
    assert story.reasons(other) == ["entrusted"]


def test_the_task_of_an_ordinary_row_lets_go_what_nobody_entrusted_and_leaves_the_rest() -> None:
    """R9, § 65(1) SGB VIII: whoever states one task has not stated the other."""
    story, handover = going()
    both = story.proposes(an_item(CONTACT), an_item(CONTACT, **ENTRUSTED))
    for each in (handover, both):
        story.states_task(each, CONTACT, harmless=True, norm=TASK)
    assert (story.reasons(handover), story.reasons(both)) == (["statutory_basis"], ["statutory_basis", "entrusted"])
    story.states_task(both, CONTACT, harmless=True, norm=EXCEPTION_TASK)
    assert story.state_of(both) == "permitted"


def test_it_has_to_be_stated_that_no_help_is_endangered() -> None:
    """R10, § 64(2) SGB VIII: of every row of a youth office, the exceptions of § 65 among them."""
    story, handover = going(**ENTRUSTED)
    stated = Stated(EXCEPTION_TASK, frozenset({CONTACT}), id=new_id(), necessity="needed", by="person:tests")
    assert refused(story.try_(StateTask(handover, stated))) == Reason.HELP_ENDANGERED
    assert story.reasons(handover) == ["entrusted"]


@pytest.mark.parametrize("by", Giver)
def test_what_was_objected_to_goes_on_no_exception(by: Giver) -> None:
    """R7, R15, § 36(2) SGB I; Art. 21 GDPR; § 65(1) SGB VIII: read narrowly, also where a child may be in danger."""
    story = Story(AgeBand.FROM_15_TO_17, law=BETWEEN)
    handover = story.proposes(an_item(CONTACT, **ENTRUSTED))
    story.states_task(handover, CONTACT, harmless=True, norm=EXCEPTION_TASK)
    assert story.state_of(handover) == "permitted"
    story.restricts(CONTACT, by=by)
    assert told(story.last) == ["consent.restricted", "transmission.ended"]


def test_it_is_taken_back_by_saying_less_and_ends_with_the_row() -> None:
    """R9, § 65(1) SGB VIII: like every task; who was wrong says so, and after the row's last day nothing goes."""
    story, first = going(**ENTRUSTED)
    second = story.proposes(an_item(CONTACT, **ENTRUSTED))
    for each in (first, second):
        story.states_task(each, CONTACT, harmless=True, norm=EXCEPTION_TASK)
    story.states_task(first, norm=EXCEPTION_TASK)
    assert (story.state_of(first), story.state_of(second)) == ("ended", "permitted")
    (basis,) = story.transmission(second).verdicts[0].bases
    assert basis.until is not None
    story.now = basis.until
    story.do(LookAgain(a_duty_id()))
    assert story.state_of(second) == "ended"


def test_what_one_officer_has_not_approved_lets_nothing_go() -> None:
    """R9, Art. 4(7) GDPR; § 65(1) SGB VIII: the row of an exception needs both, like any other."""
    for by in ((), (JOBCENTER,), (JUGENDAMT,)):
        story = Story(law=Law(JOBCENTER, {MUSTER: of_two_youth_offices(ALLIANCE, by=by)}))
        handover = story.proposes(an_item(CONTACT, **ENTRUSTED))
        stated = Stated(EXCEPTION_TASK, frozenset({CONTACT}), not_endangering=True, id=new_id())
        assert refused(story.try_(StateTask(handover, stated))) == Reason.NO_SUCH_TASK


# --- through the door -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The service is that of a youth office."""
    return settings(tmp_path_factory.mktemp("entrusted"), of_two_youth_offices(ALLIANCE, **LONG))


async def test_what_goes_by_an_exception_says_so_wherever_it_is_read(consenting: Consenting) -> None:
    """R9, § 65(1) Nr. 3 SGB VIII: the question before, the decision, the ledger and the note for the file."""
    person = await consenting.a_person()
    item = consenting.neighbours.put(category="contact", entrusted=True, entruster="guardian")
    handover = await consenting.proposed(person, [item])
    assert (await consenting.fetch(handover)).status_code == 403
    asked = {
        "person": str(person), "alliance": "musterland", "recipient": "jugendamt", "items": [str(item)],
        "purpose": Purpose.YOUTH_WELFARE_SUPPORT,
    }
    as_stated = {"norm": EXCEPTION_TASK, "categories": ["contact"], "not_endangering": True}
    for stated, outcome in (([], "deny"), ([as_stated | {"norm": TASK}], "deny"), ([as_stated], "permit")):
        answer = (await consenting.command("/decisions", asked | {"stated": stated})).json()
        assert answer["outcome"] == outcome
    assert answer["items"][0]["bases"][0]["exception"] == "nr_3"

    answered = await state(consenting, person, handover, **as_stated)
    assert (answered.status_code, answered.json()["state"]) == (201, "permitted")
    (seen,) = (await consenting.get(f"/handovers/{handover}/transmission"))["items"]
    assert [(each["norm"], each["exception"]) for each in seen["bases"]] == [("sgb_viii_65_exception", "nr_3")]
    release = await released(consenting, handover)
    (line,) = await consenting.rows("SELECT bases FROM ledger")
    assert line.bases[0]["exception"] == "nr_3"
    on_file = await note(consenting, release)
    assert "Ausnahme nach § 65 SGB VIII: Zuständigkeit gewechselt" in on_file
    assert f"(§ 65 Abs. 1 Nr. 3 SGB VIII), für die Aufgabe nach {EXCEPTION_TASK}" in on_file
    assert (await state(consenting, person, handover, **as_stated | {"categories": []})).json()["state"] == "ended"
    assert (await consenting.fetch(handover)).status_code in {403, 409}
