"""Bad inputs and what they get: a 4xx problem document, never a 5xx, never a word of what was sent."""
from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chassis.http_service import NOW, THING, Site, a_site, as_party, as_service, bearer

CANARY = "Zora-Canary-7Q"
PAINT = f"/things/{THING}/paint"
INVALID_JSON = (400, "invalid-json")
INVALID_INPUT = (422, "invalid-input")

BODIES: dict[str, tuple[bytes, tuple[int, str]]] = {
    "an empty body": (b"", INVALID_JSON),
    "null": (b"null", INVALID_INPUT),
    "an array": (b"[]", INVALID_INPUT),
    "JSON cut off": (b'{"colour": "' + CANARY.encode(), INVALID_JSON),
    "trailing bytes": (b'{"colour": "red"} ' + CANARY.encode(), INVALID_JSON),
    "a second document": (b'{"colour": "red"}{}', INVALID_JSON),
    "a trailing comma": (b'{"colour": "red",}', INVALID_JSON),
    "a comment": (b'{"colour": "red" /* ' + CANARY.encode() + b" */}", INVALID_JSON),
    "single quotes": (b"{'colour': 'red'}", INVALID_JSON),
    "a byte order mark": (b'\xef\xbb\xbf{"colour": "red"}', INVALID_JSON),
    "UTF-16": ('{"colour": "red"}'.encode("utf-16"), INVALID_JSON),
    "invalid UTF-8": (b'{"colour": "\xff"}', INVALID_JSON),
    "a lone surrogate": (b'{"colour": "\\ud800"}', INVALID_JSON),
    "a NUL in text": (b'{"colour": "Zora\\u0000"}', INVALID_INPUT),
    "a member named twice": (b'{"colour": "red", "colour": "' + CANARY.encode() + b'"}', INVALID_JSON),
    "a member named twice, deep": (b'{"colour": "red", "parts": [{"size": 1, "size": 2}]}', INVALID_JSON),
    "nesting of 10 000": (b'{"colour": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", INVALID_JSON),
    "NaN": (b'{"colour": "red", "share": NaN}', INVALID_JSON),
    "Infinity": (b'{"colour": "red", "share": -Infinity}', INVALID_JSON),
    "a number beyond floats": (b'{"colour": "red", "share": 1e400}', INVALID_INPUT),
    "an integer of 20 digits": (b'{"colour": "red", "coats": 12345678901234567890}', INVALID_INPUT),
    "an integer of 4 301 digits": (b'{"colour": "red", "coats": ' + b"1" * 4301 + b"}", INVALID_JSON),
    "an integer of 200 000 digits": (b'{"colour": "red", "coats": ' + b"1" * 200_000 + b"}", INVALID_JSON),
    "1.0 for an integer": (b'{"colour": "red", "coats": 1.0}', INVALID_INPUT),
    "true for an integer": (b'{"colour": "red", "coats": true}', INVALID_INPUT),
    "text for an integer": (b'{"colour": "red", "coats": "1"}', INVALID_INPUT),
    "a number for text": (b'{"colour": 1}', INVALID_INPUT),
    "20 000 unknown members": (json.dumps({f"{CANARY}{n}"[-9:]: n for n in range(12_000)}).encode(), INVALID_INPUT),
    "100 000 elements": (b'{"colour": "red", "parts": [' + b"0," * 99_999 + b"0]}", INVALID_INPUT),
    "an unknown member": (b'{"colour": "red", "' + CANARY.encode() + b'": 1}', INVALID_INPUT),
    "an unknown member, deep": (b'{"colour": "red", "parts": [{"' + CANARY.encode() + b'": 1}]}', INVALID_INPUT),
    "a member of every object": (b'{"colour": "red", "__class__": 1}', INVALID_INPUT),
    "a zero-width space": (b'{"colour": "Zo\\u200bra"}', INVALID_INPUT),
    "an override of direction": (b'{"colour": "Zo\\u202era"}', INVALID_INPUT),
    "only spaces": (b'{"colour": "   "}', INVALID_INPUT),
    "text too long": (json.dumps({"colour": CANARY * 1000}).encode(), INVALID_INPUT),
    "a name of 10 000 characters": (json.dumps({"colour": "red", "name": "Z" * 10_000}).encode(), INVALID_INPUT),
    "a line break in a name": (b'{"colour": "red", "name": "Zora\\r\\nSet-Cookie: x"}', INVALID_INPUT),
    "an emoji in a name": (json.dumps({"colour": "red", "name": "Zora \N{ROCKET}"}).encode(), INVALID_INPUT),
    "a digit in a name": (b'{"colour": "red", "name": "Z0ra"}', INVALID_INPUT),
    "a name without a letter": (b'{"colour": "red", "name": "---"}', INVALID_INPUT),
    "a time without offset": (b'{"colour": "red", "at": "2026-11-22T12:00:00"}', INVALID_INPUT),
    "an offset of 24 hours": (b'{"colour": "red", "at": "2026-11-22T12:00:00+24:00"}', INVALID_INPUT),
    "a time beyond the calendar": (b'{"colour": "red", "at": "9999-12-31T23:59:59-12:00"}', INVALID_INPUT),
    "a time before 1900": (b'{"colour": "red", "at": "0001-01-01T00:00:00+12:00"}', INVALID_INPUT),
    "seconds since 1970 as text": (b'{"colour": "red", "at": "1795000000"}', INVALID_INPUT),
    "seconds since 1970": (b'{"colour": "red", "at": 1795000000}', INVALID_INPUT),
    "a leap second": (b'{"colour": "red", "at": "2016-12-31T23:59:60Z"}', INVALID_INPUT),
    "24 o'clock": (b'{"colour": "red", "at": "2026-11-22T24:00:00Z"}', INVALID_INPUT),
    "a day as a number": (b'{"colour": "red", "on": "1795000000"}', INVALID_INPUT),
    "a day that is none": (b'{"colour": "red", "on": "2026-02-30"}', INVALID_INPUT),
    "an id that is none": (b'{"colour": "red", "by": "' + CANARY.encode() + b'"}', INVALID_INPUT),
}

HEADERS: dict[str, tuple[dict[str, str], tuple[int, str]]] = {
    "no token": ({"authorization": ""}, (401, "unauthenticated")),
    "another scheme": ({"authorization": f"Basic {CANARY}"}, (401, "unauthenticated")),
    "no token and a version without quotes": ({"authorization": "", "if_match": "2"}, (401, "unauthenticated")),
    "a token that is none": ({"authorization": f"Bearer {CANARY}"}, (401, "unauthenticated")),
    "a token of 9 KB": ({"authorization": f"Bearer {'a' * 9000}"}, (401, "unauthenticated")),
    "headers of 20 KB": ({"x_more": CANARY + "a" * 20_000}, (431, "headers-too-large")),
    "another role": ({"authorization": bearer("sculptor")}, (403, "forbidden")),
    "no role": ({"authorization": bearer("")}, (403, "forbidden")),
    "a service where people ask": ({"authorization": as_service()}, (403, "forbidden")),
    "a party where people ask": ({"authorization": as_party()}, (403, "forbidden")),
    "no key": ({"idempotency_key": ""}, (400, "key-missing")),
    "a key with a space": ({"idempotency_key": f"{CANARY} x"}, (400, "key-malformed")),
    "a key of 200 characters": ({"idempotency_key": "k" * 200}, (400, "key-malformed")),
    "a key with one quote": ({"idempotency_key": '"k'}, (400, "key-malformed")),
    "a version without quotes": ({"if_match": "2"}, (400, "version-malformed")),
    "a weak version": ({"if_match": 'W/"2"'}, (400, "version-malformed")),
    "two versions": ({"if_match": '"2", "3"'}, (400, "version-malformed")),
    "any version": ({"if_match": "*"}, (400, "version-malformed")),
    "an old version": ({"if_match": '"1"'}, (412, "stale-version")),
    "no content type": ({"content_type": ""}, (415, "unsupported-media-type")),
    "a form": ({"content_type": "application/x-www-form-urlencoded"}, (415, "unsupported-media-type")),
    "JSON in another charset": ({"content_type": "application/json; charset=latin-1"}, (415, "unsupported-media-type")),
    "a compressed body": ({"content_encoding": "gzip"}, (415, "unsupported-media-type")),
    "a length that is none": ({"content_length": "1_7"}, (400, "body-incomplete")),
    "a length too small": ({"content_length": "3"}, (400, "body-incomplete")),
    "a length too large": ({"content_length": "300"}, (400, "body-incomplete")),
    "a length of 60 MB": ({"content_length": str(60 * 1024 * 1024)}, (413, "body-too-large")),
    "a length beyond all numbers": ({"content_length": "9" * 5000}, (413, "body-too-large")),
}

QUERIES: dict[str, tuple[str, tuple[int, str]]] = {
    "a parameter missing": ("/things", INVALID_INPUT),
    "a parameter nobody knows": (f"/things?colour=red&{CANARY}=1", INVALID_INPUT),
    "a parameter given twice": (f"/things?colour=red&colour={CANARY}", INVALID_INPUT),
    "a parameter of another type": (f"/things?colour=red&limit={CANARY}", INVALID_INPUT),
    "one of a list of another type": (f"/things?colour=red&size=1&size={CANARY}", INVALID_INPUT),
    "a NUL in a parameter": ("/things?colour=%00", INVALID_INPUT),
    "invalid UTF-8 in a parameter": ("/things?colour=%ff", INVALID_INPUT),
    "a hundred parameters": ("/things?colour=red&" + "&".join(f"size={n}" for n in range(100)), INVALID_INPUT),
    "an id that is none": (f"/things/{CANARY}", (404, "not-found")),
    "an id in braces": (f"/things/{{{THING}}}", (404, "not-found")),
    "an unknown thing": (f"/things/{str(THING)[:-1]}9", (404, "unknown-thing")),
    "an unknown address": (f"/{CANARY}", (404, "not-found")),
    "a slash too many": (f"/things/{THING}/", (404, "not-found")),
    "a problem nobody has": (f"/problems/http/{CANARY}", (404, "not-found")),
}


@pytest.fixture
def site() -> Site:
    return a_site()


def is_said_without_an_echo(answer: Any, expected: tuple[int, str]) -> None:
    status, reason = expected
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said = answer.json()
    assert (answer.status_code, said["type"].rpartition("/")[2]) == expected, answer.text
    assert said["status"] == status
    assert len(said.get("errors", [])) <= 20
    assert CANARY not in answer.text
    assert CANARY not in str(answer.headers)
    assert answer.headers["cache-control"] == "no-store"
    assert reason == "invalid-input" or "errors" not in said


@pytest.mark.parametrize("name", BODIES)
async def test_a_bad_body_gets_a_problem_and_no_echo(site: Site, name: str) -> None:
    body, expected = BODIES[name]
    is_said_without_an_echo(await site.post(PAINT, body), expected)
    assert site.executor.runs == 0


@pytest.mark.parametrize("name", HEADERS)
async def test_a_bad_header_gets_a_problem_and_no_echo(site: Site, name: str) -> None:
    headers, expected = HEADERS[name]
    is_said_without_an_echo(await site.post(PAINT, b'{"colour": "red"}', **headers), expected)


@pytest.mark.parametrize("name", QUERIES)
async def test_a_bad_address_gets_a_problem_and_no_echo(site: Site, name: str) -> None:
    path, expected = QUERIES[name]
    is_said_without_an_echo(await site.get(path), expected)


async def test_a_body_of_60_mb_without_a_length_is_refused_long_before_its_end(site: Site) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(60):
            sent += 1
            yield b" " * 1024 * 1024

    answer = await site.post(PAINT, endless())
    is_said_without_an_echo(answer, (413, "body-too-large"))
    assert sent == 1


async def test_a_compressed_bomb_is_refused_unread(site: Site) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    is_said_without_an_echo(
        await site.post(PAINT, bomb, content_encoding="gzip"), (415, "unsupported-media-type")
    )


async def test_a_body_that_drips_in_is_given_up_after_ten_seconds(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.http.limits.BODY_SECONDS_MAX", 0.05)

    async def dripping() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b" "

    is_said_without_an_echo(await site.post(PAINT, dripping()), (408, "body-timeout"))


async def test_a_caller_who_hangs_up_in_the_middle_is_no_bug(site: Site) -> None:
    messages = [{"type": "http.request", "body": b'{"col', "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []
    headers = {
        b"authorization": bearer().encode(), b"content-type": b"application/json", b"idempotency-key": b"k"
    }

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": PAINT, "raw_path": PAINT.encode(), "query_string": b"",
        "headers": list(headers.items()), "client": ("127.0.0.1", 1), "root_path": "",
    }
    await site.app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_a_command_without_a_body_takes_none(site: Site) -> None:
    path = f"/things/{THING}/wash"
    is_said_without_an_echo(await site.post(path, b'{"colour": "red"}'), INVALID_INPUT)
    assert (await site.post(path, b"", content_type="")).status_code == 200
    assert (await site.post(path, b" {} ", idempotency_key="k2")).status_code == 200


async def test_an_error_says_where_as_far_as_the_names_are_ours(site: Site) -> None:
    body = {"colour": 1, "parts": [{"size": 1}, {"size": 101}, {"size": 5, CANARY: 1}], CANARY: 2}
    said = (await site.post(PAINT, json.dumps(body).encode())).json()
    assert said["errors"] == [
        {"field": "/colour", "code": "string_type"},
        {"field": "/parts/1/size", "code": "less_than_equal"},
        {"field": "/parts/2", "code": "extra_forbidden"},
        {"field": "", "code": "extra_forbidden"},
    ]


async def test_a_caller_who_asks_too_often_is_told_when_to_come_back() -> None:
    site = a_site(requests_per_second=1)
    answers = [await site.post(PAINT, b'{"colour": "red"}', idempotency_key=f"k{n}") for n in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "1"
    is_said_without_an_echo(answers[-1], (429, "too-many-requests"))
    other = await site.post(PAINT, b'{"colour": "red"}', authorization=bearer(subject="u2", now=NOW))
    assert other.status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["colour", "name", "at", "on", "coats", "share", "by", "parts"])
BODY = (
    st.binary(max_size=200)
    | JSON.map(lambda content: json.dumps(content).encode())
    | st.dictionaries(FIELDS, JSON, max_size=8).map(
        lambda content: json.dumps({"colour": "red", **content}, ensure_ascii=True).encode()
    )
)
HEADER = st.binary(max_size=40)
PAINTER = bearer().encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODY, key=HEADER, version=st.none() | HEADER, token=st.none() | HEADER, path=st.text(max_size=20))
async def test_whatever_is_sent_is_never_a_bug(
    site: Site, body: bytes, key: bytes, version: bytes | None, token: bytes | None, path: str
) -> None:
    headers = {b"content-type": b"application/json", b"idempotency-key": key or b"k", b"authorization": PAINTER}
    headers |= {} if version is None else {b"if-match": version}
    headers |= {} if token is None else {b"authorization": b"Bearer " + token}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    for address in (PAINT, f"/things/{path}", f"/problems/{path}"):
        scope = {
            "type": "http", "method": "POST" if address == PAINT else "GET", "path": address, "query_string": key,
            "headers": list(headers.items()), "client": None, "root_path": "",
        }
        await site.app(scope, receive, send)
    assert max(message.get("status", 0) for message in sent) < 500
