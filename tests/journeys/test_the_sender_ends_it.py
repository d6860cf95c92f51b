"""How a sender ends what it has begun: it withdraws, its clock strikes, it voids; and what crosses that on the way."""

from __future__ import annotations

import asyncio

import pytest

from deploy.desk import ProblemError
from tests.journeys.journey import Journey
from tests.journeys.town import Town

TO_SENDER = "musterland.jugendamt.to.jobcenter.handover"
TO_RECEIVER = "musterland.jobcenter.to.jugendamt.handover"


async def test_a_withdrawal_that_is_said_before_the_acceptance_is_heard_wins(town: Town, asked: Journey) -> None:
    async with town.held_up("jugendamt.handover", TO_SENDER, asked.handover):
        await asked.act(asked.receiver, "acceptance")
        await asked.act(asked.sender, "withdrawal")
        await asked.receiver_is("withdrawn")
    await _heard(asked, "staffel.handover.acceptance_declared.v1")

    assert (await asked.copy_of(asked.sender))["state"] == "withdrawn"
    assert (await asked.copy_of(asked.receiver))["preview"] is None
    assert await asked.leading() == ["jobcenter"]
    await asked.has_no_case_at_the_receiver()
    await asked.again()
    await asked.receiver_is("requested")


async def test_a_withdrawal_that_is_said_after_the_acceptance_was_heard_is_refused(asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.sender_is("accepted")
    with pytest.raises(ProblemError) as refused:
        await asked.act(asked.sender, "withdrawal")
    assert (refused.value.status, refused.value.reason) == (409, "not-now")
    assert refused.value.document["state"] == "accepted"
    assert "RequestCancel" in refused.value.document["allowed"]
    await asked.both_are("accepted")
    assert await asked.leading() == ["jobcenter"]


async def test_a_withdrawal_that_crosses_a_rejection_is_recorded_on_both_sides(town: Town, asked: Journey) -> None:
    async with (
        town.held_up("jugendamt.handover", TO_SENDER, asked.handover),
        town.held_up("jobcenter.handover", TO_RECEIVER, asked.handover),
    ):
        await asked.act(asked.receiver, "rejection", {"reason": "outside_area"})
        await asked.act(asked.sender, "withdrawal")
    await asked.sender_is("withdrawn", recorded="rejected", lead=True)
    await asked.receiver_is("rejected", recorded="withdrawn", lead=False, preview=None)


async def test_withdrawals_that_race_acceptances_leave_both_copies_agreed_and_one_lead(town: Town) -> None:
    races = [await town.stock.take() for _ in range(3)]
    ends = await asyncio.gather(*(_race(journey, number / 20) for number, journey in enumerate(races)))
    assert set(ends) <= {"withdrawn", "accepted"}


async def _race(journey: Journey, head_start_seconds: float) -> str:
    """Both say their word at almost the same time; whatever wins, wins on both sides."""

    async def withdraw() -> bool:
        await asyncio.sleep(head_start_seconds)
        try:
            await journey.act(journey.sender, "withdrawal")
        except ProblemError as refused:
            assert refused.reason == "not-now"  # noqa: PT017  # either may happen
            return False
        return True

    async def accept() -> bool:
        try:
            await journey.act(journey.receiver, "acceptance")
        except ProblemError as refused:
            assert refused.reason == "not-now"  # noqa: PT017  # either may happen
            return False
        return True

    withdrawn, accepted = await asyncio.gather(withdraw(), accept())
    assert withdrawn or accepted
    end = "withdrawn" if withdrawn else "accepted"
    await journey.both_are(end)
    assert await journey.leading() == ["jobcenter"]
    return end


async def test_a_request_that_nobody_answers_expires_on_both_sides(town: Town, asked: Journey) -> None:
    await town.strike("jobcenter.handover", "respond", asked.handover)
    await asked.both_are("expired")
    assert (await asked.copy_of(asked.receiver))["preview"] is None
    assert await asked.leading() == ["jobcenter"]
    with pytest.raises(ProblemError) as refused:
        await asked.act(asked.receiver, "acceptance")
    assert (refused.value.status, refused.value.document["state"]) == (409, "expired")
    await asked.again()
    await asked.receiver_is("requested")


async def test_a_deadline_that_only_reminds_calls_people_and_ends_nothing(town: Town, asked: Journey) -> None:
    await town.strike("jobcenter.handover", "remind", asked.handover)
    await asked.sender_is("requested", struck=["remind"])
    stuck = await asked.sender.get("handover", "/stuck-handovers?limit=100", roles=("coordination",))
    assert asked.handover in [line["id"] for line in stuck["handovers"]]
    await asked.act(asked.receiver, "acceptance")
    await asked.both_are("accepted")


async def test_only_a_team_lead_voids_and_what_came_is_erased(asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    wrong = {"reason": "wrong_person"}
    with pytest.raises(ProblemError) as refused:
        await asked.act(asked.sender, "void", wrong)
    assert (refused.value.status, refused.value.reason) == (403, "forbidden")

    await asked.act(asked.sender, "void", wrong, roles=("team_lead",))
    await asked.both_are("voided")
    await asked.is_erased_at_the_receiver()
    await asked.sender_is("voided", awaits_word=False, lead=True)
    assert await asked.leading() == ["jobcenter"]
    await asked.again()
    await asked.receiver_is("requested")


async def test_a_void_that_crosses_the_first_contact_leaves_the_lead_where_the_young_person_was_met(
    town: Town, asked: Journey
) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    async with (
        town.held_up("jugendamt.handover", TO_SENDER, asked.handover),
        town.held_up("jobcenter.handover", TO_RECEIVER, asked.handover),
    ):
        await asked.first_contact()
        await asked.act(asked.sender, "void", {"reason": "wrong_receiver"}, roles=("team_lead",))
    await asked.sender_is("voided", awaits_word=False, lead=False)
    await asked.receiver_is("voided", lead=True)
    items = await asked.receiver.until(
        "intake", f"/cases/{asked.handover}/items", lambda found: not found["items"]
    )
    assert items["items"] == []


async def _heard(journey: Journey, event: str) -> None:
    """Wait until the sender has heard it."""
    await journey.sender.until(
        "handover",
        f"/handovers/{journey.handover}/timeline",
        lambda found: any((entry["way"], entry["type"]) == ("heard", event) for entry in found["entries"]),
    )
