"""Every address says no the same way: the right status, a type that resolves, and not a word of what was sent."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.routing import compile_path

from chassis.auth import new_key
from chassis.http.limits import BODY_BYTES_MAX
from chassis.http.routes import Command, Route, View
from contracts.new_ids import new_id
from tests.every_service.addresses import BODIES, COMMANDS, ROUTES, each, of
from tests.every_service.anatomy import SERVICES
from tests.every_service.bodies import CANARY, spoilt
from tests.every_service.running import Running
from tests.every_service.scenes import BEFORE_COMMAND, Story, nobody_yet

WORD = "Zora-Kanari"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
HTTP = "/problems/http/"


async def is_a_problem(running: Running, answer: httpx.Response, status: int, kind: str = "") -> None:
    """It is that problem, its type has a page, and nothing of the question is in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["type"].endswith(kind)
    page = await running.client.get(said["type"])
    assert (page.status_code, page.json()["title"]) == (200, said["title"])
    assert CANARY not in f"{answer.text}{answer.headers}".lower()


async def send(running: Running, route: Route, headers: Mapping[str, str], **said: Any) -> httpx.Response:
    """A question to that address about somebody nobody knows."""
    path = route.path.format(**nobody_yet())
    all_headers = {"Idempotency-Key": str(new_id()), **headers}
    return await running.client.request(route.method, path, headers=all_headers, **said)


def unsigned(running: Running) -> str:
    """A token that says itself that nobody has signed it."""
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": running.service.settings.issuer, "aud": running.service.principal, "sub": WORD, "client_id": "tests",
        "roles": ["caseworker"], "jti": "1", "iat": now, "exp": now + 300,
    }  # fmt: skip
    parts = ({"alg": "none", "typ": "at+jwt", "kid": "none"}, claims)
    encoded = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join((*encoded, ""))


def worthless(running: Running, role: str) -> Mapping[str, Mapping[str, str]]:
    """Headers that prove nothing, by what is wrong with them."""
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    key = new_key(WORD)
    return {
        "none at all": {},
        "not a token": {"Authorization": f"Bearer {WORD}"},
        "of another issuer": running.person(role, by=WORD, issuer=f"urn:{WORD}"),
        "for another service": running.person(role, by=WORD, audience="jobcenter.nothing"),
        "for another agency": running.person(role, by=WORD, audience=f"jugendamt.{running.name}"),
        "expired": running.person(role, by=WORD, now=long_ago),
        "from the future": running.person(role, by=WORD, now=datetime.now(UTC) + timedelta(minutes=10)),
        "signed by nobody": {"Authorization": f"Bearer {unsigned(running)}"},
        "signed by somebody else": running.person(role, by=WORD, key=key),
    }


@each(ROUTES)
async def test_who_proves_nothing_is_asked_for_a_token(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running, route = services[name], of(name, address)
    role = min(route.allow.roles, default="caseworker")
    for wrong, headers in worthless(running, role).items():
        answer = await send(running, route, headers)
        if route.allow.everyone:
            assert answer.status_code != httpx.codes.UNAUTHORIZED, wrong
            continue
        await is_a_problem(running, answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer", wrong


@each([(name, address) for name, address in ROUTES if not of(name, address).allow.everyone])
async def test_who_has_no_business_there_is_refused(services: Mapping[str, Running], name: str, address: str) -> None:
    running, route = services[name], of(name, address)
    strangers = [running.person("nobody", by=WORD), running.person(by=WORD)]
    strangers += [running.sister(sister) for sister in {*SERVICES, name} - route.allow.service_names]
    if route.allow.party_roles is None and running.service.party_keys is not None:
        strangers.append(running.party())
    if not route.allow.roles:
        strangers.append(running.person("caseworker", "team_lead", "operator", by=WORD))
    for headers in strangers:
        await is_a_problem(running, await send(running, route, headers), 403, f"{HTTP}forbidden")


@each(BODIES)
async def test_a_body_that_cannot_be_right_is_refused_before_it_is_looked_into(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running, route = services[name], of(name, address)
    whole = json.dumps(Story(running).body(route)).encode()
    for status, kind, body, content_type in not_to_be_read(whole):
        headers = running.admitted(route) | {"content-type": content_type}
        answer = await send(running, route, headers, content=body)
        await is_a_problem(running, answer, status, f"{HTTP}{kind}")


def not_to_be_read(whole: bytes) -> Sequence[tuple[int, str, bytes, str]]:
    """(status, problem, body, content type): from a whole body, what no service looks into."""
    word, plain = WORD.encode(), "application/json"
    return (
        (415, "unsupported-media-type", whole, "text/plain"),
        (415, "unsupported-media-type", whole, f"application/{WORD}"),
        (415, "unsupported-media-type", whole, "application/json; charset=latin-1"),
        (413, "body-too-large", b'{"a": "' + word * (BODY_BYTES_MAX // len(word)) + b'"}', plain),
        (400, "invalid-json", b"", plain),
        (400, "invalid-json", b'{"' + word, plain),
        (400, "invalid-json", whole + word, plain),
        (400, "invalid-json", b"\xef\xbb\xbf" + whole, plain),
        (400, "invalid-json", b'{"' + word + b'": NaN}', plain),
        (400, "invalid-json", b'{"' + word + b'": 1, "' + word + b'": 2}', plain),
        (400, "invalid-json", b'{"' + word + b'": "\xff"}', plain),
        (400, "invalid-json", b"[" * 10_000, plain),
    )


@each(BODIES)
async def test_a_body_that_does_not_fit_is_refused_by_the_names_of_our_own_fields(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running, route = services[name], of(name, address)
    body = Story(running).body(route) or {}
    first = next(iter(body))
    wrongs: Sequence[Any] = (
        None, [], WORD, body | {WORD: WORD}, body | {first: {WORD: [WORD]}}, body | {first: 10**20},
    )  # fmt: skip
    for wrong in wrongs:
        headers = running.admitted(route) | {"content-type": "application/json"}
        answer = await send(running, route, headers, content=json.dumps(wrong))
        await is_a_problem(running, answer, 422, f"{HTTP}invalid-input")
        assert all(set(error) == {"field", "code"} for error in answer.json()["errors"])


@each(BODIES)
async def test_what_no_text_of_a_database_holds_is_refused_wherever_it_stands(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running, route = services[name], of(name, address)
    for unseen in ("\0", "\u202e"):
        for body in spoilt(Story(running).body(route), unseen):
            answer = await send(running, route, running.admitted(route), json=body)
            await is_a_problem(running, answer, 422, f"{HTTP}invalid-input")


@each([(name, address) for name, address in COMMANDS if (name, address) not in BODIES])
async def test_a_command_that_says_everything_by_its_address_takes_no_body(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running, route = services[name], of(name, address)
    answer = await send(running, route, running.admitted(route), json={WORD: WORD})
    await is_a_problem(running, answer, 422, f"{HTTP}invalid-input")


@each(COMMANDS)
async def test_a_key_or_a_version_of_no_form_is_refused(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running, route = services[name], of(name, address)
    versions = () if route.unconditional else (f'"{WORD}"', "*")
    for headers, kind in (
        ({"Idempotency-Key": f"{WORD} {WORD}"}, "key-malformed"),
        ({"Idempotency-Key": WORD * 20}, "key-malformed"),
        *(({"If-Match": version}, "version-malformed") for version in versions),
    ):
        answer = await send(running, route, running.admitted(route) | headers)
        await is_a_problem(running, answer, 400, f"{HTTP}{kind}")


@each([(name, address) for name, address in COMMANDS if of(name, address).path_adapters])
async def test_a_stale_version_is_refused_and_a_wrong_state_says_what_is_possible(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running = services[name]
    story = await Story(running).play(BEFORE_COMMAND[name][address])
    route = story.route(address)
    if not route.unconditional:
        stale = await story.ask(route, headers={"Idempotency-Key": str(new_id()), "If-Match": '"999"'})
        await is_a_problem(running, stale, 412, f"{HTTP}stale-version")
    answers = [await story.ask(route) for _ in range(2)]
    assert answers[0].is_success
    if not answers[1].is_success:
        assert answers[1].status_code in {403, 404, 409, 410, 422}, answers[1].text
        await is_a_problem(running, answers[1], answers[1].status_code)
    if answers[1].status_code == httpx.codes.CONFLICT:
        said = answers[1].json()
        assert said["state"] == answers[0].json()["state"]
        assert said["allowed"] == answers[0].json()["allowed"]


@each([(name, address) for name, address in ROUTES if of(name, address).path_adapters])
async def test_an_address_that_names_nobody_is_not_found(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running, route = services[name], of(name, address)
    for word in (WORD, f"{WORD}%00", "%ff", "1" * 5000):
        path = route.path.format(**dict.fromkeys(route.path_adapters, word))
        said = {"Idempotency-Key": str(new_id())} | running.admitted(route)
        answer = await running.client.request(route.method, path, headers=said)
        assert answer.status_code in {404, 405}, (path, answer.text)
        await is_a_problem(running, answer, answer.status_code)


@each([(name, address) for name, address in ROUTES if isinstance(of(name, address), View)])
async def test_a_view_takes_no_question_it_does_not_know(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    running, route = services[name], of(name, address)
    questions = [f"{WORD}={WORD}", f"limit={WORD}&{WORD}", "%ff=1", "a=%00"]
    questions += [f"{query}={WORD}%00" for query in route.query]
    for question in questions:
        answer = await send(running, route, running.admitted(route), params=question)
        if answer.status_code != httpx.codes.NOT_FOUND:
            await is_a_problem(running, answer, 422, f"{HTTP}invalid-input")


@pytest.mark.parametrize("name", SERVICES)
async def test_an_unknown_address_and_a_wrong_method_are_two_answers(
    services: Mapping[str, Running], name: str
) -> None:
    running = services[name]
    for path in (f"/{WORD}", f"/{WORD}/{new_id()}", f"/problems/{name}/{WORD}", "/docs/"):
        answer = await running.client.get(path)
        await is_a_problem(running, answer, 404, f"{HTTP}not-found")
    for route in running.routes:
        path = route.path.format(**nobody_yet())
        # A fixed address is asked as itself, also where one with a parameter could be meant.
        meant = [route] if path == route.path else running.routes
        same = {other.method for other in running.routes if other.path == route.path}
        same |= {other.method for other in meant if compile_path(other.path)[0].match(path)}
        for method in set(METHODS) - same:
            answer = await running.client.request(method, path, content=WORD)
            await is_a_problem(running, answer, 405, f"{HTTP}method-not-allowed")
            assert route.method in answer.headers["allow"].split(", ")


def test_every_kind_of_caller_is_among_the_routes() -> None:
    allowed = [of(name, address).allow for name, address in ROUTES]
    assert any(allow.service_names for allow in allowed)
    assert any(allow.party_roles is not None for allow in allowed)
    assert any(allow.everyone for allow in allowed)
    assert any(isinstance(of(name, address), Command) for name, address in ROUTES)
