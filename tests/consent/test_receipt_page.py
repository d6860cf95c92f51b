"""What the page behind a code says of a consent, however it stands; and that it takes back what staff could."""

from collections.abc import Awaitable, Callable
from html import unescape
from uuid import UUID

import pytest

from contracts.codes import ConsentState, Role
from services.consent.api.receipts.texts import DE
from services.consent.domain.receipts import Stands
from services.consent.store.receipts import SENT_MAX
from tests.consent.builders import PURPOSE
from tests.consent.conftest import DECLARED, Consenting
from tests.consent.test_receipts import code_of, seen, sent, two_grants

RECIPIENT = "Jugendamt Landkreis Musterland"
PAST = "clock_timestamp() - interval '1 second'"


async def used(consenting: Consenting) -> tuple[UUID, str]:
    """Somebody's consent, on which something has left."""
    person = await consenting.a_person()
    consent = await consenting.given(person)
    handover = await consenting.proposed(person, [consenting.neighbours.put()])
    assert (await consenting.fetch(handover)).status_code == 200
    return person, consent


async def over(consenting: Consenting, person: UUID, consent: str) -> None:
    """Its time is over, and nobody has looked at the clock since."""
    await consenting.rows(f"UPDATE consent_grant SET valid_until = {PAST}")  # noqa: S608  # ours


async def expired(consenting: Consenting, person: UUID, consent: str) -> None:
    await consenting.rows("UPDATE consent_grant SET valid_until = clock_timestamp()")
    await consenting.rows("UPDATE deadline SET due_at = clock_timestamp()")
    await consenting.fire_deadlines()
    assert (await consenting.get(f"/consents/{consent}"))["state"] == "expired"


async def replaced(consenting: Consenting, person: UUID, consent: str) -> None:
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    body = {"person": str(person), **DECLARED, "notice": await consenting.a_notice(), "grants": [grant]}
    assert (await consenting.command("/consents", {**body, "replaces": consent})).status_code == 201
    assert (await consenting.get(f"/consents/{consent}"))["state"] == "replaced"


async def withdrawn(consenting: Consenting, person: UUID, consent: str) -> None:
    assert (await consenting.withdraw(person, consent)).status_code == 200


async def one_by_one(consenting: Consenting, person: UUID, consent: str) -> None:
    for grant in (await consenting.get(f"/consents/{consent}"))["grants"]:
        assert (await consenting.withdraw(person, consent, grants=[grant["id"]])).status_code == 200


async def invalidated(consenting: Consenting, person: UUID, consent: str) -> None:
    body = {"person": str(person), "reason": "wrong_form"}
    answer = await consenting.command(f"/consents/{consent}/invalidation", body, role=Role.DATA_PROTECTION_OFFICER)
    assert answer.status_code == 200, answer.text


Ends = Callable[[Consenting, UUID, str], Awaitable[None]]


# --- however it stands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "stands"),
    [
        (over, Stands.OVER), (expired, ConsentState.EXPIRED), (replaced, ConsentState.REPLACED),
        (withdrawn, ConsentState.WITHDRAWN), (one_by_one, ConsentState.WITHDRAWN),
        (invalidated, ConsentState.INVALIDATED),
    ],
)  # fmt: skip
async def test_of_what_stands_no_more_the_page_says_which_way_it_ended(
    consenting: Consenting, ends: Ends, stands: ConsentState | Stands
) -> None:
    person, consent = await used(consenting)
    code = await code_of(consenting, consent)
    before = await page(consenting, code)
    assert said(ConsentState.GIVEN) in before
    assert DE.nothing_stands not in before
    await ends(consenting, person, consent)
    after = await page(consenting, code)
    assert [each for each in DE.said if said(each) in after] == [stands]
    assert DE.nothing_stands in after
    assert "darf anderen etwas" not in after


async def test_what_begins_later_is_not_said_to_be_so_already(consenting: Consenting) -> None:
    consent = await consenting.given(
        await consenting.a_person(), valid_from="2090-05-04T10:00:00Z", valid_until="2090-08-04T10:00:00Z"
    )
    found = await page(consenting, await code_of(consenting, consent))
    assert [each for each in DE.said if said(each) in found] == [Stands.LATER]
    assert "von 4. Mai 2090, 12:00 Uhr bis 4. August 2090, 12:00 Uhr" in found
    assert DE.take_back_all in found


async def test_who_has_said_no_is_not_told_that_anything_was_ever_allowed(consenting: Consenting) -> None:
    person = await consenting.a_person()
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    sheet = {"person": str(person), **DECLARED, "notice": await consenting.a_notice(), "grants": [grant]}
    refused, taken_back = [(await consenting.command("/consents/requests", sheet)).json()["id"] for _ in range(2)]
    await consenting.command(f"/consents/{refused}/refusal", {"person": str(person)})
    await withdrawn(consenting, person, taken_back)
    for consent, stands in ((refused, ConsentState.REFUSED), (taken_back, Stands.ONLY_ASKED)):
        found = await page(consenting, await code_of(consenting, consent))
        assert [each for each in DE.said if said(each) in found] == [stands]
        assert DE.nothing_stands not in found
        assert DE.take_back_all not in found


async def page(consenting: Consenting, code: str) -> str:
    answer = await seen(consenting, code)
    assert answer.status_code == 200, answer.text
    return unescape(answer.text)


def said(stands: ConsentState | Stands) -> str:
    """What the page says then, without the day."""
    return DE.said[stands].format(agency="Jobcenter Musterland", at="|").partition("(")[0]


# --- taken back although it is over -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [over, expired, replaced])
async def test_what_was_received_by_a_consent_that_is_over_is_asked_back_with_the_code(
    consenting: Consenting, ends: Ends
) -> None:
    """Art. 7(3) GDPR: to withdraw is as easy as to give; staff could do it, so the person can."""
    person, consent = await used(consenting)
    code = await code_of(consenting, consent)
    await ends(consenting, person, consent)
    offered = await page(consenting, code)
    assert DE.still_there in offered
    assert DE.take_back_all in offered
    assert DE.sure_over in unescape((await sent(consenting, "/receipts/withdrawal", code=code)).text)
    for done in (DE.done_over, DE.done.partition("{")[0]):
        answer = await sent(consenting, "/receipts/withdrawal", code=code, sure="yes")
        assert done in unescape(answer.text)
        assert f"{RECIPIENT} muss bis " in unescape(answer.text)
        assert DE.take_back_all not in unescape(answer.text)
    assert [duty["counterpart"] for duty in (await consenting.get("/duties"))["duties"]] == ["jugendamt"]


async def test_one_grant_that_is_over_is_taken_back_beside_another_that_stands(consenting: Consenting) -> None:
    person = await consenting.a_person()
    consent = await two_grants(consenting, person)
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="school")])
    assert (await consenting.fetch(handover)).status_code == 200
    code = await code_of(consenting, consent)
    await consenting.rows(f"UPDATE consent_grant SET valid_until = {PAST} WHERE purpose = :purpose", purpose=PURPOSE)  # noqa: S608  # ours
    assert (await page(consenting, code)).count(DE.take_back_one.partition("{")[0]) == 2
    grants = (await consenting.get(f"/consents/{consent}"))["grants"]
    grant = next(each["id"] for each in grants if each["purpose"] == PURPOSE)
    answer = await sent(consenting, "/receipts/withdrawal", code=code, grant=grant, sure="yes")
    assert DE.done_over in unescape(answer.text)
    found = await consenting.get(f"/consents/{consent}")
    assert {each["purpose"]: each["withdrawn_at"] is not None for each in found["grants"]} == {
        PURPOSE: True, "stabilisation": False,
    }
    assert len((await consenting.get("/duties"))["duties"]) == 1


@pytest.mark.parametrize("ends", [over, expired, replaced])
async def test_nothing_is_offered_where_nobody_has_received_anything(consenting: Consenting, ends: Ends) -> None:
    person = await consenting.a_person()
    consent = await consenting.given(person)
    await ends(consenting, person, consent)
    found = await page(consenting, await code_of(consenting, consent))
    assert DE.take_back_all not in found
    assert DE.still_there not in found


@pytest.mark.parametrize("ends", [withdrawn, one_by_one, invalidated])
async def test_nothing_is_offered_where_everybody_was_asked_already(consenting: Consenting, ends: Ends) -> None:
    person, consent = await used(consenting)
    await ends(consenting, person, consent)
    found = await page(consenting, await code_of(consenting, consent))
    assert DE.take_back_all not in found
    assert DE.still_there not in found
    assert f"{RECIPIENT} muss bis " in found


# --- who has received something ---------------------------------------------------------------------------------------


async def test_every_release_is_shown_however_many_there_are_and_however_much_was_in_each(
    consenting: Consenting,
) -> None:
    """A thousand lines: a release of twenty items is one card, and the fifty-first is one tap further."""
    person, consent = await used(consenting)
    await more_releases(consenting, SENT_MAX + 1, items=20)
    code = await code_of(consenting, consent)
    first = await page(consenting, code)
    assert (received(first), DE.older in first) == (SENT_MAX, True)
    before = first.rpartition('name="before" value="')[2].partition('"')[0]
    second = unescape((await seen(consenting, code, before=before)).text)
    assert (received(second), DE.older in second) == (2, False)
    unknown = unescape((await seen(consenting, code, before=str(person))).text)
    assert received(unknown) == SENT_MAX, "nobody is told that nothing left because something was mistyped"


async def more_releases(consenting: Consenting, releases: int, items: int) -> None:
    """As many older ones, like the one there is."""
    await consenting.rows("""
        INSERT INTO release SELECT (jsonb_populate_record(one, jsonb_build_object(
            'id', gen_random_uuid(), 'opened_at', one.opened_at - make_interval(days => n)))).*
        FROM release AS one, generate_series(1, :releases) AS n
    """, releases=releases)
    await consenting.rows("""
        INSERT INTO ledger SELECT (jsonb_populate_record(one, jsonb_build_object(
            'release', release.id, 'item', gen_random_uuid()))).*
        FROM ledger AS one, release, generate_series(1, :items) WHERE release.id <> one.release
    """, items=items)


def received(page: str) -> int:
    """How many cards say when something left."""
    return page.partition(f"<h2>{DE.sent}</h2>")[2].count(f"<dt>{DE.sent_at}</dt>")


async def test_of_what_left_on_bases_nobody_knows_any_more_it_is_said_so_and_not_that_nothing_left(
    consenting: Consenting,
) -> None:
    """After a restore a line of the ledger is known from its fact alone; it can still be asked back."""
    person, consent = await used(consenting)
    other = await consenting.given(person, purpose="stabilisation")
    await consenting.rows("UPDATE ledger SET category = NULL, hash = NULL, bases = '[]'")
    found = await page(consenting, await code_of(consenting, consent))
    assert received(found) == 1
    assert found.count(DE.not_known) == 2, "neither what it was about nor why it might go"
    assert DE.perhaps in found
    assert DE.nothing_sent not in found
    elsewhere = await page(consenting, await code_of(consenting, other))
    assert received(elsewhere) == 0, "for another purpose it cannot have been this consent"
    await over(consenting, person, consent)
    assert DE.take_back_all in await page(consenting, await code_of(consenting, consent))
