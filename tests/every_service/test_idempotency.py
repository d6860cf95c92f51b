"""One Idempotency-Key, one command, one answer; and nothing of what was sent stays in what is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from chassis.http.routes import Route
from contracts.new_ids import new_id
from services.intake.api.bodies import RegisterBody
from tests.every_service.addresses import COMMANDS
from tests.every_service.bodies import CANARY, whole_body, words_of
from tests.every_service.running import Running
from tests.every_service.scenes import BEFORE_COMMAND, Story

State = Mapping[str, str]


@dataclass(frozen=True)
class Exchange:
    """A command sent four times where it is possible, each answer with the state of the database after it."""

    body: Any
    before: State
    without_a_key: tuple[httpx.Response, State]
    first: tuple[httpx.Response, State]
    again: tuple[httpx.Response, State]
    with_another_body: tuple[httpx.Response, State]
    kept: list[Any]
    unconditional: bool


@pytest.fixture(scope="module", params=COMMANDS, ids="-".join)
async def exchange(request: pytest.FixtureRequest, services: Mapping[str, Running]) -> Exchange:
    name, address = request.param
    running = services[name]
    story = await Story(running).play(BEFORE_COMMAND[name][address])
    route, key = story.route(address), str(new_id())
    body = story.body(route)
    by_one = running.admitted(route, by=f"somebody-{key}")

    async def sent(said: Any, **headers: str) -> tuple[httpx.Response, State]:
        answer = await running.client.request(route.method, story.path(route), json=said, headers=by_one | headers)
        return answer, await running.state()

    before = await running.state()
    without, first = await sent(body), await sent(body, **{"Idempotency-Key": key})
    again = await sent(body, **{"Idempotency-Key": key})
    other = await sent(another(story, route), **{"Idempotency-Key": key})
    kept = await running.rows("SELECT status, headers, body FROM answer WHERE starts_with(key, :key)", key=key)
    return Exchange(body, before, without, first, again, other, kept, route.unconditional)


def another(story: Story, route: Route) -> Any:
    """Another body; where none is sent, the same command about somebody else."""
    if route.body is not None:
        return whole_body(route.body, {}, other=True)
    story.known |= dict.fromkeys(route.path_adapters, story.known["person"]) | {"code": "debts"}
    return None


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and type of a no."""
    return answer.status_code, answer.json()["type"]


def test_every_command_has_a_scene_in_which_it_succeeds_and_no_other() -> None:
    assert {name: set(scenes) for name, scenes in BEFORE_COMMAND.items()} == {
        name: {address for of, address in COMMANDS if of == name} for name in BEFORE_COMMAND
    }


def test_a_command_without_a_key_is_refused_and_does_nothing(exchange: Exchange) -> None:
    answer, state = exchange.without_a_key
    assert problem(answer) == (400, "/problems/http/key-missing")
    assert state == exchange.before


def test_a_command_that_is_sent_again_has_the_same_answer(exchange: Exchange) -> None:
    (first, _), (again, _) = exchange.first, exchange.again
    assert first.is_success, first.text
    assert again.status_code == first.status_code
    assert (again.content, again.headers.get("etag")) == (first.content, first.headers.get("etag"))
    assert ("idempotency-replayed" in first.headers, again.headers.get("idempotency-replayed")) == (False, "true")


def test_a_command_that_is_sent_again_has_no_second_effect(exchange: Exchange) -> None:
    assert exchange.first[1] != exchange.before
    assert exchange.again[1] == exchange.first[1]


def test_a_key_that_was_used_for_something_else_is_refused_and_does_nothing(exchange: Exchange) -> None:
    answer, state = exchange.with_another_body
    assert (problem(answer) == (422, "/problems/http/key-reused")) is not exchange.unconditional
    assert state == exchange.first[1]


def test_a_kept_answer_repeats_no_word_of_the_command(exchange: Exchange) -> None:
    answer, _ = exchange.first
    assert answer.status_code in [row.status for row in exchange.kept]
    assert len(exchange.kept) == 1 or exchange.unconditional
    for row in exchange.kept:
        assert CANARY not in f"{row.headers}{bytes(row.body).decode()}{answer.headers}{answer.text}".lower()


def test_the_words_people_write_are_in_what_is_sent() -> None:
    assert len(list(words_of(whole_body(RegisterBody, {})))) > 5
