"""What a receiver may say to a request beside yes: no, a question, not now, rather ask them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.journeys.journey import Journey
from tests.journeys.town import Town


async def test_a_rejection_leaves_nothing_at_the_receiver_and_the_case_free_to_be_asked_again(asked: Journey) -> None:
    await asked.act(asked.receiver, "rejection", {"reason": "no_capacity"})
    await asked.sender_is("rejected", reason="no_capacity", lead=True)
    assert (await asked.receiver_is("rejected"))["preview"] is None
    await asked.has_no_case_at_the_receiver()

    first = asked.handover
    await asked.again()
    await asked.receiver_is("requested")
    assert asked.handover != first


async def test_a_question_is_answered_and_then_the_case_is_accepted(asked: Journey) -> None:
    await asked.act(asked.receiver, "inquiry", {"categories": ["school"]})
    await asked.sender_is("inquiry", asked=["school"])
    await asked.act(asked.sender, "answer")
    await asked.receiver_is("requested")

    await asked.act(asked.receiver, "acceptance")
    await asked.both_are("accepted")


async def test_a_case_from_the_waiting_list_is_accepted_after_all(asked: Journey) -> None:
    review_on = (datetime.now(UTC).date() + timedelta(days=14)).isoformat()
    await asked.act(asked.receiver, "waiting-list", {"review_on": review_on})
    await asked.sender_is("waitlisted", review_on=review_on, lead=True)

    await asked.act(asked.receiver, "acceptance")
    await asked.both_are("accepted")
    await asked.dossier_is("stored")


async def test_a_redirect_ends_here_and_needs_a_legal_basis_of_its_own_elsewhere(town: Town, asked: Journey) -> None:
    await asked.act(asked.receiver, "redirect", {"to": "agentur"})
    await asked.sender_is("redirecting", redirect_to="agentur")
    await asked.act(asked.sender, "redirect-confirmation")
    await asked.both_are("redirected")
    assert (await asked.copy_of(asked.receiver))["preview"] is None
    await asked.has_no_case_at_the_receiver()

    elsewhere = {
        "case": asked.case, "alliance": "musterland", "recipient": "agentur", "purpose": "vocational_orientation",
        "competence_area": "training_support", "items": asked.items,
    }  # fmt: skip
    asked.handover = (await asked.sender.post("handover", "/handovers", elsewhere))["id"]
    await asked.propose()
    found = await asked.sender_is("awaiting_basis", lead=True)
    assert {item["verdict"] for item in found["items"]} == {"deny"}
