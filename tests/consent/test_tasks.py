"""A task of the law stated by a caseworker: what an approved row of the matrix lets go without consent, and no more."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from chassis.transitions import Refused
from contracts.codes import DataCategory, DecisionReason, Sphere
from contracts.ids import AgencyId, HandoverRef
from contracts.new_ids import new_id
from services.consent.domain import Law, Reason
from services.consent.domain.commands import StateTask, TakeFlags
from services.consent.domain.words import Restriction, Stated, TransmissionState
from tests.consent.builders import (
    ALLIANCE,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    NOW,
    TASK,
    Story,
    an_item,
    context,
    done,
    with_row,
)
from tests.consent.conftest import Consenting


async def state(consenting: Consenting, of: UUID, handover: UUID, **more: Any) -> httpx.Response:
    said = {"person": str(of), "norm": TASK, "necessity": "Zora Beispiel-Zimt will eine Werkstatt sehen.", **more}
    return await consenting.command(f"/handovers/{handover}/tasks", said)


async def test_what_a_row_covers_goes_when_its_task_is_stated_and_nothing_else_does(consenting: Consenting) -> None:
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
    told = await consenting.rows("SELECT payload FROM event_log")
    assert told
    assert not any(b"Werkstatt" in row.payload for row in told)
    assert b"Werkstatt" not in (await consenting.fetch(handover)).content


async def test_a_task_that_no_approved_row_names_is_refused(consenting: Consenting) -> None:
    person = await consenting.a_person()
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="contact")])
    answer = await state(consenting, person, handover, norm="§ 4711 SGB VIII")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/consent/no-such-task")
    assert (await state(consenting, person, new_id())).status_code == 409  # not heard of yet
    assert await consenting.rows("SELECT id FROM statutory_basis") == []


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
    row = {"sender": way[0], "receiver": way[1], "valid_until": NOW.date()}
    return Law(sender, {MUSTER: with_row(ALLIANCE, **row)})


def stating(handover: HandoverRef, *, harmless: bool = False) -> StateTask:
    return StateTask(handover, Stated(TASK, harmless, new_id(), "needed", "person:tests"))


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
    """§ 64(2) SGB VIII: else not even the statement is taken down, so that nobody relies on it."""
    story = Story()
    handover = proposed(story)
    law = a_law(JUGENDAMT, (Sphere.SGB_VIII, Sphere.SGB_II))
    moved = replace(story.person.transmissions[0], recipient=JOBCENTER)
    person = replace(story.person, transmissions=(moved,))
    refused = law.decide(person, stating(handover), context())
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.HELP_ENDANGERED
    assert done(law.decide(person, stating(handover, harmless=True), context())).subject.transmissions[0].stated


@pytest.mark.parametrize("state", [TransmissionState.ENDED, TransmissionState.CLOSED])
def test_nothing_is_stated_for_what_is_over(state: TransmissionState) -> None:
    story, law = Story(), a_law(JOBCENTER, (Sphere.SGB_II, Sphere.SGB_VIII))
    handover = proposed(story)
    over = replace(story.person, transmissions=(replace(story.person.transmissions[0], state=state),))
    refused = law.decide(over, stating(handover), context())
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_NOW


def test_what_was_objected_to_goes_on_no_task() -> None:
    story, law = Story(), a_law(JOBCENTER, (Sphere.SGB_II, Sphere.SGB_VIII))
    handover = proposed(story)
    forbidden = replace(story.person, restrictions=(Restriction(JUGENDAMT, frozenset({DataCategory.CONTACT})),))
    after = done(law.decide(forbidden, stating(handover), context())).subject.transmissions[0]
    assert after.state is TransmissionState.DENIED
    assert after.verdicts[0].reason is DecisionReason.RESTRICTED
