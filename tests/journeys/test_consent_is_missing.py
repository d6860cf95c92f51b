"""What is proposed without a basis waits: for consent, or for a smaller package. Nobody is asked meanwhile."""

from __future__ import annotations

import pytest

from deploy.desk import ProblemError
from tests.journeys.journey import Journey


@pytest.fixture
async def active(begun: Journey) -> Journey:
    """A case that can be handed over, without any consent."""
    await begun.register()
    await begun.assign()
    await begun.activate()
    return begun


async def test_a_consent_that_is_refused_leaves_the_handover_waiting_for_a_basis(active: Journey) -> None:
    grant = {
        "alliance": "musterland", "recipient": "jugendamt", "purpose": active.purpose, "categories": ["school"],
    }  # fmt: skip
    form = {
        "person": active.person, "giver": "self", "insight": True, "young_person_heard": True, "form": "written",
        "notice": await active.publish_notice(),
        "grants": [grant],
    }  # fmt: skip
    await active.sender.post("consent", "/consents/requests", form)
    listed = await active.sender.get("consent", f"/persons/{active.person}/consents")
    consent = listed["consents"][-1]["id"]
    await active.sender.post("consent", f"/consents/{consent}/refusal", {"person": active.person})

    await active.draft()
    await active.propose()
    found = await active.sender_is("awaiting_basis", lead=True)
    assert {item["verdict"] for item in found["items"]} == {"deny"}
    await _was_never_asked(active)

    await active.act(active.sender, "discard")
    await active.sender_is("withdrawn")
    await _was_never_asked(active)


async def test_a_consent_to_some_of_it_sends_a_package_that_was_cut_to_that(active: Journey) -> None:
    await active.consent_to(["master_data", "contact", "school"])
    await active.draft()
    await active.propose()
    found = await active.sender_is("awaiting_basis")
    permitted = [item["id"] for item in found["items"] if item["verdict"] == "permit"]
    assert 0 < len(permitted) < len(active.items)
    await _was_never_asked(active)

    await active.act(active.sender, "package-cut", {"keep": permitted})
    await active.receiver_is("requested")
    await active.act(active.receiver, "acceptance")
    case = await active.dossier_is("stored")
    assert case["person"]["family_name"] == active.family_name
    items = (await active.receiver.get("intake", f"/cases/{active.handover}/items"))["items"]
    assert {item["source_item"] for item in items} == set(permitted)
    assert "needs" not in {item["category"] for item in items}


async def test_a_handover_that_waits_for_a_basis_is_asked_as_soon_as_consent_is_given(active: Journey) -> None:
    await active.draft()
    await active.propose()
    await active.sender_is("awaiting_basis")
    await active.consent_to()
    await active.receiver_is("requested")


async def _was_never_asked(journey: Journey) -> None:
    with pytest.raises(ProblemError) as refused:
        await journey.copy_of(journey.receiver)
    assert refused.value.status == 404
