"""Receipts over HTTP: signed by the agency, printed with a code, and the page where that code shows and takes back."""

import asyncio
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from html import unescape
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
import pytest
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from chassis.executor import Bug, Unavailable
from chassis.http import limits
from contracts.codes import (
    AgeBand,
    ConsentState,
    DataCategory,
    DutyAnswer,
    Giver,
    LegalBasis,
    Purpose,
    RetentionNorm,
    Role,
    Sphere,
)
from contracts.consent import Answered, ConsentDataAnswered
from contracts.ids import CaseId, DutyId, HandoverRef, PersonId
from contracts.intake import CaseRegistered
from contracts.new_ids import new_id
from services.consent.api.receipts.phone import place_of
from services.consent.api.receipts.texts import DE, TEXTS
from services.consent.domain.receipts import Stands
from tests.consent.builders import ALLIANCE, JOBCENTER, PURPOSE
from tests.consent.conftest import DECLARED, PUBLIC_URL, Consenting, token
from tests.judges import written_here, wrong

BROWSER = {"accept": "text/html,application/xhtml+xml"}
FORMATS = {"ts27560": written_here("ts27560-receipt"), "kantara": written_here("kantara-consent-receipt-1.1")}
TICKET = re.compile(r'name="ticket" value="([0-9a-f]{64})"')
CODE = re.compile(r'class="code">([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})<')


async def printed(consenting: Consenting, consent: str) -> str:
    answer = await consenting.client.get(f"/consents/{consent}/receipt.html", headers=token(Role.CASEWORKER))
    assert answer.status_code == 200, answer.text
    return answer.text


async def code_of(consenting: Consenting, consent: str) -> str:
    found = CODE.search(await printed(consenting, consent))
    assert found is not None
    return found[1]


async def sent(consenting: Consenting, path: str, address: str = "192.0.2.1", **fields: str) -> httpx.Response:
    """A form as a browser sends it, from that address."""
    transport = httpx.ASGITransport(consenting.app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://consent") as client:
        return await client.post(path, data=fields, headers=BROWSER)


async def seen(consenting: Consenting, code: str, **how: str) -> httpx.Response:
    return await sent(consenting, "/receipts", code=code, **how)


async def two_grants(consenting: Consenting, person: UUID) -> str:
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    other = {**grant, "purpose": "stabilisation", "categories": ["master_data"]}
    body = {
        "person": str(person), **DECLARED, "notice": await consenting.a_notice(), "grants": [grant, other],
    }
    answer = await consenting.command("/consents", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


# --- signed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_receipt_is_of_the_form_asked_for_and_signed_by_the_agency(
    consenting: Consenting, format_: str
) -> None:
    person = await consenting.a_person()
    consent = await consenting.given(person)
    answer = await consenting.get(f"/consents/{consent}/receipt", format=format_)
    assert wrong(FORMATS[format_], answer["receipt"]) == []
    assert verified(answer["jws"]) == answer["receipt"]
    assert str(person) in json.dumps(answer["receipt"])
    assert PUBLIC_URL in json.dumps(answer["receipt"])


def verified(compact: str) -> Any:
    """What a signature covers, by the key that the alliance's file has for the agency; JoseError where it is none."""
    protected = jws.extract_compact(compact.encode()).protected
    assert protected["typ"] == "staffel-receipt+jws"
    public = ALLIANCE.signing_key(JOBCENTER, protected["kid"], datetime.now(UTC))
    assert public is not None
    found = jws.deserialize_compact(compact, OKPKey.import_key(dict(public.jwk)), algorithms=["Ed25519"])
    return json.loads(found.payload)


async def test_a_receipt_in_which_any_field_is_another_one_is_not_signed(consenting: Consenting) -> None:
    consent = await consenting.given(await consenting.a_person())
    answer = await consenting.get(f"/consents/{consent}/receipt")
    header, _, signature = answer["jws"].split(".")
    changed = list(each_field_changed(answer["receipt"]))
    assert len(changed) > 30
    for other in changed:
        payload = urlsafe_b64encode(json.dumps(other).encode()).rstrip(b"=").decode()
        with pytest.raises(JoseError):
            verified(f"{header}.{payload}.{signature}")


def each_field_changed(value: Any) -> Any:
    """The document as often as it has values, each time with another one there."""
    match value:
        case dict():
            for name, part in value.items():
                yield from ({**value, name: other} for other in each_field_changed(part))
        case list():
            for n, part in enumerate(value):
                yield from ([*value[:n], other, *value[n + 1 :]] for other in each_field_changed(part))
        case str():
            yield value + "x"
        case _:
            yield not value


async def test_the_signature_under_a_receipt_is_taken_for_no_token(consenting: Consenting) -> None:
    consent = await consenting.given(await consenting.a_person())
    compact = (await consenting.get(f"/consents/{consent}/receipt"))["jws"]
    answer = await consenting.client.get("/duties", headers={"Authorization": f"Bearer {compact}"})
    assert answer.status_code == 401


async def test_what_nobody_has_answered_has_no_receipt_and_a_refusal_has_one(consenting: Consenting) -> None:
    person = await consenting.a_person()
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    sheet = {"person": str(person), **DECLARED, "notice": await consenting.a_notice(), "grants": [grant]}
    consent = (await consenting.command("/consents/requests", sheet)).json()["id"]
    for path in ("receipt", "receipt.html"):
        answer = await consenting.client.get(f"/consents/{consent}/{path}", headers=token(Role.CASEWORKER))
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/consent/not-now")
        assert answer.json()["state"] == "requested"
    await consenting.command(f"/consents/{consent}/refusal", {"person": str(person)})
    answer = await consenting.get(f"/consents/{consent}/receipt")
    events = answer["receipt"]["consent_record"]["event"]
    assert [event["event_state"] for event in events] == ["requested", "refused"]
    assert events[0]["event_time"] < events[1]["event_time"]
    assert TEXTS["de"].free_why in unescape(await printed(consenting, consent))


async def test_nobody_but_staff_is_given_a_receipt(consenting: Consenting) -> None:
    consent = await consenting.given(await consenting.a_person())
    for path in ("receipt", "receipt.html"):
        assert (await consenting.client.get(f"/consents/{consent}/{path}")).status_code == 401
        other = await consenting.client.get(f"/consents/{consent}/{path}", headers=token(Role.COORDINATION))
        assert other.status_code == 403
        unknown = await consenting.client.get(f"/consents/{new_id()}/{path}", headers=token(Role.CASEWORKER))
        assert unknown.status_code == 404


# --- printed ----------------------------------------------------------------------------------------------------------


async def test_the_printed_receipt_says_who_may_tell_whom_what_for_what_until_when(consenting: Consenting) -> None:
    consent = await consenting.given(await consenting.a_person(), valid_until="2027-05-04T10:00:00Z")
    page = unescape(await printed(consenting, consent))
    for said in (
        'lang="de"', "Jobcenter Musterland", "Jugendamt Landkreis Musterland", "Schule, Stammdaten",
        "Hilfe nach SGB VIII", "4. Mai 2027, 12:00 Uhr", f"{PUBLIC_URL}/receipts", "Musterstraße 1",
        TEXTS["de"].free_why, "<svg", 'class="code"',
    ):
        assert said in page, said
    assert "Zora" not in page


async def test_it_is_the_same_whenever_it_is_printed_and_speaks_the_notices_language(consenting: Consenting) -> None:
    person = await consenting.a_person()
    consent = await consenting.given(person)
    assert await code_of(consenting, consent) == await code_of(consenting, consent)
    english = {"language": "en-GB", "plain_language": True, "text": "We ask you.", "valid_from": "2026-01-01T00:00:00Z"}
    notice = (await consenting.command("/notices", english, role=Role.TEAM_LEAD)).json()["id"]
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    body = {"person": str(person), **DECLARED, "notice": notice, "grants": [grant]}
    second = (await consenting.command("/consents", body)).json()["id"]
    page = await printed(consenting, second)
    assert 'lang="en"' in page
    assert TEXTS["en"].free in page
    assert await code_of(consenting, second) != await code_of(consenting, consent)


async def test_what_guardians_have_signed_is_not_called_the_young_persons_own_word(consenting: Consenting) -> None:
    person = PersonId(new_id())
    await consenting.hear("jobcenter.intake.events", CaseRegistered(
        case=CaseId(new_id()), person=person, sphere=Sphere.SGB_II, age_band=AgeBand.UNDER_15, handover=None
    ))
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    body = {"person": str(person), **DECLARED, "giver": "guardian", "notice": await consenting.a_notice()}
    answer = await consenting.command("/consents", {**body, "grants": [grant]})
    page = unescape(await printed(consenting, answer.json()["id"]))
    assert TEXTS["de"].giver[Giver.GUARDIAN] in page
    assert "Du hast Ja gesagt" not in page


def test_every_language_has_a_sentence_for_every_state_and_every_giver() -> None:
    for texts in TEXTS.values():
        assert set(texts.said) == set(texts.said_for) == {*ConsentState, *Stands} - {ConsentState.REQUESTED}
        assert set(texts.giver) == set(Giver)
        assert len(texts.months) == 12
        labels = [texts.label(code) for codes in (Purpose, DataCategory, LegalBasis, RetentionNorm) for code in codes]
        assert all(labels)
        assert len(set(labels)) >= len(labels) - 1, "two codes of two lists may be called the same"


async def test_a_notice_can_be_read_by_everybody(consenting: Consenting) -> None:
    notice = await consenting.a_notice()
    answer = await consenting.client.get(f"/notices/{notice}/page")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Wir fragen dich." in answer.text


# --- on a phone -------------------------------------------------------------------------------------------------------


async def test_the_page_asks_for_the_code_and_for_nothing_else(consenting: Consenting) -> None:
    for query, lang in (("", "de"), ("?language=en", "en"), ("?language=tlh", "de")):
        answer = await consenting.client.get(f"/receipts{query}", headers=BROWSER)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert (answer.headers["referrer-policy"], "set-cookie" in answer.headers) == ("no-referrer", False)
        assert f'<html lang="{lang}">' in answer.text
        assert re.findall(r'name="(\w+)"', answer.text.partition("<main>")[2]) == ["code", "language"]
        assert re.search(r"<script|https?://|src=|@import|url\(", answer.text) is None


async def test_with_the_code_one_sees_who_received_what_when_for_what_on_which_basis(consenting: Consenting) -> None:
    person = await consenting.a_person()
    consent = await consenting.given(person)
    handover = await consenting.proposed(person, [consenting.neighbours.put("Zora Beispiel-Zimt")])
    code = await code_of(consenting, consent)
    before = unescape((await seen(consenting, code)).text)
    assert TEXTS["de"].nothing_sent in before
    assert (await consenting.fetch(handover)).status_code == 200
    page = unescape((await seen(consenting, code.lower().replace("-", " "))).text)
    received = page.partition(f"<h2>{TEXTS['de'].sent}</h2>")[2]
    for said in ("Jugendamt Landkreis Musterland", "Stammdaten", "Hilfe nach SGB VIII", "Einwilligung (§ 67b SGB X)"):
        assert said in received, said
    assert "Zora" not in page
    assert str(person) not in page


async def test_it_shows_this_consent_and_no_other_of_the_same_person(consenting: Consenting) -> None:
    person = await consenting.a_person()
    first, second = await consenting.given(person), await consenting.given(person, purpose="stabilisation")
    handover = await consenting.proposed(person, [consenting.neighbours.put()])
    assert (await consenting.fetch(handover)).status_code == 200
    assert TEXTS["de"].nothing_sent not in (await seen(consenting, await code_of(consenting, first))).text
    page = unescape((await seen(consenting, await code_of(consenting, second))).text)
    assert TEXTS["de"].nothing_sent in page
    assert "Stabilisierung" in page
    assert "Hilfe nach SGB VIII" not in page
    assert first not in page


async def test_two_taps_take_everything_back_and_twice_is_as_good_as_once(consenting: Consenting) -> None:
    person = await consenting.a_person()
    consent = await consenting.given(person)
    handover = await consenting.proposed(person, [consenting.neighbours.put()])
    assert (await consenting.fetch(handover)).status_code == 200
    code = await code_of(consenting, consent)
    asked = await sent(consenting, "/receipts/withdrawal", code=code)
    assert TEXTS["de"].sure in asked.text
    assert (await consenting.get(f"/consents/{consent}"))["state"] == "given", "the first tap only asks"
    for _ in range(2):
        done = await sent(consenting, "/receipts/withdrawal", code=code, sure="yes")
        assert done.status_code == 200, done.text
        assert TEXTS["de"].nothing_stands in done.text
        assert "zurückgenommen am " in done.text
        assert TEXTS["de"].allowed.format(agency="Jobcenter Musterland") not in done.text
        assert 'role="status"' in done.text
        assert (await consenting.get(f"/consents/{consent}"))["state"] == "withdrawn"
    assert (await consenting.fetch(handover)).json()["type"] == "/problems/consent/consent-withdrawn"
    assert [said for _, said in await consenting.told() if said == "consent.withdrawn"] == ["consent.withdrawn"]
    assert await consenting.rows("SELECT 1 FROM withdrawal_intent") == []


async def test_one_grant_can_be_taken_back_and_the_others_stand(consenting: Consenting) -> None:
    consent = await two_grants(consenting, await consenting.a_person())
    code = await code_of(consenting, consent)
    grant = (await consenting.get(f"/consents/{consent}"))["grants"][0]["id"]
    assert (await seen(consenting, code)).text.count('action="/receipts/withdrawal"') == 3
    asked = await sent(consenting, "/receipts/withdrawal", code=code, grant=grant)
    assert grant in asked.text
    done = await sent(consenting, "/receipts/withdrawal", code=code, grant=grant, sure="yes")
    assert TEXTS["de"].done_one.partition("{")[0] in done.text
    assert TEXTS["de"].done.partition("{agency}")[2] not in done.text, "the other grant still lets data go"
    found = await consenting.get(f"/consents/{consent}")
    assert found["state"] == "given"
    assert [each["withdrawn_at"] is not None for each in found["grants"]] == [True, False]


async def test_a_grant_of_another_consent_is_not_taken_back_with_this_code(consenting: Consenting) -> None:
    person = await consenting.a_person()
    one, other = await consenting.given(person), await consenting.given(person)
    strange = (await consenting.get(f"/consents/{other}"))["grants"][0]["id"]
    code = await code_of(consenting, one)
    answer = await sent(consenting, "/receipts/withdrawal", code=code, grant=strange, sure="yes")
    assert answer.status_code == 404
    assert {(await consenting.get(f"/consents/{each}"))["state"] for each in (one, other)} == {"given"}


async def test_it_is_answered_when_no_byte_can_follow(consenting: Consenting) -> None:
    person = await consenting.a_person()
    consent = await consenting.given(person)
    handover = await consenting.proposed(person, [consenting.neighbours.put()])
    code = await code_of(consenting, consent)
    await consenting.fetch(handover)
    await consenting.rows("UPDATE release SET closed_at = NULL, told = false")
    began = monotonic()
    assert (await sent(consenting, "/receipts/withdrawal", code=code, sure="yes")).status_code == 200
    assert 2.1 < monotonic() - began < 3.5


async def test_the_will_is_written_down_before_it_is_carried_out(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await consenting.a_person()
    consent = await consenting.given(person)
    handover = await consenting.proposed(person, [consenting.neighbours.put()])
    code = await code_of(consenting, consent)

    async def away(_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(consenting.executor, "run", away)
    answer = await sent(consenting, "/receipts/withdrawal", code=code, sure="yes")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert TEXTS["de"].not_now in answer.text
    assert "retry-after" in answer.headers
    assert len(await consenting.rows("SELECT 1 FROM withdrawal_intent")) == 1
    assert (await consenting.fetch(handover)).json()["type"] == "/problems/consent/consent-withdrawn"


@pytest.mark.parametrize(
    ("answer", "norm", "words"),
    [
        (DutyAnswer.ERASED, None, lambda texts: texts.erased),
        (DutyAnswer.RETAINED, RetentionNorm.SGB_X_84, lambda texts: texts.retained),
    ],
)
async def test_each_answer_to_the_withdrawal_is_shown(
    consenting: Consenting, answer: DutyAnswer, norm: RetentionNorm | None, words: Callable[[Any], str]
) -> None:
    person = await consenting.a_person()
    consent = await consenting.given(person)
    handover = await consenting.proposed(person, [consenting.neighbours.put()])
    await consenting.fetch(handover)
    code = await code_of(consenting, consent)
    waiting = (await sent(consenting, "/receipts/withdrawal", code=code, sure="yes")).text
    recipient = "Jugendamt Landkreis Musterland"
    assert f"{recipient} muss bis " in waiting
    await consenting.rows("UPDATE duty SET answer_by = clock_timestamp() - interval '1 day'")
    assert f"{recipient} hat noch nicht geantwortet" in (await seen(consenting, code)).text
    duty = (await consenting.get("/duties"))["duties"][0]["id"]
    await consenting.hear("musterland.jugendamt.to.jobcenter.consent", ConsentDataAnswered(
        handover=HandoverRef(handover), duty=DutyId(UUID(duty)), answer=answer, norm=norm,
        passed_on=(Answered(answer=DutyAnswer.ERASED, norm=None),),
    ))
    page = unescape((await seen(consenting, code)).text)
    begins = words(TEXTS["de"]).format(agency=recipient, norm=TEXTS["de"].label(norm) if norm else "", at="|")
    assert begins.partition("|")[0] in page
    assert TEXTS["de"].further_erased in page


# --- guessing ---------------------------------------------------------------------------------------------------------


async def test_a_code_opens_nothing_before_it_is_printed_and_what_is_kept_of_it_is_no_code(
    consenting: Consenting,
) -> None:
    consent = await consenting.given(await consenting.a_person())
    assert await consenting.rows("SELECT 1 FROM receipt_code") == []
    code = await code_of(consenting, consent)
    (row,) = await consenting.rows("SELECT hash, consent FROM receipt_code")
    assert len(row.hash) == 32
    assert code.replace("-", "").encode() not in bytes(row.hash)
    assert (await seen(consenting, code)).status_code == 200


WRONG = ("ZZZZ-ZZZZ-ZZZZ", "nonsense", "", "x" * 2000, "\N{PILE OF POO}", "UUUU-UUUU-UUUU")


@pytest.mark.parametrize("code", WRONG)
async def test_a_code_of_nobody_and_what_is_no_code_look_the_same(consenting: Consenting, code: str) -> None:
    await code_of(consenting, await consenting.given(await consenting.a_person()))
    answers = [await seen(consenting, each, address=f"192.0.2.{n}") for n, each in enumerate(("0" * 12, code))]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    assert (answers[0].status_code, answers[0].headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert all(texts.unknown_code in answers[0].text for texts in TEXTS.values())
    program = await consenting.client.post("/receipts", data={"code": code})
    assert (program.status_code, program.json()["type"]) == (404, "/problems/consent/unknown-code")


async def test_a_code_is_in_no_log_line_whatever_becomes_of_it(
    consenting: Consenting, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await code_of(consenting, await consenting.given(await consenting.a_person()))
    caplog.set_level("DEBUG")
    await seen(consenting, code)
    await seen(consenting, code[:-1])
    await sent(consenting, "/receipts/withdrawal", code=code, grant="none")

    async def breaks(_: object) -> None:
        raise Bug("Broken")

    monkeypatch.setattr(consenting.executor, "run", breaks)
    broken = await sent(consenting, "/receipts/withdrawal", code=code, sure="yes")
    assert broken.status_code == 500
    logged = "".join(str(vars(record)) for record in caplog.records)
    assert "request failed" in logged
    assert code not in logged
    assert code.replace("-", "") not in logged


async def test_who_guesses_stands_in_line_and_nobody_elsewhere_is_slowed(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IN_LINE_SECONDS_MAX", 1.0)
    code = await code_of(consenting, await consenting.given(await consenting.a_person()))
    began = monotonic()
    answers = await asyncio.gather(*guesses(consenting, "203.0.113.9", 30))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(404), statuses.count(429)) == (5 + 2, 30 - 7), "as many as one after the other"
    stopped = answers[statuses.index(429)]
    assert stopped.headers["retry-after"] == "10"
    assert DE.too_many in stopped.text
    assert monotonic() - began < 5.0
    for _ in range(20):
        assert (await seen(consenting, code, address="203.0.113.8")).status_code == 200


def guesses(consenting: Consenting, address: str, often: int) -> list[Coroutine[Any, Any, httpx.Response]]:
    return [seen(consenting, f"{n:012}", address=address) for n in range(often)]


async def test_whoever_has_the_right_code_is_let_in_beside_somebody_who_guesses_at_the_same_address(
    consenting: Consenting,
) -> None:
    """A school has one address: nobody is shut out there, and nobody waits for longer than ten seconds."""
    code = await code_of(consenting, await consenting.given(await consenting.a_person()))
    await asyncio.gather(*guesses(consenting, "203.0.113.7", 5))

    async def guesses_on() -> None:
        for n in range(1000):
            await seen(consenting, f"{n:012}", address="203.0.113.7")

    guessing = asyncio.create_task(guesses_on())
    for _ in range(3):
        await asyncio.sleep(0.1)
        began = monotonic()
        assert (await seen(consenting, code, address="203.0.113.7")).status_code == 200
        assert monotonic() - began < limits.IN_LINE_SECONDS_MAX
    guessing.cancel()


async def test_who_is_in_finishes_however_many_guess_beside_them_and_the_ticket_is_for_that_code_alone(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IN_LINE_SECONDS_MAX", 2.0)
    consent = await consenting.given(await consenting.a_person())
    code, address = await code_of(consenting, consent), "203.0.113.7"
    ticket = TICKET.search((await seen(consenting, code, address=address)).text)
    assert ticket is not None
    line = asyncio.gather(*guesses(consenting, address, 30))
    await asyncio.sleep(0.5)
    assert (await seen(consenting, code, address=address)).status_code == 429, "the line is full"
    for other in ("0" * 12, code[::-1], ""):
        assert (await seen(consenting, other, address=address, ticket=ticket[1])).status_code == 429
    assert (await seen(consenting, code, address=address, ticket="0" * 64)).status_code == 429
    began = monotonic()
    asked = await sent(consenting, "/receipts/withdrawal", address, code=code, ticket=ticket[1])
    again = TICKET.search(asked.text)
    assert again is not None
    done = await sent(consenting, "/receipts/withdrawal", address, code=code, ticket=again[1], sure="yes")
    assert done.status_code == 200
    assert monotonic() - began < 1.5
    assert (await consenting.get(f"/consents/{consent}"))["state"] == "withdrawn"
    await line


def test_whoever_can_choose_among_addresses_is_one_place() -> None:
    assert place_of("address:2001:db8:1:2::1") == place_of("address:2001:db8:1:2:ffff::2")
    assert place_of("address:2001:db8:1:2::1") != place_of("address:2001:db8:1:3::1")
    assert place_of("address:192.0.2.1") != place_of("address:192.0.2.2")
    assert place_of("address:") == "address:"
