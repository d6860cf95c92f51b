"""Art. 19 GDPR along a chain: whoever passed data on tells its own recipients, and answers when they have answered.

Here the employment agency's data came to the Jobcenter, which passed some of them on to the youth office.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis.transitions import Arm
from contracts.codes import (
    AgeBand,
    DataCategory,
    DutyAnswer,
    HandoverState,
    Kind,
    Purpose,
    RetentionNorm,
    Side,
    Sphere,
    Trigger,
    Urgency,
)
from contracts.consent import ConsentDataAnswered, ConsentErasureDemanded, ConsentWithdrawalNotified
from contracts.handover import HandoverChanged
from contracts.ids import CaseId, DutyId, HandoverRef, ItemId, PersonId, ReleaseId
from contracts.intake import CaseDossierStored, CaseRegistered, StoredItem
from contracts.new_ids import new_id
from services.consent.domain import LOOK_AGAIN, Reason
from services.consent.domain import commands as c
from services.consent.domain.words import Disclosed, DutySaid, DutyState, Item, PassedOn
from tests.consent.builders import AGENTUR, JUGENDAMT, MUSTER, NOW, PURPOSE, Story, a_duty_id, an_item, refused, told
from tests.consent.conftest import Consenting, opened

DUE = NOW + timedelta(days=14)


class Chain(Story):
    """Two items came from the employment agency by one release; the Jobcenter has a consent to pass them on."""

    def __init__(self) -> None:
        super().__init__()
        self.came = HandoverRef(new_id())
        self.release = ReleaseId(new_id())
        self.theirs = ItemId(new_id()), ItemId(new_id())  # the ids the two have at the employment agency
        self.items = tuple(
            an_item(received_by=self.release, source_item=theirs, category=category)
            for theirs, category in zip(self.theirs, (DataCategory.MASTER_DATA, DataCategory.SCHOOL), strict=True)
        )
        self.own = an_item()
        self.moved(HandoverState.ACTIVE)
        self.do(c.ConfirmStorage(self.came, self.release, self.theirs))
        self.consent = self.gives()

    def moved(self, state: HandoverState) -> None:
        """The handover by which they came."""
        self.do(c.NoteHandover(self.came, Side.RECEIVER, AGENTUR, MUSTER, state, None, a_duty_id()))

    def passes_on(self, *items: Item) -> HandoverRef:
        """The youth office has fetched these items."""
        handover = self.proposes(*items)
        (bases,) = {verdict.bases for verdict in self.person.transmissions[-1].verdicts}
        release = ReleaseId(new_id())
        lines = tuple(
            Disclosed(
                release, handover, MUSTER, JUGENDAMT, PURPOSE, item.id, bases, item.received_by, item.source_item
            )
            for item in items
        )
        self.person = replace(self.person, ledger=(*self.person.ledger, *lines))
        return handover

    def ends(self, *items: ItemId) -> c.OweAnswer:
        """The employment agency says that the basis has ended, of all or of these items."""
        demand = c.OweAnswer(a_duty_id(), self.came, AGENTUR, MUSTER, (self.release,), items, DUE, a_duty_id())
        self.do(demand)
        return demand

    def onward(self) -> list[tuple[str, tuple[ItemId, ...]]]:
        """State and items of what the youth office owes us."""
        return [(str(duty.state), duty.items) for duty in self.person.duties if duty.side is Side.SENDER]


def test_whoever_got_it_from_us_is_told_when_its_basis_ends_where_it_came_from() -> None:
    chain = Chain()
    handover = chain.passes_on(*chain.items, chain.own)
    demand = chain.ends()
    assert told(chain.last) == ["consent.withdrawal_notified", "transmission.reduced"]
    notified = chain.last.tells[0]
    assert notified.to == JUGENDAMT
    assert isinstance(notified.fact, ConsentWithdrawalNotified)
    assert notified.fact.handover == handover
    assert set(notified.fact.basis_ended) == {item.id for item in chain.items}
    assert chain.own.id not in notified.fact.basis_ended
    assert demand.duty not in {duty.id for duty in chain.person.duties if duty.side is Side.SENDER}


def test_the_answer_waits_for_theirs_and_says_what_they_said_but_not_who() -> None:
    chain = Chain()
    chain.passes_on(*chain.items)
    demand = chain.ends()
    chain.do(c.AnswerErased(demand.duty))
    assert told(chain.do(c.HearErased(demand.duty))) == []
    assert chain.person.duties[0].answered_at is None
    (theirs,) = [duty.id for duty in chain.person.duties if duty.side is Side.SENDER]
    further = (PassedOn(DutyAnswer.ERASED, None),)
    chain.do(c.HearAnswer(JUGENDAMT, theirs, DutyAnswer.RETAINED, RetentionNorm.SGB_X_84, further))
    (answer,) = [tell for tell in chain.last.tells if isinstance(tell.fact, ConsentDataAnswered)]
    assert answer.to == AGENTUR
    assert isinstance(answer.fact, ConsentDataAnswered)
    assert (answer.fact.answer, answer.fact.norm) == (DutyAnswer.ERASED, None)
    assert [(each.answer, each.norm) for each in answer.fact.passed_on] == [
        (DutyAnswer.RETAINED, RetentionNorm.SGB_X_84), (DutyAnswer.ERASED, None),
    ]
    assert JUGENDAMT not in answer.fact.model_dump_json()


def test_an_answer_that_a_process_of_the_version_before_has_heard_is_answered_in_turn_at_the_next_look() -> None:
    """Decision 0029: it takes the answer in and knows nobody who waits for it."""
    chain = Chain()
    chain.passes_on(*chain.items)
    demand = chain.ends()
    chain.do(c.AnswerRetained(demand.duty, RetentionNorm.GDPR_17_3_B))
    heard = tuple(
        replace(duty, state=DutyState.ANSWERED, answer=DutyAnswer.ERASED) if duty.side is Side.SENDER else duty
        for duty in chain.person.duties
    )
    chain.person = replace(chain.person, duties=heard)
    assert told(chain.do(c.LookAgain(a_duty_id()))) == ["consent.data_answered"]
    assert told(chain.do(c.LookAgain(a_duty_id()))) == []


def test_a_norm_of_ones_own_waits_for_the_others_too() -> None:
    chain = Chain()
    handover = chain.passes_on(*chain.items)
    demand = chain.ends()
    assert told(chain.do(c.AnswerRetained(demand.duty, RetentionNorm.GDPR_17_3_B))) == []
    assert refused(chain.try_(c.AnswerErased(demand.duty))) == Reason.NOT_NOW
    rejected = c.NoteHandover(
        handover, Side.SENDER, JUGENDAMT, MUSTER, HandoverState.NOT_REACHED, None, a_duty_id()
    )
    assert told(chain.do(rejected)) == ["consent.data_answered"]  # nothing is left there: nobody is waited for


def test_where_nothing_was_passed_on_nobody_is_waited_for() -> None:
    chain = Chain()
    chain.passes_on(chain.own)
    demand = chain.ends()
    assert told(chain.last) == []
    assert told(chain.do(c.HearErased(demand.duty))) == ["consent.data_answered"]


def test_of_one_item_alone_the_other_stays_and_may_still_go() -> None:
    chain = Chain()
    chain.passes_on(*chain.items)
    first, second = chain.items
    demand = chain.ends(chain.theirs[0])
    assert chain.onward() == [("awaits", (first.id,))]
    verdicts = {verdict.id: verdict for verdict in chain.person.transmissions[-1].verdicts}
    assert (verdicts[first.id].reason, verdicts[second.id].permitted) == ("consent_withdrawn", True)
    erasure = chain.do(c.AnswerErased(demand.duty)).tells[0].fact
    assert isinstance(erasure, ConsentErasureDemanded)
    assert (erasure.items, erasure.basis_ended) == ((chain.theirs[0],), (chain.theirs[0],))


@pytest.mark.parametrize("answer", ["none yet", "retained"])
def test_what_has_lost_its_basis_where_it_came_from_is_passed_on_no_more_whatever_consent_there_is(
    answer: str,
) -> None:
    """A norm by which it may be kept is none by which it may go."""
    chain = Chain()
    demand = chain.ends()
    if answer == "retained":
        chain.do(c.AnswerRetained(demand.duty, RetentionNorm.GDPR_17_3_B))
    handover = chain.proposes(*chain.items)
    assert chain.state_of(handover) == "denied"
    chain.gives()
    assert chain.state_of(handover) == "denied"


@pytest.mark.parametrize("withdrawn_before", [True, False])
def test_an_end_that_leaves_nothing_here_opens_the_door_for_nothing_that_intake_may_still_hold(
    withdrawn_before: bool,
) -> None:
    """Own intake hears of the end on its own; until it does, it still gives the items to whoever asks."""
    chain = Chain()
    if withdrawn_before:
        chain.ends()
    chain.moved(HandoverState.VOIDED)
    assert chain.state_of(chain.proposes(*chain.items)) == "denied"


def test_an_item_whose_id_at_its_sender_is_not_known_counts_as_named() -> None:
    """Of an agency or a time before ids were kept: nobody can say that it is not meant."""
    chain = Chain()
    chain.items = tuple(replace(item, source_item=None) for item in chain.items)
    chain.passes_on(*chain.items)
    chain.ends(chain.theirs[0])
    assert [state for state, _ in chain.onward()] == ["awaits"]
    assert chain.state_of(chain.proposes(*chain.items)) == "denied"


def test_who_is_told_in_turn_has_less_time_than_the_one_who_waits() -> None:
    chain = Chain()
    chain.passes_on(*chain.items)
    chain.ends()
    (theirs,) = [duty.answer_by for duty in chain.person.duties if duty.side is Side.SENDER]
    assert theirs == DUE - timedelta(days=3)


def test_nobody_is_told_twice_of_the_same_items() -> None:
    chain = Chain()
    chain.passes_on(*chain.items)
    chain.do(c.WithdrawConsent(chain.consent, a_duty_id()))
    assert len(chain.onward()) == 1
    demand = chain.ends()
    assert len(chain.onward()) == 1
    assert told(chain.do(c.HearErased(demand.duty))) == []  # but its answer is waited for


def test_whose_handover_ends_with_nothing_left_here_has_its_recipients_told_all_the_same() -> None:
    """The dossier was of a wrong person, say: it is erased here, and has to go where it was passed on to."""
    chain = Chain()
    chain.passes_on(*chain.items)
    chain.moved(HandoverState.VOIDED)
    assert told(chain.last) == ["consent.withdrawal_notified", "transmission.ended"]
    assert chain.onward() == [("awaits", ())]


def test_an_open_answer_is_reminded_of_three_days_before_and_missed_once() -> None:
    chain = Chain()
    chain.ends()
    assert Arm(LOOK_AGAIN, DUE - timedelta(days=3)) in chain.last.deadlines
    chain.now = DUE - timedelta(days=3)
    assert told(chain.do(c.LookAgain(a_duty_id()))) == ["consent.answer_due"]
    assert Arm(LOOK_AGAIN, DUE) in chain.last.deadlines
    chain.now = DUE
    assert told(chain.do(c.LookAgain(a_duty_id()))) == ["consent.answer_overdue"]
    assert told(chain.do(c.LookAgain(a_duty_id()))) == []
    assert [duty.said for duty in chain.person.duties] == [DutySaid.OVERDUE]


def test_who_waits_for_an_answer_is_told_when_it_is_late_and_not_before() -> None:
    chain = Chain()
    chain.passes_on(chain.own)
    chain.do(c.WithdrawConsent(chain.consent, a_duty_id()))
    chain.now = DUE - timedelta(microseconds=1)
    assert told(chain.do(c.LookAgain(a_duty_id()))) == []
    chain.now = DUE
    assert told(chain.do(c.LookAgain(a_duty_id()))) == ["consent.answer_overdue"]


def test_a_demand_that_came_after_its_answer_was_due_is_late_at_once() -> None:
    """Of an agency that was away for weeks."""
    chain = Chain()
    chain.now = DUE + timedelta(days=30)
    chain.ends()
    assert Arm(LOOK_AGAIN, chain.now) in chain.last.deadlines
    assert told(chain.do(c.LookAgain(a_duty_id()))) == ["consent.answer_overdue"]


# --- the running service ----------------------------------------------------------------------------------------------


async def received_and_passed_on(consenting: Consenting) -> tuple[HandoverRef, ReleaseId, HandoverRef]:
    """An item of the employment agency is here, and the youth office has fetched it from here."""
    came, release, theirs = HandoverRef(new_id()), ReleaseId(new_id()), ItemId(new_id())
    await consenting.hear("jobcenter.handover.events", moved_to(HandoverState.ACTIVE, came))
    await consenting.hear("jobcenter.intake.events", CaseDossierStored(
        case=CaseId(came), handover=came, release=release, items=(StoredItem(id=theirs, hash="0" * 64),)
    ))
    await consenting.hear("jobcenter.intake.events", CaseRegistered(
        case=CaseId(came), person=PersonId(came), sphere=Sphere.SGB_II, age_band=AgeBand.FROM_18_TO_20, handover=came
    ))
    await consenting.given(came)
    item = consenting.neighbours.put(received_by=str(release), source_item=str(theirs))
    onward = await consenting.proposed(came, [item])
    assert (await consenting.fetch(onward)).status_code == 200
    return came, release, HandoverRef(onward)


def moved_to(state: HandoverState, came: HandoverRef) -> HandoverChanged:
    """Own handover tells of the copy by which something came."""
    return HandoverChanged(
        handover=came, case=None, side=Side.RECEIVER, alliance=MUSTER, counterpart=AGENTUR, kind=Kind.TRANSFER,
        purpose=Purpose.INCOME_SUPPORT, urgency=Urgency.NORMAL, before=HandoverState.ACCEPTED, state=state,
        on=Trigger.RECORD_FIRST_CONTACT, lead=True, recorded=None, preview=None,
    )


async def test_the_sender_hears_the_caseworkers_answer_when_the_youth_office_has_answered(
    consenting: Consenting,
) -> None:
    came, release, onward = await received_and_passed_on(consenting)
    duty = a_duty_id()
    await consenting.hear("musterland.agentur.to.jobcenter.consent", ConsentWithdrawalNotified(
        handover=came, duty=duty, releases=(release,), answer_by=datetime(2036, 1, 1, tzinfo=UTC)
    ))
    (awaited,) = (await consenting.get("/duties", state="awaits"))["duties"]
    assert (awaited["handover"], awaited["counterpart"]) == (str(onward), "jugendamt")
    answered = await consenting.command(
        f"/duties/{duty}/answer", {"handover": str(came), "answer": "retained", "norm": "gdpr_17_3_b"}
    )
    assert (answered.status_code, answered.json()["state"]) == (200, "waits")
    assert "consent.data_answered" not in {said for _, said in await consenting.told()}
    await consenting.hear("musterland.jugendamt.to.jobcenter.consent", ConsentDataAnswered(
        handover=onward, duty=DutyId(UUID(awaited["id"])), answer=DutyAnswer.ERASED, norm=None
    ))
    assert (await consenting.told())[-1] == ("musterland.jobcenter.to.agentur.consent", "consent.data_answered")
    shown = {each["side"]: each for each in (await consenting.get("/duties", state="answered"))["duties"]}
    assert shown["receiver"]["passed_on"] == [{"answer": "erased", "norm": None}]
    assert await consenting.parked() == []


async def test_an_answer_about_something_else_is_none_about_what_others_are_waited_for(
    consenting: Consenting,
) -> None:
    """Each duty waits for its own: what a command does not load must not look as if there were nothing."""
    came, release, _ = await received_and_passed_on(consenting)
    second = ReleaseId(new_id())
    await consenting.hear("jobcenter.intake.events", CaseDossierStored(
        case=CaseId(came), handover=came, release=second, items=(StoredItem(id=ItemId(new_id()), hash="0" * 64),)
    ))
    first, other = a_duty_id(), a_duty_id()
    for duty, releases in ((first, (release,)), (other, (second,))):
        await consenting.hear("musterland.agentur.to.jobcenter.consent", ConsentWithdrawalNotified(
            handover=came, duty=duty, releases=releases, answer_by=datetime(2036, 1, 1, tzinfo=UTC)
        ))
    body = {"handover": str(came)}
    await consenting.command(f"/duties/{first}/answer", {**body, "answer": "retained", "norm": "gdpr_17_3_b"})
    answered = await consenting.command(f"/duties/{other}/answer", {**body, "answer": "erased"})
    assert (answered.status_code, answered.json()["state"]) == (200, "erasing")
    assert [duty["id"] for duty in (await consenting.get("/duties", state="waits"))["duties"]] == [str(first)]


async def test_what_is_in_another_persons_case_goes_on_nobodys_consent(consenting: Consenting) -> None:
    person = await consenting.a_person()
    await consenting.given(person)
    theirs = consenting.neighbours.put(person=str(new_id()))
    handover = await consenting.proposed(person, [theirs, consenting.neighbours.put(person=str(person))])
    assert (await consenting.get(f"/handovers/{handover}/transmission"))["items"][0]["reason"] == "item_gone"
    fetched = opened((await consenting.fetch(handover)).content)
    assert str(theirs) not in {item["id"] for item in fetched["items"]}


async def test_the_door_gives_out_nothing_whose_basis_has_ended_where_it_came_from(consenting: Consenting) -> None:
    came, release, onward = await received_and_passed_on(consenting)
    await consenting.hear("musterland.agentur.to.jobcenter.consent", ConsentWithdrawalNotified(
        handover=came, duty=a_duty_id(), releases=(release,), answer_by=datetime(2036, 1, 1, tzinfo=UTC)
    ))
    again = await consenting.fetch(onward)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/consent/consent-withdrawn")


async def test_who_asks_beforehand_hears_the_same_of_what_has_ended_where_it_came_from(consenting: Consenting) -> None:
    """Own intake hears of the end on its own, and may have the item a little longer."""
    came, release, _ = await received_and_passed_on(consenting)
    item = consenting.neighbours.put(received_by=str(release), source_item=str(new_id()))
    question = {
        "person": str(came), "alliance": MUSTER, "recipient": JUGENDAMT, "purpose": PURPOSE, "items": [str(item)]
    }
    assert (await consenting.command("/decisions", question)).json()["outcome"] == "permit"
    await consenting.hear("jobcenter.handover.events", moved_to(HandoverState.VOIDED, came))
    asked = (await consenting.command("/decisions", question)).json()
    assert (asked["outcome"], asked["items"][0]["reasons"]) == ("deny", ["consent_withdrawn"])


@pytest.mark.parametrize(("answer", "norm"), [("erased", "sgb_x_84"), ("retained", None)])
async def test_an_answer_names_a_norm_exactly_where_it_retains(
    consenting: Consenting, answer: str, norm: str | None
) -> None:
    body = {"handover": str(new_id()), "answer": answer, "norm": norm}
    refused_ = await consenting.command(f"/duties/{new_id()}/answer", body)
    assert refused_.status_code == 422
    assert str(body["handover"]) not in refused_.text
