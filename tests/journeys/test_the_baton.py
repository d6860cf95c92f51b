"""One baton per case: at most one open handover can move the lead, and the lead comes back only by a new one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from deploy.desk import ProblemError
from tests.journeys.journey import Journey
from tests.journeys.town import RECEIVER, SENDER, Town


async def test_of_two_proposals_of_one_case_at_once_exactly_one_wins(begun: Journey) -> None:
    await begun.register()
    await begun.assign()
    await begun.activate()
    await begun.consent_to()
    rival = replace(begun)
    await asyncio.gather(begun.draft(), rival.draft())
    assert begun.handover != rival.handover

    said = await asyncio.gather(begun.propose(), rival.propose(), return_exceptions=True)
    refused = [answer for answer in said if isinstance(answer, ProblemError)]
    assert [(each.status, each.reason) for each in refused] == [(409, "case-reserved")]
    won, lost = (rival, begun) if said[0] is refused[0] else (begun, rival)
    await won.receiver_is("requested")
    await lost.sender_is("draft")

    await won.act(won.receiver, "rejection", {"reason": "no_capacity"})
    await won.sender_is("rejected")
    await lost.propose()  # free again: now the other one may ask
    await lost.receiver_is("requested")


async def test_an_agency_that_has_given_the_lead_away_cannot_hand_the_case_over_again(asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.receiver_is("accepted")
    await asked.first_contact()
    await asked.sender_is("active", lead=False)
    await asked.sender.until("intake", f"/cases/{asked.case}", lambda found: found["state"] == "handed_over")
    second = replace(asked)
    with pytest.raises(ProblemError) as refused:
        await second.again()
    assert refused.value.status == 409
    assert refused.value.reason in {"case-not-active", "case-reserved"}


async def test_an_agency_that_leads_hands_the_case_back_by_a_new_handover(town: Town, asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    await asked.first_contact()
    await asked.sender_is("active", lead=False)
    await asked.complete()
    await asked.sender_is("completed")

    back = await _its_own_case_at_the_receiver(town, asked)
    await back.consent_to()
    await back.draft()
    await back.propose()
    await back.receiver_is("requested")
    assert await back.leading() == [RECEIVER]
    await back.act(back.receiver, "acceptance")
    case = await back.dossier_is("stored")
    assert case["id"] == back.handover != asked.case  # an own case, with a number of its own: nothing is joined
    assert case["person"]["family_name"] == asked.family_name
    await back.first_contact()
    await back.sender_is("active", lead=False)
    assert await back.leading() == [SENDER]
    assert (await asked.copy_of(asked.receiver))["state"] == "completed"


async def _its_own_case_at_the_receiver(town: Town, asked: Journey) -> Journey:
    """The receiver works on the case it got, as on any other: now it may be the sender of it."""
    back = town.journey(RECEIVER, SENDER)
    back.purpose = "stabilisation"
    back.case = asked.handover
    await back.assign()
    await back.activate()
    back.person = (await back.sender.get("intake", f"/cases/{back.case}"))["person_id"]
    items = (await back.sender.get("intake", f"/cases/{back.case}/items"))["items"]
    back.items = [item["id"] for item in items]
    return back
