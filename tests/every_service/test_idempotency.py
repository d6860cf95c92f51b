"""One Idempotency-Key, one command, one answer; and nothing of what was sent stays in what is kept of it."""

from collections.abc import Mapping
from typing import Any

import httpx

from chassis.http.routes import Route
from contracts.new_ids import new_id
from tests.every_service.addresses import COMMANDS, each
from tests.every_service.bodies import CANARY, whole_body, words_of
from tests.every_service.running import Running
from tests.every_service.scenes import BEFORE_COMMAND, Story

SOMEBODY = "somebody"


async def before(services: Mapping[str, Running], name: str, address: str) -> tuple[Story, Route]:
    """The scene in which that command succeeds, and its route."""
    story = await Story(services[name]).play(BEFORE_COMMAND[name][address])
    return story, story.route(address)


async def send(story: Story, route: Route, key: str | None, body: Any) -> httpx.Response:
    """The command under that key, always by the same caller."""
    running = story.running
    headers = running.admitted(route, by=f"{SOMEBODY}-{story.known['case']}")
    headers |= {} if key is None else {"Idempotency-Key": key}
    return await running.client.request(route.method, story.path(route), json=body, headers=headers)


def test_every_command_has_a_scene_in_which_it_succeeds_and_no_other() -> None:
    assert {name: set(scenes) for name, scenes in BEFORE_COMMAND.items()} == {
        name: {address for of, address in COMMANDS if of == name} for name in BEFORE_COMMAND
    }


@each(COMMANDS)
async def test_a_command_without_a_key_is_refused_and_does_nothing(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    story, route = await before(services, name, address)
    state = await services[name].state()
    answer = await send(story, route, None, story.body(route))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/http/key-missing")
    assert await services[name].state() == state


@each(COMMANDS)
async def test_a_command_sent_again_has_the_same_answer_and_no_second_effect(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    story, route = await before(services, name, address)
    key, body, untouched = str(new_id()), story.body(route), await services[name].state()
    first = await send(story, route, key, body)
    assert first.is_success, first.text
    once = await services[name].state()
    again = await send(story, route, key, body)
    assert (again.status_code, again.content, again.headers.get("etag")) == (
        first.status_code, first.content, first.headers.get("etag"),
    )  # fmt: skip
    assert ("idempotency-replayed" in first.headers, again.headers.get("idempotency-replayed")) == (False, "true")
    assert (once != untouched, await services[name].state()) == (True, once)


@each(COMMANDS)
async def test_a_key_that_was_used_for_something_else_is_refused_and_does_nothing(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    story, route = await before(services, name, address)
    key, body = str(new_id()), story.body(route)
    await send(story, route, key, body)
    once = await services[name].state()
    if route.body is None:
        story.known |= dict.fromkeys(route.path_adapters, story.known["person"]) | {"code": "debts"}
    else:
        body = whole_body(route.body, {}, other=True)
    other = await send(story, route, key, body)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/http/key-reused")
    assert await services[name].state() == once


@each(COMMANDS)
async def test_a_kept_answer_repeats_no_word_of_the_command(
    services: Mapping[str, Running], name: str, address: str
) -> None:
    story, route = await before(services, name, address)
    key, body = str(new_id()), story.body(route)
    answer = await send(story, route, key, body)
    kept = await services[name].rows("SELECT status, headers, body FROM answer WHERE key = :key", key=key)
    assert [row.status for row in kept] == [answer.status_code]
    assert CANARY not in f"{kept[0].headers}{bytes(kept[0].body).decode()}{answer.text}{answer.headers}".lower()
    assert not set(words_of(body)) & set(words_of(answer.json()))
