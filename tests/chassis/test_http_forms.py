"""Forms of pages: what browsers send is taken strictly, and every answer, a no too, is a page."""
from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

import httpx
import pytest
from fastapi.openapi.models import OpenAPI
from hypothesis import given
from hypothesis import strategies as st

from chassis.executor import Answer, Bug, Overloaded
from chassis.http import Body, Call, Routes, Text, anyone, html_page, openapi, people
from chassis.http.limits import FORM_BYTES_MAX
from chassis.http.parse import names_of, parse_form
from chassis.http.problems import Turned
from chassis.transitions import Refused
from tests.chassis.http_service import PROBLEMS, THING, Reason, Site, a_site

BROWSER = {"accept": "text/html,application/xhtml+xml;q=0.9"}
CANARY = "Zora-Canary-7Q"
routes = Routes()


class Wish(Body):
    """What is filled in."""

    colour: Text
    thing: UUID | None = None
    sure: Literal["yes"] | None = None


def told(status: int, type_: str) -> Answer:
    return html_page("No", f"<p>{status} {type_}</p>", status=status)


@routes.page("/wishes", allow=anyone(), shown=told)
async def ask(call: Call, tx: Any, size: int = 1) -> Answer:
    """The page with the form."""
    return html_page("Wish", f"<p>{size}</p>")


@routes.form("/wishes", allow=anyone(), fields=Wish, shown=told)
async def wish(call: Call, resources: Any, body: Wish) -> Answer | Refused:
    """Where it is sent to."""
    if body.colour == "none":
        return Refused(Reason.DRY)
    if body.colour == "broken":
        raise Bug("PaintBroken")
    if body.colour == "later":
        raise Overloaded
    resources.append((body, call.address))
    return html_page("Wished", f"<p>{body.thing}</p>")


@pytest.fixture
def site() -> Site:
    return a_site(of=routes)


async def send(site: Site, content: bytes, **headers: str) -> httpx.Response:
    said = {"content-type": "application/x-www-form-urlencoded", **BROWSER, **headers}
    return await site.client.post("/wishes", content=content, headers=said)


async def test_a_form_is_read_into_its_fields_and_answered_with_a_page(site: Site) -> None:
    fields = {"colour": "grün & blau+", "thing": str(THING), "sure": "yes"}
    answer = await site.client.post("/wishes", data=fields, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    ((body, address),) = site.resources
    assert body == Wish(colour="grün & blau+", thing=THING, sure="yes")
    assert address == "address:127.0.0.1"


async def test_what_is_left_out_is_what_its_field_says(site: Site) -> None:
    await send(site, b"colour=red")
    assert site.resources[0][0] == Wish(colour="red")


WRONG = {
    "nothing": b"",
    "an unknown field": b"colour=red&" + CANARY.encode() + b"=1",
    "a field twice": b"colour=red&colour=blue",
    "a field without a value": b"colour",
    "an empty field between": b"colour=red&&sure=yes",
    "a percent sign alone": b"colour=100%",
    "half a byte": b"colour=%f",
    "no UTF-8": b"colour=%ff",
    "bytes that no browser sends": "colour=grün".encode(),
    "a semicolon": b"colour=red;sure=yes",
    "a space": b"colour=dark red",
    "a NUL": b"colour=re%00d",
    "what cannot be seen": b"colour=re%E2%80%AEd",
    "only spaces": b"colour=+++",
    "no id": b"colour=red&thing=" + CANARY.encode(),
    "an empty id": b"colour=red&thing=",
    "another word": b"colour=red&sure=no",
    "JSON": b'{"colour": "red"}',
    "too many fields": b"&".join(b"f%d=1" % n for n in range(30)),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
async def test_what_no_page_of_ours_sends_is_refused_and_not_repeated(site: Site, content: bytes) -> None:
    answer = await send(site, content)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert CANARY not in answer.text
    assert site.resources == []


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"content-type": "application/json"}, b"{}", 415),
        ({"content-type": "multipart/form-data; boundary=x"}, b"", 415),
        ({"content-type": "text/plain"}, b"colour=red", 415),
        ({"content-type": "application/x-www-form-urlencoded; charset=latin-1"}, b"colour=red", 415),
        ({"content-encoding": "gzip"}, b"colour=red", 415),
        ({}, b"colour=" + b"r" * FORM_BYTES_MAX, 413),
        ({"content-length": "3"}, b"colour=red", 400),
    ],
)
async def test_what_is_no_form_or_too_much_of_one_is_not_read(
    site: Site, headers: dict[str, str], content: bytes, status: int
) -> None:
    answer = await send(site, content, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert site.resources == []


async def test_a_charset_that_is_said_may_be_said(site: Site) -> None:
    answer = await send(site, b"colour=red", **{"content-type": "application/x-www-form-urlencoded; charset=UTF-8"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("colour", "status", "type_", "later"),
    [
        ("none", 409, "/problems/things/dry", None),
        ("broken", 500, "/problems/http/bug", None),
        ("later", 503, "/problems/http/overloaded", "1"),
    ],
)
async def test_every_no_is_a_page_to_a_browser_and_a_problem_to_a_program(
    site: Site, colour: str, status: int, type_: str, later: str | None
) -> None:
    page = await site.client.post("/wishes", data={"colour": colour}, headers=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert f"{status} {type_}" in page.text
    assert "style-src" in page.headers["content-security-policy"]
    assert page.headers.get("retry-after") == later
    said = await site.client.post("/wishes", data={"colour": colour})
    assert (said.status_code, said.headers["content-type"]) == (status, "application/problem+json")
    assert (said.json()["type"], said.headers.get("retry-after")) == (type_, later)


async def test_who_asks_too_often_is_told_so_on_a_page() -> None:
    site = a_site(of=routes, requests_per_second=1)
    answers = [await send(site, b"colour=red") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "too-many-requests" in answers[2].text


async def test_a_page_that_is_asked_wrongly_says_so_on_a_page(site: Site) -> None:
    good = await site.client.get("/wishes?size=3", headers=BROWSER)
    assert (good.status_code, "<p>3</p>" in good.text) == (200, True)
    bad = await site.client.get("/wishes?size=many", headers=BROWSER)
    assert (bad.status_code, bad.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert (await site.client.get("/wishes?size=many")).headers["content-type"] == "application/problem+json"


def test_the_document_says_what_a_form_takes_and_that_pages_come_back() -> None:
    document = openapi(routes, service="things", problems=PROBLEMS, version="1")
    OpenAPI.model_validate(document)
    form = document["paths"]["/wishes"]["post"]
    (content,) = form["requestBody"]["content"].items()
    assert content[0] == "application/x-www-form-urlencoded"
    assert set(content[1]["schema"]["properties"]) == {"colour", "thing", "sure"}
    assert list(form["responses"]["200"]["content"]) == ["text/html"]
    assert set(form["responses"]["422"]["content"]) == {"application/problem+json", "text/html"}
    assert {"413", "415", "429"} <= set(form["responses"])
    assert list(document["paths"]["/wishes"]["get"]["responses"]["200"]["content"]) == ["text/html"]


def test_a_form_says_its_fields_and_a_page_takes_no_body() -> None:
    async def without(call: Call) -> Answer:
        return Answer(200, b"")

    async def reads(call: Call, tx: Any, body: Wish) -> Answer:
        return Answer(200, b"")

    with pytest.raises(ValueError, match="its fields as body"):
        Routes().form("/x", allow=anyone(), fields=Wish, shown=told)(without)
    with pytest.raises(ValueError, match="its fields as body"):
        Routes().form("/x", allow=people("painter"), fields=Wish, shown=told)(reads)
    with pytest.raises(ValueError, match="no body"):
        Routes().page("/x", allow=anyone())(reads)


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(content: bytes) -> None:
    try:
        found = parse_form(Wish, content, names_of(Wish))
    except Turned:
        return
    assert found.colour.strip()
