"""The offers service over HTTP, on a real database: from a draft to the catalogue, and who may do what."""

from datetime import date

from contracts.new_ids import new_id
from tests.offers.conftest import Offers, token, wording


async def test_an_offer_goes_from_draft_to_catalogue_by_two_people(offers: Offers) -> None:
    offer = await offers.drafted()
    submitted = await offers.command("POST", f"/offers/{offer}/submission")
    assert submitted.json()["allowed"] == ["Reject", "Publish"]
    alone = await offers.command("POST", f"/offers/{offer}/publication")
    assert (alone.status_code, alone.json()["type"]) == (403, "/problems/offers/second-person-needed")
    published = await offers.command("POST", f"/offers/{offer}/publication", by="editor-2")
    assert published.json() == {
        "id": offer,
        "state": "published",
        "version": 3,
        "allowed": ["Suspend", "Retire"],
    }


async def test_what_the_catalogue_is_told_is_the_whole_offer_on_the_agencys_own_topic(offers: Offers) -> None:
    offer = await offers.published()
    told = await offers.rows("SELECT topic, type, convert_from(payload, 'UTF8') AS body FROM event_log ORDER BY pos")
    assert [(row.topic, row.type) for row in told] == [
        ("jobcenter.offers.events", "staffel.offer.drafted.v1"),
        ("jobcenter.offers.events", "staffel.offer.moved.v1"),
        ("musterland.jobcenter.catalogue", "staffel.offer.published.v1"),
        ("jobcenter.offers.events", "staffel.offer.moved.v1"),
    ]
    assert offer in told[2].body
    assert "Jugendwerkstatt" not in told[0].body + told[1].body + told[3].body


async def test_drafts_are_for_own_staff_only(offers: Offers) -> None:
    offer = await offers.drafted()
    assert (await offers.get("/services"))["total_items"] == 0
    assert (await offers.client.get(f"/services/{offer}")).status_code == 404
    assert (await offers.client.get("/offers")).status_code == 401
    drafts = await offers.get("/offers", by="editor-2", state="draft")
    assert [draft["id"] for draft in drafts["offers"]] == [offer]
    assert (await offers.get(f"/offers/{offer}", by="editor-2"))["content"]["name"] == "Jugendwerkstatt Holz"


async def test_a_closed_offer_is_marked_and_not_hidden_a_retired_one_is_gone(offers: Offers) -> None:
    offer = await offers.published()
    await offers.command("POST", f"/offers/{offer}/suspension")
    assert (await offers.get(f"/services/{offer}"))["status"] == "temporarily closed"
    await offers.command("POST", f"/offers/{offer}/resumption")
    assert (await offers.get(f"/services/{offer}"))["status"] == "active"
    await offers.command("POST", f"/offers/{offer}/retirement")
    assert (await offers.client.get(f"/services/{offer}")).status_code == 404


async def test_a_change_needs_the_version_that_its_author_has_seen(offers: Offers) -> None:
    offer = await offers.drafted()
    await offers.command("PUT", f"/offers/{offer}/content", wording(name="Jugendwerkstatt Metall"))
    stale = await offers.command(
        "PUT", f"/offers/{offer}/content", wording(name="Jugendwerkstatt Stein"), headers={"If-Match": '"1"'}
    )
    assert stale.status_code == 412
    assert (await offers.get(f"/offers/{offer}", by="editor-1"))["content"]["name"] == "Jugendwerkstatt Metall"


async def test_the_same_command_twice_has_one_effect_and_one_answer(offers: Offers) -> None:
    headers = {"Idempotency-Key": "one", **token("editor-1")}
    body = {"alliance": "musterland", "content": wording()}
    first, second = [await offers.client.post("/offers", json=body, headers=headers) for _ in range(2)]
    assert first.content == second.content
    assert (await offers.get("/offers", by="editor-1"))["total"] == 1


async def test_a_command_in_the_wrong_state_says_the_state_and_what_is_possible(offers: Offers) -> None:
    refused = await offers.command("POST", f"/offers/{await offers.drafted()}/retirement")
    assert refused.status_code == 409
    assert refused.json() == {
        "type": "/problems/offers/not-now",
        "title": "The offer's present state does not allow this.",
        "status": 409,
        "state": "draft",
        "allowed": ["Change", "Submit"],
    }


async def test_an_offer_that_was_never_there_is_not_found(offers: Offers) -> None:
    long_ago = "01890000-0000-7000-8000-000000000000"
    assert (await offers.command("POST", f"/offers/{long_ago}/submission")).status_code == 404


async def test_a_wording_says_nothing_unknown_nothing_unseen_and_nothing_the_catalogue_sets_itself(
    offers: Offers,
) -> None:
    for changed in (
        {"status": "active"},
        {"boss": "Zora Beispiel-Zimt"},
        {"name": "Werk\u202estatt"},
        {"contacts": [{"id": str(new_id()), "name": "Büro", "title": "Frau Beispiel-Zimt"}]},
        {"description": "ü" * 4001},
        {"service_areas": [{"id": str(new_id()), "name": "Ort", "description": "ü" * 4000}] * 7},
    ):
        body = {"alliance": "musterland", "content": {**wording(), **changed}}
        answer = await offers.command("POST", "/offers", body)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/http/invalid-input"), changed
        assert "Zimt" not in answer.text


async def test_funding_that_ended_suspends_the_offer_by_the_clock(offers: Offers) -> None:
    offer = await offers.published(jba={"funding_until": date(2199, 12, 31)})
    await offers.rows("UPDATE deadline SET due_at = now() - interval '1 second' WHERE subject = :id", id=offer)
    await offers.fire_deadlines()
    assert (await offers.get(f"/offers/{offer}", by="editor-1"))["state"] == "suspended"
    assert await offers.rows("SELECT 1 FROM deadline") == []
