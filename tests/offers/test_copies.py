"""Other agencies' catalogues: copied whole, the latest counts, read only."""

from uuid import UUID

from contracts.codes import OfferStatus
from contracts.new_ids import new_id
from contracts.offers import OfferPublished, OfferRetired, OfferSuspended
from tests.offers.builders import content
from tests.offers.conftest import Offers, wording

AGENTUR, BRUECKE = "musterland.agentur.catalogue", "musterland.bruecke.catalogue"


async def test_another_agencys_offer_is_found_like_our_own(offers: Offers) -> None:
    own, foreign = await offers.published(), content(status=OfferStatus.ACTIVE, name="Berufsberatung")
    await offers.hear(AGENTUR, OfferPublished(offer=foreign), 1)
    found = await offers.get("/services")
    assert {service["id"] for service in found["contents"]} == {own, str(foreign.id)}
    assert [offer["id"] for offer in (await offers.get("/offers", by="editor-1"))["offers"]] == [own]


async def test_the_higher_number_wins_and_a_gap_is_normal_on_a_compacted_topic(offers: Offers) -> None:
    id = new_id()
    await offers.hear(AGENTUR, OfferPublished(offer=content(id, status=OfferStatus.ACTIVE, name="neu")), 7)
    await offers.hear(AGENTUR, OfferPublished(offer=content(id, status=OfferStatus.ACTIVE, name="alt")), 3)
    assert (await offers.get(f"/services/{id}"))["name"] == "neu"
    await offers.hear(AGENTUR, OfferSuspended(offer=content(id, status=OfferStatus.TEMPORARILY_CLOSED)), 9)
    assert (await offers.get(f"/services/{id}"))["status"] == "temporarily closed"
    await offers.hear(AGENTUR, OfferRetired(offer=content(id, status=OfferStatus.DEFUNCT)), 10)
    assert (await offers.client.get(f"/services/{id}")).status_code == 404


async def test_a_copy_cannot_be_changed_here(offers: Offers) -> None:
    foreign = content(status=OfferStatus.ACTIVE)
    await offers.hear(AGENTUR, OfferPublished(offer=foreign), 1)
    for method, command, body in (("PUT", "content", wording()), ("POST", "suspension", None)):
        refused = await offers.command(method, f"/offers/{foreign.id}/{command}", body)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/offers/copy-is-read-only")


async def test_what_an_agency_says_about_anothers_offer_is_parked_and_changes_nothing(offers: Offers) -> None:
    own, foreign = await offers.published(), content(status=OfferStatus.ACTIVE)
    await offers.hear(AGENTUR, OfferPublished(offer=foreign), 1)
    for topic, taken in ((BRUECKE, foreign.id), (AGENTUR, UUID(own))):
        stolen = content(taken, status=OfferStatus.ACTIVE, name="gestohlen")
        await offers.hear(topic, OfferPublished(offer=stolen), 1)
    assert {one["name"] for one in (await offers.get("/services"))["contents"]} == {"Jugendwerkstatt Holz"}
    parked = await offers.rows("SELECT topic, reason FROM parked ORDER BY topic")
    assert [tuple(row) for row in parked] == [(AGENTUR, "not-now"), (BRUECKE, "not-from-its-owner")]


async def test_the_own_catalogue_is_not_among_what_is_heard(offers: Offers) -> None:
    assert "musterland.jobcenter.catalogue" not in offers.service.sources
    assert {AGENTUR, BRUECKE} <= offers.service.sources.keys()
