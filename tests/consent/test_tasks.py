"""A task of the law stated by a caseworker: what an approved row of the matrix lets go without consent, and no more."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from chassis.transitions import Arm, Disarm, Refused
from contracts.codes import DataCategory, DecisionReason, Purpose, Sphere
from contracts.consent import TransmissionEnded
from contracts.ids import AgencyId, HandoverRef
from contracts.new_ids import new_id
from services.consent.domain import Law, Reason
from services.consent.domain.commands import LookAgain, StateTask, TakeFlags
from services.consent.domain.transmissions import TASKS_MAX
from services.consent.domain.words import Stated, TransmissionState
from tests.consent.builders import (
    ALLIANCE,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    NOW,
    TASK,
    Story,
    a_duty_id,
    a_restriction,
    an_item,
    context,
    done,
    with_row,
)
from tests.consent.conftest import Consenting, opened

WORD = "Werkstatt-4711"


async def state(consenting: Consenting, of: UUID, handover: UUID, **more: Any) -> httpx.Response:
    key = more.pop("key", None)
    said = {"person": str(of), "norm": TASK, "categories": ["contact"], "necessity": f"{WORD} geht vor.", **more}
    return await consenting.command(f"/handovers/{handover}/tasks", said, key=key)


async def test_what_a_row_covers_goes_when_its_task_is_stated_and_nothing_else_does(consenting: Consenting) -> None:
    """R4, § 69(1) Nr. 1 SGB X; § 50(1) SGB II: for the stated task, what an approved row names, and no more."""
    person = await consenting.a_person()
    contact = consenting.neighbours.put("4711", category="contact")
    school = consenting.neighbours.put(category="school")
    handover = await consenting.proposed(person, [contact, school])
    assert (await consenting.fetch(handover)).status_code == 403
    answer = await state(consenting, person, handover)
    assert (answer.status_code, answer.json()["state"]) == (201, "partly")
    seen = await consenting.get(f"/handovers/{handover}/transmission")
    assert [(item["reason"], [each["task"] for each in item["bases"]]) for item in seen["items"]] == [
        ("statutory_basis", [TASK]), ("no_basis", []),
    ]
    (task,) = seen["tasks"]
    assert (task["norm"], task["by"]) == (TASK, "person:tests")
    fetched = await consenting.fetch(handover)
    assert fetched.status_code == 200
    assert ("jobcenter.consent.events", "transmission.partly") in await consenting.told()
    (line,) = await consenting.rows("SELECT bases FROM ledger")
    assert [(each["norm"], each["task"]) for each in line.bases] == [("sgb_ii_50_1", TASK)]


async def test_why_it_is_necessary_stays_at_home(consenting: Consenting) -> None:
    person = await consenting.a_person()
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="contact")])
    await state(consenting, person, handover)
    told = await consenting.rows("SELECT headers::text || convert_from(payload, 'UTF8') AS said FROM event_log")
    assert len(told) > 0
    assert not [row for row in told if WORD in row.said]
    fetched = await consenting.fetch(handover)
    assert fetched.status_code == 200
    assert WORD not in str(opened(fetched.content))
    assert (await consenting.rows("SELECT necessity FROM statutory_basis"))[0].necessity == f"{WORD} geht vor."


async def test_a_task_that_no_approved_row_names_is_refused(consenting: Consenting) -> None:
    """R4, § 69(1) Nr. 1 SGB X: a task that no approved row names is none here."""
    person = await consenting.a_person()
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="contact")])
    for more in ({"norm": "§ 4711 SGB VIII"}, {"categories": ["contact", "needs"]}):
        answer = await state(consenting, person, handover, **more)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/consent/no-such-task")
    assert (await state(consenting, person, new_id())).status_code == 409  # not heard of yet
    assert await consenting.rows("SELECT id FROM statutory_basis") == []


async def test_what_was_stated_for_one_handover_lets_nothing_go_by_another(consenting: Consenting) -> None:
    """The necessity is that of one transmission, also where the same person goes to the same agency once more."""
    person, item = await consenting.a_person(), consenting.neighbours.put(category="contact")
    first, second = await consenting.proposed(person, [item]), await consenting.proposed(person, [item])
    await state(consenting, person, first)
    assert (await consenting.fetch(first)).status_code == 200
    assert (await consenting.fetch(second)).status_code == 403


async def test_a_task_is_taken_back_by_saying_it_again_for_less(consenting: Consenting) -> None:
    """Whoever was wrong about the necessity says so, and at once nothing goes any more; both words are kept."""
    person = await consenting.a_person()
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="contact")])
    for _ in range(2):  # a repeat under one key is said once
        assert (await state(consenting, person, handover, key="once")).json()["state"] == "permitted"
    assert (await state(consenting, person, handover, categories=[])).json()["state"] == "ended"
    assert (await consenting.fetch(handover)).status_code in {403, 409}
    seen = await consenting.get(f"/handovers/{handover}/transmission")
    assert [task["categories"] for task in seen["tasks"]] == [["contact"], []]


async def test_tasks_are_not_stated_without_end(consenting: Consenting) -> None:
    person = await consenting.a_person()
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="school")])
    await consenting.rows(
        "INSERT INTO statutory_basis (id, person, transmission, norm, necessity, not_endangering, stated_by, stated_at,"
        " categories) SELECT gen_random_uuid(), :person, id, '§ 1', '', false, '', clock_timestamp(), '{}'"
        " FROM transmission, generate_series(1, :most)",
        person=person, most=TASKS_MAX,
    )
    answer = await state(consenting, person, handover)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/consent/too-many-tasks")


async def test_a_withdrawn_consent_leaves_what_a_task_lets_go(consenting: Consenting) -> None:
    """Two bases: when one ends the other still stands, and the withdrawal is answered all the same."""
    person = await consenting.a_person()
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="contact")])
    consent = await consenting.given(person, categories=["contact"])
    await state(consenting, person, handover)
    (item,) = (await consenting.get(f"/handovers/{handover}/transmission"))["items"]
    assert [each["norm"] for each in item["bases"]] == ["consent_sgb_x_67b", "sgb_ii_50_1"]
    assert (await consenting.withdraw(person, consent)).status_code == 200
    seen = await consenting.get(f"/handovers/{handover}/transmission")
    assert (seen["state"], seen["items"][0]["reason"]) == ("permitted", "statutory_basis")
    assert (await consenting.fetch(handover)).status_code == 200


# --- the table --------------------------------------------------------------------------------------------------------


def a_law(sender: AgencyId, way: tuple[Sphere, Sphere]) -> Law:
    row: dict[str, Any] = {"sender": way[0], "receiver": way[1], "valid_until": NOW.date()}
    return Law(sender, {MUSTER: with_row(ALLIANCE, **row)})


def stating(handover: HandoverRef, *, harmless: bool = False) -> StateTask:
    stated = Stated(TASK, frozenset({DataCategory.CONTACT}), harmless, new_id(), "needed", "person:tests")
    return StateTask(handover, stated)


def proposed(story: Story, *, read: bool = True) -> HandoverRef:
    return story.proposes(an_item(DataCategory.CONTACT), read=read)


def test_stated_before_the_items_are_known_it_counts_when_they_are() -> None:
    story, law = Story(), a_law(JOBCENTER, (Sphere.SGB_II, Sphere.SGB_VIII))
    item = an_item(DataCategory.CONTACT)
    handover = story.proposes(item, read=False)
    early = done(law.decide(story.person, stating(handover), context()))
    assert early.subject.transmissions[0].state is TransmissionState.UNDECIDED
    proposal = early.subject.transmissions[0].proposal
    assert proposal is not None
    read = done(law.decide(early.subject, TakeFlags(handover, proposal, (item,)), context()))
    assert read.subject.transmissions[0].state is TransmissionState.PERMITTED
    assert read.subject.transmissions[0].stated[0].at == NOW


def test_a_youth_office_has_to_state_that_no_help_is_endangered() -> None:
    """R10, § 64(2) SGB VIII: else not even the statement is taken down, so that nobody relies on it."""
    story = Story()
    handover = proposed(story)
    law = a_law(JUGENDAMT, (Sphere.SGB_VIII, Sphere.SGB_II))
    moved = replace(story.person.transmissions[0], recipient=JOBCENTER, purpose=Purpose.STABILISATION)
    person = replace(story.person, transmissions=(moved,))
    refused = law.decide(person, stating(handover), context())
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.HELP_ENDANGERED
    after = done(law.decide(person, stating(handover, harmless=True), context())).subject
    assert after.transmissions[0].state is TransmissionState.PERMITTED
    later = done(law.decide(after, stating(handover), context())).subject  # it is endangered after all
    assert later.transmissions[0].state is TransmissionState.ENDED


@pytest.mark.parametrize("state", [TransmissionState.ENDED, TransmissionState.CLOSED])
def test_nothing_is_stated_for_what_is_over(state: TransmissionState) -> None:
    story, law = Story(), a_law(JOBCENTER, (Sphere.SGB_II, Sphere.SGB_VIII))
    handover = proposed(story)
    over = replace(story.person, transmissions=(replace(story.person.transmissions[0], state=state),))
    refused = law.decide(over, stating(handover), context())
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_NOW


def test_when_the_row_is_over_the_handover_is_told_at_that_instant() -> None:
    """Not when somebody happens to ask: the clock is set when something rests on the row."""
    story, law = Story(), a_law(JOBCENTER, (Sphere.SGB_II, Sphere.SGB_VIII))
    handover = proposed(story)
    decided = done(law.decide(story.person, stating(handover), context()))
    (clock,) = [each for each in decided.deadlines if isinstance(each, Arm)]
    assert clock.due.isoformat() == "2026-11-22T23:00:00+00:00"
    over = done(law.decide(decided.subject, LookAgain(a_duty_id()), context(clock.due)))
    assert over.subject.transmissions[0].state is TransmissionState.ENDED
    assert [type(tell.fact) for tell in over.tells] == [TransmissionEnded]
    assert [each for each in over.deadlines if isinstance(each, Disarm)]


def test_what_was_objected_to_goes_on_no_task() -> None:
    """R7, R15, § 36(2) SGB I; Art. 21 GDPR: what was forbidden goes on no task of the law."""
    story, law = Story(), a_law(JOBCENTER, (Sphere.SGB_II, Sphere.SGB_VIII))
    handover = proposed(story)
    forbidden = replace(story.person, restrictions=(a_restriction(JUGENDAMT, DataCategory.CONTACT),))
    after = done(law.decide(forbidden, stating(handover), context())).subject.transmissions[0]
    assert after.state is TransmissionState.DENIED
    assert after.verdicts[0].reason is DecisionReason.RESTRICTED
