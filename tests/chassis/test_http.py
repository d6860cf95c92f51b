"""What a service offers over HTTP: commands, views, streams, and what it says about itself."""
from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy.exc import OperationalError

from chassis.auth import thumbprint_of
from chassis.executor import Bug, Overloaded, Step, Unavailable
from chassis.http import Call, Instant, Name, Problem, Routes, Text, anyone, openapi, parse, people, serve
from chassis.http.limits import WAITERS_PER_CALLER
from chassis.http.problems import TROUBLES, Problems, Trouble
from chassis.http.routes import Command, check_unambiguous
from chassis.transitions import Refused
from tests.chassis.broker import until
from tests.chassis.http_service import (
    NOW,
    PROBLEMS,
    THING,
    Reason,
    Site,
    a_site,
    as_party,
    as_service,
    bearer,
    held,
    issue_bearer_with,
    painted,
    routes,
)

PAINT, WASH, PIECES = (f"/things/{THING}/{verb}" for verb in ("paint", "wash", "pieces"))
RED = b'{"colour": "red"}'


def made(seconds_ago: int) -> UUID:
    milliseconds = int((NOW.timestamp() - seconds_ago) * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62)


@pytest.fixture
def site() -> Site:
    return a_site()


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_a_command_becomes_one_step_and_answers_with_id_state_version_and_what_is_allowed(site: Site) -> None:
    answer = await site.post(PAINT, RED, if_match='"2"')
    assert answer.status_code == 200
    assert answer.json() == {"id": str(THING), "state": "wet", "version": 3, "allowed": ["PaintIt"]}
    assert answer.headers["etag"] == '"3"'
    assert "idempotency-replayed" not in answer.headers
    (step,) = site.executor.steps
    assert (step.subject, step.expected_version) == (THING, 2)


async def test_the_same_again_gets_the_stored_answer_and_says_so(site: Site) -> None:
    first = await site.post(PAINT, RED)
    again = await site.post(PAINT, RED, idempotency_key='"k1"')
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert len(site.executor.steps) == 1


@pytest.mark.parametrize(("path", "body"), [(PAINT, b'{"colour": "blue"}'), (WASH, b"")])
async def test_a_key_belongs_to_one_command(site: Site, path: str, body: bytes) -> None:
    await site.post(PAINT, RED)
    other = await site.post(path, body)
    assert other.status_code == 422
    assert other.json()["type"] == "/problems/http/key-reused"
    assert len(site.executor.steps) == 1


async def test_two_callers_may_choose_the_same_key(site: Site) -> None:
    await site.post(PAINT, RED)
    assert (await site.post(PAINT, RED, authorization=bearer(subject="u2"))).headers.get("idempotency-replayed") is None


async def test_a_fingerprint_tells_nothing_without_the_key_of_the_service(site: Site) -> None:
    await site.post(PAINT, RED)
    ((kept, _),) = site.executor.answers.values()
    assert len(kept) == 32
    assert b"red" not in kept


async def test_a_refusal_is_the_problem_of_its_reason_with_state_and_what_is_allowed(site: Site) -> None:
    site.executor.decide = lambda _: Refused(Reason.DRY, "dry", ("Wash",))
    answer = await site.post(PAINT, RED)
    assert answer.json() == {
        "type": "/problems/things/dry",
        "title": "The paint has dried.",
        "status": 409,
        "state": "dry",
        "allowed": ["Wash"],
    }
    assert (await site.post(PAINT, RED)).headers["idempotency-replayed"] == "true"


async def test_what_runs_before_a_command_sees_its_path_and_may_refuse(site: Site) -> None:
    assert (await site.post(WASH, b"")).status_code == 200
    assert site.resources == [THING]
    site.resources[:] = range(5)
    assert (await site.post(WASH, b"", idempotency_key="k2")).json()["type"] == "/problems/things/dry"
    assert site.executor.runs == 1


async def test_an_unconditional_command_is_refused_for_no_version_and_no_key(site: Site) -> None:
    await site.post(PAINT, RED)
    for size, version in ((1, '"1"'), (2, '"1"'), (2, "any")):
        answer = await site.post(f"/things/{THING}/drop", b'{"size": %d}' % size, if_match=version)
        assert answer.status_code == 200, answer.text
    assert [step.expected_version for step in site.executor.steps] == [None, None, None]
    assert answer.headers["idempotency-replayed"] == "true"
    assert (await site.post(f"/things/{THING}/drop", b'{"size": 3}', idempotency_key="")).status_code == 400
    described = site.app.openapi()["paths"]["/things/{thing}/drop"]["post"]
    assert [p["name"] for p in described["parameters"]] == ["thing", "Idempotency-Key"]
    assert "412" not in described["responses"]


async def test_what_runs_after_a_command_sees_every_answer_before_it_is_given(site: Site) -> None:
    held.clear()
    await site.post(WASH, b"")
    await site.post(WASH, b"")
    assert [answer.replayed for answer in held] == [False, True]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Overloaded(), "overloaded"),
        (Unavailable(), "unavailable"),
        (OperationalError("SELECT", {}, Exception("away")), "unavailable"),
    ],
)
async def test_weather_is_503_and_says_when_to_come_back(site: Site, error: Exception, reason: str) -> None:
    site.executor.raises = error
    answer = await site.post(PAINT, RED)
    assert answer.status_code == 503
    assert answer.json()["type"] == f"/problems/http/{reason}"
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("error", [Bug("KeyError"), ValueError("Zora-Canary")])
async def test_a_bug_is_500_with_an_id_that_the_log_knows_and_no_content(
    site: Site, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    site.executor.raises = error
    answer = await site.post(PAINT, b'{"colour": "Zora-Canary"}')
    assert answer.status_code == 500
    assert answer.json()["instance"] == f"urn:uuid:{THING}"
    (record,) = caplog.records
    assert str(THING) in str(record.__dict__)
    assert "Zora-Canary" not in str(record.__dict__)


# --- read your own writes ---------------------------------------------------------------------------------------------


async def test_a_command_waits_for_the_news_of_its_subject(site: Site) -> None:
    def known_at_the_third_time(step: Step) -> Mapping[str, Any] | Refused:
        return painted(step) if site.executor.runs > 2 else Refused(Reason.UNKNOWN_THING, unknown=made(1))

    site.executor.decide = known_at_the_third_time
    assert (await site.post(PAINT, RED)).status_code == 200
    assert site.executor.runs == 3


async def test_news_that_does_not_come_in_time_is_told_as_such_and_not_stored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.http.serve.NEWS_WAIT_SECONDS", 0.2)
    site.executor.decide = lambda _: Refused(Reason.UNKNOWN_THING, unknown=made(59))
    answer = await site.post(PAINT, RED)
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/http/not-heard-of-yet"
    assert answer.headers["retry-after"] == "1"
    assert site.executor.answers == {}
    assert site.executor.runs > 1


@pytest.mark.parametrize("unknown", [made(61), made(-3600), UUID(int=0), UUID(int=2**128 - 1), UUID(int=0x7 << 76)])
async def test_an_id_that_is_not_young_is_unknown_at_once(site: Site, unknown: UUID) -> None:
    site.executor.decide = lambda _: Refused(Reason.UNKNOWN_THING, unknown=unknown)
    assert (await site.post(PAINT, RED)).json()["type"] == "/problems/things/unknown-thing"
    assert site.executor.runs == 1


async def test_an_unknown_id_is_404_whatever_reason_was_given(site: Site) -> None:
    site.executor.decide = lambda _: Refused(Reason.DRY, "none", ("PaintIt",), unknown=made(100))
    assert (await site.post(PAINT, RED)).json() == {
        "type": "/problems/http/not-found",
        "title": TROUBLES[Trouble.NOT_FOUND].title,
        "status": 404,
    }


async def test_waiting_has_room_for_a_few_per_caller(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.http.serve.NEWS_WAIT_SECONDS", 60.0)  # nobody's wait ends before the news
    site.executor.decide = lambda _: Refused(Reason.UNKNOWN_THING, unknown=made(1))
    asked = [asyncio.ensure_future(site.post(PAINT, RED, idempotency_key=f"k{n}")) for n in range(20)]
    turned = 20 - WAITERS_PER_CALLER
    await until(lambda: sum(answer.done() for answer in asked) >= turned)
    runs = site.executor.runs
    await until(lambda: site.executor.runs >= runs + 2 * WAITERS_PER_CALLER)  # all others ask again, and go on waiting
    assert [answer.result().status_code for answer in asked if answer.done()] == [409] * turned
    site.executor.decide = painted
    assert Counter([(await answer).status_code for answer in asked]) == {409: turned, 200: WAITERS_PER_CALLER}
    monkeypatch.setattr("chassis.http.serve.NEWS_WAIT_SECONDS", 0.2)
    site.executor.decide = lambda _: Refused(Reason.UNKNOWN_THING, unknown=made(1))
    runs = site.executor.runs
    assert (await site.post(PAINT, RED, idempotency_key="k99")).status_code == 409
    assert site.executor.runs > runs + 1, "there is room again"


# --- views and streams ------------------------------------------------------------------------------------------------


async def test_of_large_bodies_one_is_read_in_a_round_of_the_loop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read at once they would keep out those that are still on their way, and these be told that they are late."""
    this_round, read_in = 0, []

    async def count() -> None:
        nonlocal this_round
        while True:
            this_round += 1
            await asyncio.sleep(0)

    def noted(model: type[BaseModel], raw: bytes, names: frozenset[str]) -> BaseModel:
        read_in.append(this_round)
        return parse.parse_body(model, raw, names)

    monkeypatch.setattr(serve, "parse_body", noted)
    large = json.dumps({"colour": "red", "parts": [{"size": 1}] * (serve.AT_ONCE_BYTES_MAX // 10)})
    counting = asyncio.create_task(count())
    answers = await asyncio.gather(*(site.post(PAINT, large, idempotency_key=f"k{n}") for n in range(9)))
    counting.cancel()
    assert {answer.status_code for answer in answers} == {200}
    assert len(set(read_in)) == len(read_in) == len(answers)


async def test_a_view_with_a_version_has_an_etag(site: Site) -> None:
    answer = await site.get(f"/things/{THING}", authorization=as_service())
    assert answer.json() == {"id": str(THING), "version": 3, "colour": "service"}
    assert answer.headers["etag"] == '"3"'


async def test_a_public_view_needs_no_token_and_takes_typed_parameters(site: Site) -> None:
    answer = await site.get("/things?colour=red&size=1&size=2", authorization="")
    assert answer.json() == ["red", "1", "2", "10"]


async def test_a_token_bound_to_a_certificate_is_taken_over_its_connection_only(site: Site) -> None:
    pem = ssl.DER_cert_to_PEM_cert(b"invented certificate")
    claims = {"cnf": {"x5t#S256": thumbprint_of(b"invented certificate")}}
    token = f"Bearer {issue_bearer_with(claims)}".encode()
    statuses = []

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    for chain in ([pem], []):
        path = f"/things/{THING}"
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"authorization", token)], "client": None, "root_path": "",
            "extensions": {"tls": {"client_cert_chain": chain}},
        }
        await site.app(scope, None, send)
    assert statuses == [200, 401]


async def test_a_stream_is_written_piece_by_piece_and_closed(site: Site) -> None:
    answer = await site.post(PIECES, RED, authorization=as_party())
    assert answer.content == f"south {THING} end".encode()
    assert answer.headers["cache-control"] == "no-store"
    assert site.resources == [True]


async def test_a_stream_may_refuse(site: Site) -> None:
    answer = await site.post(PIECES, b'{"colour": "none"}', authorization=as_party())
    assert answer.json()["type"] == "/problems/things/dry"


async def test_a_stream_admits_only_the_services_of_parties_that_are_named(site: Site) -> None:
    assert (await site.post(PIECES, RED, authorization=as_party("attic"))).status_code == 403


async def test_a_stream_that_is_not_done_at_its_deadline_is_torn_down(site: Site) -> None:
    aborted: list[bool] = []
    sent: list[Any] = []

    ours, theirs = socket.socketpair()

    class Line:
        def abort(self) -> None:
            aborted.append(True)

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 0

        def get_extra_info(self, name: str) -> Any:
            return {"socket": ours}[name]

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"colour": "slow"}'}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", as_party().encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": "POST", "path": PIECES, "raw_path": PIECES.encode(), "query_string": b"",
        "headers": headers, "client": None, "root_path": "", "extensions": {"chassis.line": Line()},
    }
    await site.app(scope, receive, send)
    ours.close()
    theirs.close()
    assert aborted == [True]
    assert [message.get("body") for message in sent] == [None, f"south {THING} ".encode()]
    assert sent[-1]["more_body"]
    assert site.resources == [False]


# --- what a service says about itself ---------------------------------------------------------------------------------


async def test_a_page_says_itself_what_its_browser_may_do_and_only_once(site: Site) -> None:
    """Two policies would both hold, and the general one would forbid the style the page has."""
    page = await site.get("/docs", authorization="", accept="text/html")
    (policy,) = page.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert page.headers.get_list("x-content-type-options") == ["nosniff"]
    assert "<script" not in page.text


async def test_every_problem_type_resolves_to_a_page(site: Site) -> None:
    listed = (await site.get("/problems", authorization="")).json()
    assert len(listed) == len(TROUBLES) + len(PROBLEMS)
    for row in listed:
        assert (await site.get(row["type"], authorization="")).json() == row
        page = await site.get(row["type"], authorization="", accept="text/html,*/*")
        assert page.headers["content-type"].startswith("text/html")
        assert "http://" not in page.text
        assert "https://" not in page.text


async def test_every_trouble_has_a_row() -> None:
    assert set(TROUBLES) == set(Trouble)


def test_a_service_cannot_take_a_reason_of_the_mechanism() -> None:
    with pytest.raises(ValueError, match="not-found"):
        Problems("things", {Trouble.NOT_FOUND: PROBLEMS[Reason.DRY]})


async def test_another_method_is_told_which_there_are(site: Site) -> None:
    answer = await site.client.put(f"/things/{THING}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/http/method-not-allowed"


async def test_health_and_readiness_need_no_token(site: Site) -> None:
    assert (await site.get("/health", authorization="")).json() == {"alive": True}
    assert (await site.get("/ready", authorization="")).json() == {"ready": True}


async def test_the_page_of_operations_fetches_nothing_from_elsewhere(site: Site) -> None:
    page = (await site.get("/docs", authorization="")).text
    assert "/things/{thing}/paint" in page
    assert not [word for word in ("<script", "<link", "src=", "://") if word in page]


async def test_the_openapi_document_is_complete(site: Site) -> None:
    document = (await site.get("/openapi.json", authorization="")).json()
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in document["components"]["schemas"]
    command = document["paths"]["/things/{thing}/paint"]["post"]
    assert {(p["in"], p["name"], p["required"]) for p in command["parameters"]} == {
        ("path", "thing", True), ("header", "Idempotency-Key", True), ("header", "If-Match", False),
    }
    assert command["security"] == [{"person": []}]
    assert "role of painter" in command["description"]
    assert set(command["responses"]) == {
        "200", "400", "401", "403", "404", "408", "409", "412", "413", "415", "422", "429", "431", "500", "503",
    }
    assert "application/problem+json" in command["responses"]["409"]["content"]
    assert "/problems/things/dry" in command["responses"]["409"]["description"]
    body = document["components"]["schemas"]["Paint"]
    assert body["additionalProperties"] is False
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert document["paths"]["/things"]["get"].get("security") is None
    assert set(document["components"]["securitySchemes"]) == {"person", "service", "party"}


async def test_a_problem_fits_its_schema(site: Site) -> None:
    document = (await site.get("/openapi.json")).json()
    schema = document["components"]["schemas"]["Problem"]
    said = (await site.post(PAINT, json.dumps({"colour": 1}).encode())).json()
    Draft202012Validator(schema).validate(said)
    assert set(said) <= set(schema["properties"])


# --- routes and words -------------------------------------------------------------------------------------------------


def _nothing(_: Call) -> Step:
    raise AssertionError


async def _waits(_: Call) -> Step:
    raise AssertionError


def _asks(_: Call, colour: str) -> Step:
    raise AssertionError(colour)


@pytest.mark.parametrize(
    ("path", "handler"), [("/a", _waits), ("/a", _asks), ("/a/{thing}", _nothing)], ids=["waits", "query", "path"]
)
def test_a_command_that_cannot_work_is_found_at_the_start(path: str, handler: Any) -> None:
    with pytest.raises(ValueError, match="/a"):
        Routes().command("POST", path, allow=people("painter"))(handler)


def _named(name: str) -> Any:
    def handler(_: Call, **__: str) -> Step:
        raise AssertionError

    handler.__name__ = name
    return handler


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [("/a", "/b", "xx"), ("/a", "/a", "xy"), ("/a/{thing}", "/a/search", "xy"), ("/a/{thing}", "/a/{other}", "xy")],
)
def test_a_route_that_would_never_be_reached_is_found_at_the_start(first: str, second: str, names: str) -> None:
    found = Routes([a_route(path, name) for path, name in zip((first, second), names, strict=True)])
    with pytest.raises(ValueError, match=r"called x|never reached"):
        check_unambiguous(found.listed)
    check_unambiguous(found.listed[1:])


def a_route(path: str, name: str) -> Command:
    return Command("POST", path, _named(name), people("painter"), 200, None, None, {}, {}, {})


def test_the_document_of_a_service_that_does_not_run_is_the_same(site: Site) -> None:
    assert openapi(routes, service="things", problems=PROBLEMS, version="1.2.3") == site.app.openapi()


def test_who_commands_must_be_known() -> None:
    with pytest.raises(ValueError, match="known"):
        Routes().command("POST", "/a", allow=anyone())
    with pytest.raises(ValueError, match="roles"):
        people()


@pytest.mark.parametrize(
    ("type_", "given", "kept"),
    [
        (Name, "Zoe\u0308 Beispiel-Zimt", "Zoë Beispiel-Zimt"),
        (Name, " Zora ", "Zora"),
        (Name, "O’Čhe̦ S\u0105\u030a", "O’Čhe̦ S\u0105\u030a"),
        (Name, "\u0417\u043e\u0440\u0430", "\u0417\u043e\u0440\u0430"),
        (Text, "'; DROP TABLE, {{7*7}}, ${jndi:ldap://x}", "'; DROP TABLE, {{7*7}}, ${jndi:ldap://x}"),
        (Text, "gern \N{ROCKET}\r\nbis\tdann", "gern \N{ROCKET}\nbis\tdann"),
    ],
)
def test_what_people_write_is_kept_as_it_reads(type_: Any, given: str, kept: str) -> None:
    assert TypeAdapter[str](type_).validate_python(given) == kept


async def test_a_body_may_say_all_it_knows(site: Site) -> None:
    body = {
        "colour": "red", "name": "Zora Beispiel-Zimt", "at": "2026-11-22T13:00:00.5+01:00", "on": "2026-11-22",
        "coats": 2, "share": 0.25, "by": str(THING), "parts": [{"size": 1}],
    }
    assert (await site.post(PAINT, json.dumps(body).encode())).status_code == 200


def test_an_instant_is_kept_in_utc() -> None:
    instant = TypeAdapter[Any](Instant)
    assert instant.validate_python("2026-10-25T02:30:00+02:00") != instant.validate_python("2026-10-25T02:30:00+01:00")
    for written in ("2026-11-22T13:00:00+01:00", "2026-11-22T12:00Z", "2026-11-22T12:00:00.000Z"):
        assert instant.validate_python(written) == instant.validate_json(f'"{written}"', strict=True) == NOW
    with pytest.raises(ValidationError):
        instant.validate_python("2026-11-22")


def test_a_problem_with_a_time_to_come_back_says_it() -> None:
    problem = Problem(PROBLEMS[Reason.DRY].status, "Later.", 7)
    assert ("retry-after", "7") in Problems("things", {Reason.DRY: problem}).answer(Reason.DRY).headers
