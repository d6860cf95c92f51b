"""From the first visit to the word of what became of it."""

from __future__ import annotations

import json

from tests.journeys import canary
from tests.journeys.journey import Journey
from tests.journeys.town import Town

SAID_BY_NAME = ("given_names", "family_name", "birth_date", "phone")


async def test_a_case_goes_over_and_what_became_of_it_comes_back(town: Town, asked: Journey) -> None:
    copy = await asked.receiver_is("requested")
    assert copy["preview"] == {"phase": 4, "age_band": copy["preview"]["age_band"], "needs": ["orientation"]}
    assert not canary.canaries_in(json.dumps(copy).encode())
    assert await asked.leading() == ["jobcenter"]
    await asked.has_no_case_at_the_receiver()

    await asked.act(asked.receiver, "acceptance")
    await asked.both_are("accepted")
    case = await asked.dossier_is("stored")
    assert [case["person"][name] for name in SAID_BY_NAME] == [getattr(asked, name) for name in SAID_BY_NAME]
    assert not case["leads"]
    assert await asked.leading() == ["jobcenter"]
    await _every_item_says_where_it_comes_from(asked)

    await asked.first_contact()
    await asked.sender_is("active", lead=False)
    assert await asked.leading() == ["jugendamt"]
    await asked.sender.until("intake", f"/cases/{asked.case}", lambda found: found["state"] == "handed_over")
    await asked.receiver.until("intake", f"/cases/{asked.handover}", lambda found: bool(found["leads"]))

    await asked.complete("support_started")
    await asked.sender_is("completed", outcome="support_started")
    await _the_ledger_names_the_release(asked)


async def _every_item_says_where_it_comes_from(journey: Journey) -> None:
    items = (await journey.receiver.get("intake", f"/cases/{journey.handover}/items"))["items"]
    assert {item["source_item"] for item in items} == set(journey.items)
    assert not {item["id"] for item in items} & set(journey.items)
    for item in items:
        assert item["release"]
        assert item["received_at"]
        provenance = (item["source_agency"], item["purpose"], item["bases"])
        assert provenance == ("jobcenter", journey.purpose, ["consent_sgb_x_67b"])


async def _the_ledger_names_the_release(journey: Journey) -> None:
    """The sender can say what left, to whom, on which basis; and the claim is used up once storage is confirmed."""
    await journey.sender.until(
        "consent",
        f"/handovers/{journey.handover}/transmission",
        lambda found: all(item["stored"] for item in found["items"]),
    )
    (release,) = (await journey.sender.get("consent", f"/persons/{journey.person}/releases"))["releases"]
    assert (release["recipient"], release["completeness"]) == ("jugendamt", "complete")
    assert release["closed_at"]
    assert {item["id"] for item in release["items"]} == set(journey.items)
    assert all(item["norms"] == ["consent_sgb_x_67b"] for item in release["items"])
